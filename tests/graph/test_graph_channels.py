"""Which channels go together, layer by layer; what must stay, and why; what is no graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import Input, Model, Sequential, layers, ops

from learn2compress.core.choice import Choice
from learn2compress.graph.calls import UnreadableGraphError, read_graph
from learn2compress.graph.channels import Channels, Group, find_channels, layers_of

CLASSES = 4
Body = Callable[[Any], Any]


def conv(x: Any, channels: int, name: str, size: int = 3, **more: Any) -> Any:
    return layers.Conv2D(channels, size, padding="same", name=name, **more)(x)


def model_of(body: Body, shape: tuple[int | None, ...] = (8, 8, 3)) -> Any:
    image = Input(shape, name="image")
    x = body(image)
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D()(x)
    return Model(image, layers.Dense(CLASSES, name="logits")(x))


def images(model: Any) -> Any:
    shape = [size or 8 for size in model.inputs[0].shape[1:]]
    return np.random.default_rng(0).uniform(-1, 1, (3, *shape)).astype(np.float32)


def group(channels: Channels, name: str) -> Group:
    (found,) = [g for g in channels.groups if g.name == name]
    return found


def along(channels: Channels, layer: str, axis: int, position: int = 0) -> Any:
    """What lies along an axis of a layer's weight."""
    found = next(found for found in channels.graph.layers if channels.graph.layer_names[id(found)] == layer)
    return channels.axes[id(found)][position, axis]


def squeeze_excite(x: Any, keepdims: bool) -> Any:
    x = conv(x, 16, "a")
    s = layers.GlobalAveragePooling2D(keepdims=keepdims)(x)
    s = s if keepdims else layers.Reshape((1, 1, 16))(s)
    s = layers.Conv2D(12, 1, activation="relu", name="squeeze")(s)
    return layers.Multiply()([x, layers.Conv2D(16, 1, activation="sigmoid", name="excite")(s)])


def shared_conv(x: Any) -> Any:
    again = layers.Conv2D(12, 3, padding="same", name="again")
    return conv(again(again(conv(x, 12, "a"))), 10, "b")


def shared(layer: Callable[[], Any]) -> Body:
    """One layer for two branches."""

    def body(x: Any) -> Any:
        again = layer()
        return layers.Concatenate()([again(conv(x, 12, "a")), again(conv(x, 12, "b"))])

    return body


def nested(times: int) -> Body:
    def body(x: Any) -> Any:
        inside = Input((8, 8, 12))
        inner = Model(inside, conv(conv(inside, 16, "inner"), 12, "outer"), name="nest")
        x = conv(x, 12, "a")
        for _ in range(times):
            x = inner(x)
        return x

    return body


def nested_sequential(x: Any) -> Any:
    return Sequential([layers.Conv2D(12, 3, name="a"), layers.BatchNormalization(), layers.ReLU()], name="nest")(x)


def transformer_like(x: Any) -> Any:
    """Rows of pixels, normalized and mixed by dense layers, with a shortcut."""
    x = layers.Reshape((64, 12))(conv(x, 12, "a"))
    y = layers.Dense(20, activation="gelu", name="up")(layers.LayerNormalization()(x))
    x = layers.Add()([x, layers.Dense(12, name="down")(y)])
    return layers.GlobalAveragePooling1D()(x)


def concat_then_add(x: Any) -> Any:
    one, other = conv(x, 10, "one"), conv(x, 12, "other")
    both = layers.Concatenate()([one, other])
    return layers.Add()([both, conv(x, 22, "sum")])


def operations(x: Any) -> Any:
    one, other = conv(x, 12, "one"), conv(x, 12, "other")
    x = ops.relu(one + other) * 0.5 - one / (1.0 + ops.abs(other))
    return ops.mean(ops.concatenate([x, conv(x, 10, "c")], axis=-1), axis=(1, 2))


# For each: the body of a model, and the sizes of the groups that can be narrowed.
UNDERSTOOD: dict[str, tuple[Body, dict[str, int]]] = {
    "conv": (lambda x: conv(conv(x, 12, "a"), 16, "b", activation="relu"), {"a": 12, "b": 16}),
    "conv1d": (
        lambda x: layers.GlobalMaxPooling1D()(
            layers.Conv1D(12, 3, name="b")(layers.Reshape((64, 16))(conv(x, 16, "a")))
        ),
        {"a": 16, "b": 12},
    ),
    "depthwise": (lambda x: conv(layers.DepthwiseConv2D(3)(conv(x, 12, "a")), 16, "b"), {"a": 12, "b": 16}),
    "depthwise of multiplier 2": (
        lambda x: conv(layers.DepthwiseConv2D(3, depth_multiplier=2)(conv(x, 12, "a")), 16, "b"),
        {"a": 12, "b": 16},
    ),
    "separable": (
        lambda x: layers.SeparableConv2D(16, 3, depth_multiplier=2, name="b")(conv(x, 12, "a")),
        {"a": 12, "b": 16},
    ),
    "transposed": (lambda x: layers.Conv2DTranspose(16, 3, name="b")(conv(x, 12, "a")), {"a": 12, "b": 16}),
    "32 groups of 4": (lambda x: conv(conv(x, 128, "a"), 128, "b", groups=32), {"a": 32}),
    "grouped, twice as wide": (lambda x: conv(conv(x, 24, "a"), 48, "b", groups=12), {"a": 12}),
    "4 groups of 16": (lambda x: conv(conv(x, 64, "a"), 64, "b", groups=4), {"a": 4}),
    "dense on pixels": (lambda x: layers.Dense(12, name="b")(conv(x, 16, "a")), {"a": 16, "b": 12}),
    "flatten, dense": (
        lambda x: layers.Dense(12, name="b")(layers.Flatten()(conv(x, 16, "a", strides=2))),
        {"a": 16, "b": 12},
    ),
    "reshape to rows and back": (
        lambda x: layers.Reshape((4, 16, 12))(layers.Reshape((64, 12))(conv(x, 12, "a"))),
        {"a": 12},
    ),
    "reshape with an open size": (lambda x: layers.Reshape((32, 2, -1))(conv(x, 12, "a")), {"a": 12}),
    "reshape of two pixels to one": (lambda x: layers.Reshape((4, 8, 24))(conv(x, 12, "a")), {"a": 12}),
    # Channels that come to stand below each other go together: 0 and 12, 1 and 13, ...
    "reshape of one pixel to two": (lambda x: layers.Reshape((16, 8, 12))(conv(x, 24, "a")), {"a": 12}),
    # 0, 4 and 8 come to stand below each other, and so on.
    "reshape across channels": (lambda x: layers.Reshape((12, 8, 8))(conv(x, 12, "a")), {"a": 4}),
    "batch norm": (lambda x: layers.ReLU()(layers.BatchNormalization()(conv(x, 12, "a"))), {"a": 12}),
    "layer norm": (lambda x: layers.LayerNormalization()(conv(x, 12, "a")), {"a": 12}),
    "group norm": (lambda x: layers.GroupNormalization(12)(conv(x, 48, "a")), {"a": 12}),
    "group norm, bare": (
        lambda x: layers.GroupNormalization(12, scale=False, center=False)(conv(x, 24, "a")),
        {"a": 12},
    ),
    "instance norm": (lambda x: layers.GroupNormalization(-1)(conv(x, 12, "a")), {"a": 12}),
    "prelu": (lambda x: layers.PReLU()(conv(x, 12, "a")), {"a": 12}),
    "prelu for all pixels": (lambda x: layers.PReLU(shared_axes=[1, 2])(conv(x, 12, "a")), {"a": 12}),
    "activations": (
        lambda x: layers.LeakyReLU()(
            layers.ELU()(layers.Activation("hard_swish")(conv(x, 12, "a", activation="gelu")))
        ),
        {"a": 12},
    ),
    "pooling and padding": (
        lambda x: layers.UpSampling2D()(
            layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(layers.AveragePooling2D(2)(conv(x, 12, "a"))))
        ),
        {"a": 12},
    ),
    "dropout": (
        lambda x: layers.SpatialDropout2D(0.1)(layers.Dropout(0.1, noise_shape=(None, 1, 1, 1))(conv(x, 12, "a"))),
        {"a": 12},
    ),
    "rescaling": (lambda x: conv(layers.Rescaling(1 / 255, -1.0)(x), 12, "a"), {"a": 12}),
    "normalization": (
        lambda x: conv(layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 2.0, 3.0])(x), 12, "a"),
        {"a": 12},
    ),
    "add": (lambda x: layers.Add()([conv(x, 12, "a"), conv(x, 12, "b")]), {"a": 12}),
    "average": (lambda x: layers.Average()([conv(x, 12, "a"), conv(x, 12, "b"), conv(x, 12, "c")]), {"a": 12}),
    "maximum": (lambda x: layers.Maximum()([conv(x, 12, "a"), conv(x, 12, "b")]), {"a": 12}),
    "a vector times a map": (
        lambda x: layers.Multiply()([conv(x, 12, "a"), layers.Dense(12)(layers.GlobalMaxPooling2D()(x))]),
        {"a": 12},
    ),
    "concatenation": (
        lambda x: conv(layers.Concatenate()([conv(x, 12, "a"), conv(x, 16, "b")]), 10, "c"),
        {"a": 12, "b": 16, "c": 10},
    ),
    "concatenation of rows": (
        lambda x: layers.Concatenate(axis=1)([conv(x, 12, "a"), conv(x, 12, "b")]),
        {"a": 12},
    ),
    "the same twice": (lambda x: conv(layers.Concatenate()([y := conv(x, 12, "a"), y]), 10, "b"), {"a": 12, "b": 10}),
    "concatenation, then add": (concat_then_add, {"one": 10, "other": 12}),
    "squeeze and excite": (lambda x: squeeze_excite(x, True), {"a": 16, "squeeze": 12}),
    "squeeze and excite, reshaped": (lambda x: squeeze_excite(x, False), {"a": 16, "squeeze": 12}),
    "shared layer": (shared_conv, {"a": 12, "b": 10}),
    "shared batch norm": (shared(layers.BatchNormalization), {"b": 12}),
    "shared depthwise": (shared(lambda: layers.DepthwiseConv2D(3)), {"b": 12}),
    "shared prelu": (shared(layers.PReLU), {"b": 12}),
    "shared reshape": (shared(lambda: layers.Reshape((16, 4, 12))), {"b": 12}),
    "shared pooling": (shared(lambda: layers.MaxPooling2D(2)), {"a": 12, "b": 12}),
    "nested": (nested(1), {"a": 12, "inner": 16, "outer": 12}),
    "nested, called twice": (nested(2), {"a": 12, "inner": 16}),
    "nested sequential": (nested_sequential, {"a": 12}),
    "transformer-like": (transformer_like, {"a": 12, "up": 20}),
    "operations": (operations, {"one": 12, "c": 10}),
}


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_each_layer_kind_has_its_groups_and_can_be_cut(
    settle: Callable[[Any, int], Any], check_pruning: Callable[..., Channels], kind: str
) -> None:
    body, sizes = UNDERSTOOD[kind]
    model = settle(model_of(body), 1)
    channels = check_pruning(model, images(model))
    assert {g.name: g.size for g in channels.prunable} == sizes
    assert not channels.notes


def test_what_a_branch_adds_up_is_one_group() -> None:
    def body(x: Any) -> Any:
        x = layers.BatchNormalization(name="norm")(conv(x, 12, "stem"))
        y = conv(conv(x, 16, "inner"), 12, "last")
        return layers.Add()([x, y])

    channels = find_channels(model_of(body))
    assert list(layers_of(channels, group(channels, "stem"))) == ["stem", "norm", "inner", "last", "logits"]
    assert list(layers_of(channels, group(channels, "inner"))) == ["inner", "last"]


def test_a_concatenation_keeps_the_ranges_of_its_parts() -> None:
    channels = find_channels(model_of(UNDERSTOOD["concatenation"][0]))
    taken = along(channels, "c", 2)
    a, b = group(channels, "a"), group(channels, "b")
    np.testing.assert_array_equal(taken.group, [a.index] * 12 + [b.index] * 16)
    np.testing.assert_array_equal(taken.unit, [*range(12), *range(16)])
    choice = Choice({a.index: np.arange(2, 12), b.index: np.array([0, 1, 2, 3, 12, 13, 14, 15])})
    np.testing.assert_array_equal(channels.kept_along(taken, choice), [*range(2, 12), 12, 13, 14, 15, 24, 25, 26, 27])


def test_a_flattened_map_has_each_channel_once_a_pixel() -> None:
    channels = find_channels(model_of(UNDERSTOOD["flatten, dense"][0]))
    taken = along(channels, "b", 0)
    np.testing.assert_array_equal(taken.unit, np.tile(np.arange(16), 4 * 4))
    kept = channels.kept_along(taken, Choice({group(channels, "a").index: np.arange(8)}))
    np.testing.assert_array_equal(kept[:10], [0, 1, 2, 3, 4, 5, 6, 7, 16, 17])


def test_a_depthwise_convolution_repeats_each_channel() -> None:
    channels = find_channels(model_of(UNDERSTOOD["depthwise of multiplier 2"][0]))
    np.testing.assert_array_equal(along(channels, "b", 2).unit, np.repeat(np.arange(12), 2))


def test_groups_of_a_grouped_convolution_go_whole() -> None:
    channels = find_channels(model_of(UNDERSTOOD["32 groups of 4"][0]))
    choice = Choice({group(channels, "a").index: np.arange(1, 32, 3)})
    for layer in ("a", "b"):
        kept = channels.kept_along(along(channels, layer, 3), choice)
        np.testing.assert_array_equal(kept, np.flatnonzero(np.arange(128) // 4 % 3 == 1))


def test_a_group_counts_its_channels_where_they_are_made() -> None:
    def body(x: Any) -> Any:
        x = layers.DepthwiseConv2D(3, depth_multiplier=2)(conv(conv(x, 64, "a"), 128, "b", groups=4))
        return conv(layers.GroupNormalization(3)(conv(x, 24, "c")), 12, "d")

    channels = find_channels(model_of(body))
    found = {g.name: (g.size, g.width, g.channels, g.fewest) for g in channels.prunable}
    assert found == {"a": (4, 16, 64, 1), "c": (3, 8, 24, 1), "d": (12, 1, 12, 8)}
    channels.check(Choice({group(channels, "a").index: np.array([2])}))
    with pytest.raises(ValueError, match="c would keep 0 channels; the fewest are 8"):
        channels.check(Choice({group(channels, "c").index: np.arange(0)}))


def test_a_group_keeps_enough_channels_in_the_layer_that_makes_the_fewest_of_them(
    settle: Callable[[Any, int], Any], check_pruning: Callable[..., Channels]
) -> None:
    model = settle(model_of(lambda x: conv(conv(x, 64, "a"), 16, "b", groups=4)), 1)
    found = group(find_channels(model), "a")
    assert (found.size, found.channels, found.fewest, found.step) == (4, 64, 2, 2)
    with pytest.raises(ValueError, match="a would keep 4 channels; the fewest are 8"):
        find_channels(model).check(Choice({found.index: np.array([2])}))
    assert group(check_pruning(model, images(model)), "a") == found


def test_channels_come_in_multiples_in_every_layer_that_makes_them() -> None:
    # Six of a unit in one layer and four in the other: only by four units both come in multiples of eight.
    channels = find_channels(model_of(lambda x: conv(conv(x, 72, "a"), 48, "b", groups=12)))
    found = group(channels, "a")
    assert (found.widths, found.fewest, found.step) == ((6, 4), 2, 4)


def test_what_an_unknown_layer_gives_is_named_after_it() -> None:
    channels = find_channels(model_of(lambda x: conv(Mystery(name="who")(conv(x, 12, "a")), 10, "b")))
    assert [g.name for g in channels.groups] == ["input", "a", "who", "b", "logits"]


def test_only_layer_normalization_makes_a_cut_inexact() -> None:
    def body(x: Any) -> Any:
        x = layers.LayerNormalization()(layers.Concatenate()([conv(x, 12, "a"), conv(x, 12, "b")]))
        return layers.GroupNormalization(16)(conv(x, 48, "c"))

    channels = find_channels(model_of(body))
    assert {g.name: g.exact for g in channels.prunable} == {"a": False, "b": False, "c": True}


@keras.saving.register_keras_serializable("tests")
class Mystery(layers.Layer):
    """Not in Keras; what it does to channels is its own affair."""

    def call(self, x: Any) -> Any:
        return ops.flip(x, axis=-1)


@keras.saving.register_keras_serializable("tests")
class Add(layers.Layer):
    """Has a name of Keras'."""

    def call(self, x: Any) -> Any:
        return x[0] + ops.flip(x[1], axis=-1)


def attended(x: Any) -> Any:
    rows = layers.Reshape((64, 12))(conv(x, 12, "a"))
    return layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 6, name="who")(rows, rows))


def array(*shape: int) -> Any:
    return np.linspace(0.5, 1.5, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def reshapes_of_two_widths(x: Any) -> Any:
    rows = layers.Reshape((64, -1), name="who")
    parts = [layers.GlobalAveragePooling1D()(rows(conv(x, n, name))) for n, name in ((16, "a"), (24, "b"))]
    return layers.Concatenate()(parts)


# For each: a body in which the channels of `a` must stay, and part of the reason.
HELD: dict[str, tuple[Body, str]] = {
    "softmax": (
        lambda x: conv(layers.Activation("softmax", name="who")(conv(x, 12, "a")), 8, "b"),
        "who has the activation",
    ),
    "softmax layer": (lambda x: conv(layers.Softmax(name="who")(conv(x, 12, "a")), 8, "b"), "who is a Softmax"),
    "softmax in the layer": (
        lambda x: conv(conv(x, 12, "a", activation="softmax"), 8, "b"),
        "a has the activation softmax",
    ),
    "the user's layer": (lambda x: Mystery(name="who")(conv(x, 12, "a")), "who is a Mystery"),
    "the user's Add": (lambda x: Add(name="who")([conv(x, 12, "a"), conv(x, 12, "b")]), "who is a Add"),
    "attention": (attended, "who is a MultiHeadAttention"),
    "slice": (lambda x: conv(conv(x, 12, "a")[..., :10], 8, "b"), "is a GetItem"),
    "mean over channels": (
        lambda x: conv(ops.mean(conv(x, 12, "a"), axis=-1, keepdims=True), 8, "b"),
        "reduces over the channels",
    ),
    "mean over all": (
        lambda x: ops.mean(conv(x, 12, "a"), keepdims=True) + layers.GlobalMaxPooling2D()(conv(x, 8, "b")),
        "reduces over the channels",
    ),
    "array": (lambda x: conv(conv(x, 12, "a") * array(12), 8, "b"), "constant"),
    "array in a layer": (
        lambda x: layers.Add(name="who")([conv(x, 12, "a"), array(1, 8, 8, 12)]),
        "who has a constant",
    ),
    "array, concatenated": (
        lambda x: conv(ops.concatenate([conv(x, 12, "a"), array(3, 8, 8, 12)], axis=1), 8, "b"),
        "constant",
    ),
    "one scale a channel": (
        lambda x: conv(layers.Rescaling(array(12).tolist(), name="who")(conv(x, 12, "a")), 8, "b"),
        "who has one scale",
    ),
    "noise shape": (
        lambda x: layers.Dropout(0.1, noise_shape=(None, 1, 1, 12), name="who")(conv(x, 12, "a")),
        "who has the channels in its noise_shape",
    ),
    "norm of another axis": (
        lambda x: layers.BatchNormalization(axis=1, name="who")(conv(x, 12, "a")),
        "who normalizes another axis",
    ),
    "one reshape for two widths": (reshapes_of_two_widths, "who is called on different numbers"),
    "few channels": (lambda x: conv(x, 8, "a"), "it has only 8 channels"),
    "few channels in groups": (
        lambda x: conv(conv(x, 8, "a"), 16, "b", groups=2),
        "it has only 8 channels, of which 4 go together",
    ),
    "no group more than enough": (
        lambda x: layers.GroupNormalization(3)(conv(x, 9, "a")),
        "it has only 9 channels, of which 3 go together",
    ),
}


@pytest.mark.parametrize("case", HELD)
def test_what_is_not_understood_stays_whole_with_the_reason(
    settle: Callable[[Any, int], Any], check_pruning: Callable[..., Channels], case: str
) -> None:
    body, reason = HELD[case]
    model = settle(model_of(body), 1)
    channels = check_pruning(model, images(model))
    reasons = {g.reason for g in channels.groups if "a" in layers_of(channels, g)}
    assert any(reason in found for found in reasons)
    assert "" not in reasons


@pytest.mark.parametrize(("case", "kind"), [("the user's layer", "Mystery"), ("the user's Add", "Add")])
def test_a_layer_of_unknown_kind_is_noted(case: str, kind: str) -> None:
    channels = find_channels(model_of(HELD[case][0]))
    assert channels.notes == {"who": f"who is a {kind}, whose channels are not understood"}


def test_one_attention_map_for_all_channels_stays_and_the_channels_do_not(
    settle: Callable[[Any, int], Any], check_pruning: Callable[..., Channels]
) -> None:
    def body(x: Any) -> Any:
        x = conv(x, 12, "a")
        return layers.Multiply(name="who")([x, conv(x, 1, "map", activation="sigmoid")])

    model = settle(model_of(body), 1)
    channels = check_pruning(model, images(model))
    assert group(channels, "map").reason == "who broadcasts it over the channels"
    assert [g.name for g in channels.prunable] == ["a"]


def test_the_models_inputs_and_outputs_stay() -> None:
    image, extra = Input((8, 8, 16)), Input((8, 8, 12))
    x = layers.Add()([conv(image, 12, "a"), extra])
    y = conv(conv(x, 20, "b"), 24, "c")
    channels = find_channels(Model([image, extra], [x, y]))
    reasons = {g.name: g.reason for g in channels.groups}
    assert reasons == {"input": "the model's input", "a": "the model's input", "b": "", "c": "the model's output"}


def test_channels_first_is_left_alone() -> None:
    image = Input((3, 8, 8))
    x = layers.Conv2D(12, 3, data_format="channels_first", name="who")(image)
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    channels = find_channels(Model(image, layers.Dense(12)(layers.Dense(10, name="b")(x))))
    assert [g.name for g in channels.prunable] == ["b"]


def test_a_reshape_of_unknown_size_is_left_alone(
    settle: Callable[[Any, int], Any], check_pruning: Callable[..., Channels]
) -> None:
    def body(x: Any) -> Any:
        return layers.GlobalAveragePooling1D()(layers.Reshape((-1, 12), name="who")(conv(x, 12, "a")))

    model = settle(model_of(body, (None, None, 3)), 1)
    channels = check_pruning(model, images(model))
    assert "unknown size" in group(channels, "a").reason


def test_a_nested_model_for_any_size_costs_what_it_costs_here(
    settle: Callable[[Any, int], Any], check_pruning: Callable[..., Channels]
) -> None:
    def body(x: Any) -> Any:
        inside = Input((None, None, 3))
        return Model(inside, conv(conv(inside, 12, "a", strides=2), 16, "b"))(x)

    model = settle(model_of(body), 1)
    check_pruning(model, images(model))
    assert (None, 4, 4, 16) in read_graph(model).shapes


def test_layers_of_the_same_name_get_names_of_their_own(
    settle: Callable[[Any, int], Any], check_pruning: Callable[..., Channels]
) -> None:
    def twin(name: str) -> Any:
        inside = Input((8, 8, 12))
        return Model(inside, layers.ReLU(name="image")(conv(inside, 12, "same")), name=name)

    model = settle(model_of(lambda x: twin("two")(twin("one")(conv(x, 12, "same")))), 1)
    channels = check_pruning(model, images(model))
    assert [g.name for g in channels.prunable] == ["same", "one_same", "two_same"]
    assert "one_image" in channels.graph.layer_names.values()


def subclassed() -> Any:
    class MyModel(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    return MyModel(name="mine")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no model": (lambda: layers.Dense(3), "not a Keras model"),
    "subclassed": (subclassed, "mine is a MyModel, which is code"),
    "subclassed inside": (lambda: model_of(subclassed()), "mine is a MyModel, which is code"),
    "lambda": (
        lambda: model_of(lambda x: layers.Lambda(lambda y: y, name="who")(conv(x, 12, "a"))),
        "who is a Lambda, which is code",
    ),
    "lambda inside": (
        lambda: model_of(Sequential([layers.Lambda(lambda y: y, name="who")])),
        "who is a Lambda, which is code",
    ),
    "unbuilt": (lambda: Sequential([layers.Dense(3)], name="mine"), "mine has no input shape yet"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_graph_is_refused_with_the_reason(case: str) -> None:
    make, reason = REFUSED[case]
    with pytest.raises(UnreadableGraphError, match=reason):
        find_channels(make())
