"""Measures of importance: each finds channels that do nothing, or nearly so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from learn2compress.graph.channels import find_channels
from learn2compress.train.importance import MEASURES, normalized
from learn2compress.train.importance.taylor import Taylor
from learn2compress.train.sensitivity import agreements, least_shares

DEAD = (3, 7, 11)


@pytest.fixture(scope="module")
def model() -> Any:
    """A small network of which three channels of the middle layer are all but off."""
    from keras import Input, Model, layers, utils

    utils.set_random_seed(0)
    image = Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same", name="first")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="first_bn")(x))
    x = layers.Conv2D(24, 3, padding="same", name="second")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="second_bn")(x))
    x = layers.Conv2D(16, 1, name="third")(x)
    x = layers.GlobalAveragePooling2D()(x)
    made = Model(image, layers.Dense(4, name="logits")(x))
    for name, axis in (("second", -1), ("third", -2)):
        kernel, bias = made.get_layer(name).get_weights()
        np.moveaxis(kernel, axis, 0)[list(DEAD)] *= 1e-3
        made.get_layer(name).set_weights([kernel, bias])
    gamma, *rest = made.get_layer("second_bn").get_weights()
    gamma[list(DEAD)] = 1e-3
    made.get_layer("second_bn").set_weights([gamma, *rest])
    return made


def batches(count: int) -> Iterator[tuple[Any, tuple[Any, Any]]]:
    rng = np.random.default_rng(1)
    for _ in range(count):
        pixels = rng.integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
        yield pixels, (rng.integers(0, 4, 16), np.zeros((16, 4), np.float32))


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_channels_that_are_all_but_off_come_last(name: str, model: Any) -> None:
    channels = find_channels(model)
    before = [np.array(w) for w in model.get_weights()]
    scores = MEASURES[name](channels, batches(3))
    assert set(scores) == {group.index for group in channels.prunable}
    second = next(group for group in channels.prunable if group.name == "second")
    assert sorted(np.argsort(scores[second.index])[:3].tolist()) == list(DEAD)
    for group in channels.prunable:
        assert scores[group.index].shape == (group.size,)
        assert np.isfinite(scores[group.index]).all()
        assert (scores[group.index] >= 0).all()
    for then, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(then, now)


def of_kind(kind: str, dead: tuple[int, ...]) -> Any:
    """A layer `made` of 16 channels, some of which are all but off, in a model of the given kind."""
    from keras import Input, Model, layers, utils

    utils.set_random_seed(0)
    image = Input((8, 8, 3))

    def middle(x: Any) -> Any:
        if kind == "transposed":
            x = layers.Conv2DTranspose(16, 3, padding="same", activation="relu", name="made")(x)
            return layers.Conv2DTranspose(12, 3, padding="same", name="taker")(x)
        x = layers.Conv2D(16, 3, padding="same", activation="relu", name="made")(x)
        if kind == "depthwise":
            x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="spread")(x)
        if kind == "separable":
            return layers.SeparableConv2D(12, 3, depth_multiplier=2, name="taker")(x)
        if kind == "shared":
            # At its first call the taker gets the same from all images.
            taker = layers.Conv2D(12, 3, padding="same", name="taker")
            still = layers.Conv2D(16, 3, padding="same", kernel_initializer="zeros", name="still")(image)
            return layers.Add()([taker(still), taker(x)])
        return layers.Conv2D(12, 3, name="taker")(x)

    x = layers.Conv2D(10, 3, padding="same", name="stem")(image)
    if kind == "nested":
        inside = Input((8, 8, 10))
        inner = Model(inside, middle(inside))
        inner.trainable = False
        x = inner(x)
    else:
        x = middle(x)
    model = Model(image, layers.Dense(4, name="logits")(layers.GlobalAveragePooling2D()(x)))
    made = (inner if kind == "nested" else model).get_layer("made")
    kernel, bias = made.get_weights()
    np.moveaxis(kernel, -2 if kind == "transposed" else -1, 0)[list(dead)] *= 1e-3
    bias[[channel for channel in range(16) if channel not in dead]] = 0.3
    made.set_weights([kernel, bias])
    return model


@pytest.mark.parametrize("kind", ["transposed", "depthwise", "separable", "shared", "nested"])
@pytest.mark.parametrize("name", ["Taylor", "activation energy"])
def test_layers_and_models_of_all_kinds_are_judged(name: str, kind: str) -> None:
    model = of_kind(kind, DEAD)
    channels = find_channels(model)
    nodes = {layer.name: len(layer._inbound_nodes) for layer in channels.graph.layers}
    scores = MEASURES[name](channels, batches(3))
    made = next(group for group in channels.prunable if group.name in ("made", "still"))
    others = np.delete(scores[made.index], DEAD)
    assert scores[made.index][list(DEAD)].max() < 0.1 * others.min()
    for group in channels.prunable:
        assert np.isfinite(scores[group.index]).all()
        assert scores[group.index].sum() > 0
    assert nodes == {layer.name: len(layer._inbound_nodes) for layer in channels.graph.layers}
    assert [layer.trainable for layer in channels.graph.layers].count(False) == (2 if kind == "nested" else 0)


def with_plain(model: Any, name: str, kernel: Any, bias: Any) -> Any:
    """The same model with a plain convolution of these weights in the place of a layer."""
    from keras import layers, models

    def clone(layer: Any) -> Any:
        if layer.name == name:
            return layers.Conv2D(kernel.shape[-1], kernel.shape[:2], padding=layer.padding, name=name)
        return type(layer).from_config(layer.get_config())

    plain = models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.weights:
            plain.get_layer(layer.name).set_weights([kernel, bias] if layer.name == name else layer.get_weights())
    pixels = next(batches(1))[0] / np.float32(128) - 1
    np.testing.assert_allclose(np.asarray(plain(pixels)), np.asarray(model(pixels)), atol=1e-4)
    return plain


def test_a_separable_convolution_takes_as_the_convolution_does_that_it_stands_for() -> None:
    separable = of_kind("separable", ())
    depthwise, pointwise, bias = separable.get_layer("taker").get_weights()
    kernel = np.zeros((3, 3, 16, 12), np.float32)
    for channel in range(16):
        for number in range(2):
            kernel[:, :, channel] += depthwise[:, :, channel, number, None] * pointwise[0, 0, 2 * channel + number]
    both = (separable, with_plain(separable, "taker", kernel, bias))
    found = [MEASURES["activation energy"](find_channels(model), batches(2)) for model in both]
    for index, values in found[1].items():
        np.testing.assert_allclose(found[0][index], values, rtol=1e-3)


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_depthwise_convolution_makes_as_the_convolution_does_that_it_stands_for(use_bias: bool) -> None:
    model = of_kind("depthwise", ())
    spread = model.get_layer("spread")
    depthwise, bias = spread.get_weights()
    bias = np.random.default_rng(2).normal(0, 1, bias.shape) if use_bias else 0 * bias
    spread.set_weights([depthwise, bias])
    kernel = np.zeros((3, 3, 16, 32), np.float32)
    for channel in range(16):
        kernel[:, :, channel, 2 * channel : 2 * channel + 2] = depthwise[:, :, channel]
    found = []
    for judged in (model, with_plain(model, "spread", kernel, bias)):
        channels = find_channels(judged)
        scores = Taylor()(channels, batches(2))
        found.append({group.name: scores[group.index] for group in channels.prunable})
    # In the plain one they can go one by one.
    together = found[1]["made"] + found[1].pop("spread").reshape(16, 2).sum(axis=1)
    for name, values in {**found[1], "made": together}.items():
        np.testing.assert_allclose(found[0][name], values, rtol=1e-3)


def test_normalized_scores_have_a_mean_of_one() -> None:
    scores = normalized({0: np.array([1.0, 3.0]), 5: np.array([10.0, 20.0, 60.0])})
    assert scores[0].tolist() == pytest.approx([0.5, 1.5])
    assert scores[5].mean() == pytest.approx(1.0)


def residual(
    idle: str, end: Callable[[Any, str], Any] = lambda y, name: y, stride: int = 1, scale: bool = True
) -> Any:
    """Two residual blocks, `a` and `b`; the last batch norm of one gives all but nothing.

    Args:
        idle: the block.
        end: what comes behind a block's last batch norm.
        stride: of the stem.
        scale: whether the last batch norms multiply by something.
    """
    from keras import Input, Model, layers, utils

    utils.set_random_seed(0)
    image = Input((8, 8, 3))
    x = layers.Conv2D(16, 3, stride, padding="same", activation="relu", name="stem")(image)
    for name in ("a", "b"):
        y = layers.Conv2D(32, 1, activation="relu", name=f"{name}_wide")(x)
        y = layers.Conv2D(16, 1, name=f"{name}_back")(y)
        y = layers.BatchNormalization(scale=scale, name=f"{name}_norm")(y)
        x = layers.Add(name=f"{name}_sum")([x, end(y, name)])
    x = layers.GlobalAveragePooling2D()(x)
    made = Model(image, layers.Dense(4, name="logits")(x))
    last = made.get_layer(f"{idle}_norm" if scale else f"{idle}_back")
    weights = last.get_weights()
    last.set_weights([1e-3 * weights[0], *weights[1:]])
    return made


@pytest.mark.parametrize("idle", ["a", "b"])
def test_a_block_that_adds_all_but_nothing_scores_lowest_and_on_the_scale_of_its_channels(idle: str) -> None:
    channels = find_channels(residual(idle))
    scores, blocks = Taylor().with_blocks(channels, batches(3))
    assert min(blocks, key=lambda name: blocks[name]) == f"{idle}_sum"
    (other,) = {"a", "b"} - {idle}
    assert blocks[f"{other}_sum"] > 100 * blocks[f"{idle}_sum"]
    # A gate on the block is the sum of gates on its channels: its square is at most that of sixteen equal ones.
    stream = next(group for group in channels.prunable if group.name == "stem")
    assert blocks[f"{other}_sum"] <= 16 * 16 * scores[stream.index].max()


def gate_of(y: Any, name: str, keepdims: bool = False) -> Any:
    """How far each channel is open, (n, 16) or (n, 1, 1, 16)."""
    from keras import layers

    pooled = layers.GlobalAveragePooling2D(keepdims=keepdims)(y)
    return layers.Dense(16, activation="sigmoid", name=f"{name}_gate")(pooled)


def gated_by_a_vector(y: Any, name: str) -> Any:
    from keras import layers

    return layers.Multiply()([gate_of(y, name), y])


def gated_by_a_reshaped_vector(y: Any, name: str) -> Any:
    from keras import layers

    return layers.Multiply()([y, layers.Reshape((1, 1, 16))(gate_of(y, name))])


def gated_by_an_operation(y: Any, name: str) -> Any:
    return gate_of(y, name, keepdims=True) * y


def gated_by_a_map(gate_first: bool, apart: bool) -> Callable[[Any, str], Any]:
    """Value and gate are made side by side, and neither is broadcast."""

    def end(y: Any, name: str) -> Any:
        from keras import layers

        def value() -> Any:
            return layers.Conv2D(16, 1, name=f"{name}_value")(y)

        def gate() -> Any:
            x = layers.Conv2D(16, 1, activation=None if apart else "sigmoid", name=f"{name}_gate")(y)
            return layers.Activation("hard_sigmoid")(x) if apart else x

        return layers.Multiply()([make() for make in ((gate, value) if gate_first else (value, gate))])

    return end


@pytest.mark.parametrize("idle", ["a", "b"])
@pytest.mark.parametrize(
    ("end", "stride"),
    [
        (gated_by_a_vector, 1),
        (gated_by_a_reshaped_vector, 1),
        (gated_by_an_operation, 1),
        pytest.param(gated_by_an_operation, 8, id="a map of one pixel"),
        *((gated_by_a_map(first, apart), 1) for first in (True, False) for apart in (True, False)),
    ],
)
def test_a_block_that_ends_in_a_gate_is_judged_by_its_branch(end: Any, stride: int, idle: str) -> None:
    model = residual(idle, end, stride)
    (other,) = {"a", "b"} - {idle}
    # The gate of the block that matters is the same for all images: the gate does nothing, the branch does.
    gate = model.get_layer(f"{other}_gate")
    gate.set_weights([0 * weight for weight in gate.get_weights()])
    _, blocks = Taylor().with_blocks(find_channels(model), batches(3))
    assert blocks[f"{other}_sum"] > 100 * blocks[f"{idle}_sum"]


def two_ways(y: Any, name: str) -> Any:
    """Two convolutions side by side."""
    from keras import layers

    halves = [layers.Conv2D(8, 1, use_bias=False, name=f"{name}_{side}")(y) for side in ("left", "right")]
    return layers.Concatenate()(halves)


@pytest.mark.parametrize("silent", ["left", "right"])
@pytest.mark.parametrize("idle", ["a", "b"])
def test_a_block_that_ends_in_several_ways_is_judged_by_all_of_them(idle: str, silent: str) -> None:
    model = residual(idle, two_ways)
    (other,) = {"a", "b"} - {idle}
    half = model.get_layer(f"{other}_{silent}")
    half.set_weights([0 * weight for weight in half.get_weights()])
    _, blocks = Taylor().with_blocks(find_channels(model), batches(3))
    assert blocks[f"{other}_sum"] > 100 * blocks[f"{idle}_sum"]


@pytest.mark.parametrize("idle", ["a", "b"])
def test_a_block_that_ends_in_slopes_is_judged_by_what_they_are_for(idle: str) -> None:
    from keras import layers

    # Slopes of 0, as they are at first, have no part in the loss.
    model = residual(idle, lambda y, name: layers.PReLU(shared_axes=[1, 2])(y))
    (other,) = {"a", "b"} - {idle}
    _, blocks = Taylor().with_blocks(find_channels(model), batches(3))
    assert blocks[f"{other}_sum"] > 100 * blocks[f"{idle}_sum"] > 0


@pytest.mark.parametrize("idle", ["a", "b"])
def test_a_block_that_ends_in_a_norm_without_scale_is_judged_by_what_is_normed(idle: str) -> None:
    (other,) = {"a", "b"} - {idle}
    _, blocks = Taylor().with_blocks(find_channels(residual(idle, scale=False)), batches(3))
    assert blocks[f"{other}_sum"] > 100 * blocks[f"{idle}_sum"] > 0


def normed_without_scale(y: Any, name: str) -> Any:
    from keras import layers

    return layers.BatchNormalization(scale=False, name=f"{name}_shift")(layers.Conv2D(16, 1, name=f"{name}_last")(y))


def separable(y: Any, name: str) -> Any:
    from keras import layers

    return layers.SeparableConv2D(16, 3, padding="same", depth_multiplier=2, name=f"{name}_last")(y)


def attending(y: Any, name: str) -> Any:
    from keras import layers

    x = layers.Reshape((64, 16))(y)
    return layers.Reshape((8, 8, 16))(layers.MultiHeadAttention(2, 4, name=f"{name}_last")(x, x))


@pytest.mark.parametrize("end", [normed_without_scale, separable, attending])
def test_a_block_scores_what_a_scale_behind_it_would(end: Callable[[Any, str], Any]) -> None:
    from keras import layers

    # Without an effect: all of its channels times one.
    scaled = residual("a", lambda y, name: layers.BatchNormalization(epsilon=1e-9, name=f"{name}_ones")(end(y, name)))
    plain = residual("a", end)
    rng = np.random.default_rng(3)
    for layer in plain.layers:
        weights = [w if w.ndim > 1 else rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()]
        if weights:
            layer.set_weights(weights)
            scaled.get_layer(layer.name).set_weights(weights)
    found, expected = (Taylor().with_blocks(find_channels(model), batches(1))[1] for model in (plain, scaled))
    assert set(expected) == {"a_sum", "b_sum"}
    assert found == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(("kind", "more"), [("LayerNormalization", {}), ("GroupNormalization", {"groups": 4})])
def test_a_block_of_which_no_weights_say_how_much_it_matters_has_no_score(kind: str, more: dict[str, int]) -> None:
    from keras import layers

    for scale in (True, False):
        model = residual("a", lambda y, name, scale=scale: getattr(layers, kind)(scale=scale, **more)(y))
        _, blocks = Taylor().with_blocks(find_channels(model), batches(0))
        assert set(blocks) == ({"a_sum", "b_sum"} if scale else set())


def test_what_the_user_froze_is_frozen_again_after_data_that_fails() -> None:
    model = residual("a")
    model.get_layer("stem").trainable = False
    with pytest.raises(ZeroDivisionError):
        Taylor()(find_channels(model), (1 // 0 for _ in range(1)))
    assert not model.get_layer("stem").trainable


def test_a_block_that_is_a_gate_and_nothing_else_is_judged_too() -> None:
    from keras import Input, Model, layers

    image = Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu")(image)
    x = layers.Add(name="sum")([x, gated_by_a_vector(x, "sum")])
    made = Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    assert Taylor().with_blocks(find_channels(made), batches(1))[1]["sum"] > 0


def test_silencing_what_matters_changes_answers_and_leaves_the_weights_as_they_were(model: Any) -> None:
    channels = find_channels(model)
    before = [np.array(w) for w in model.get_weights()]
    second = next(group for group in channels.prunable if group.name == "second")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    dead_first = np.ones(24)
    dead_first[list(DEAD)] = 0
    scores = MEASURES["L2 magnitude"](channels, iter(()))
    found = agreements(channels, scores, pixels)
    assert set(found) == set(scores)
    assert all(0 <= value <= 1 for value in found.values())
    # Half of the channels is more than the three that are off.
    upside_down = agreements(channels, {second.index: -dead_first}, pixels)
    assert min(*found.values(), *upside_down.values()) < 1
    for then, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(then, now)


def test_silencing_what_is_off_changes_nothing() -> None:
    from keras import Input, Model, layers

    image = Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu", name="first")(image)
    made = Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, name="last")(x))))
    kernel, bias = made.get_layer("first").get_weights()
    kernel[..., :8] = 0
    made.get_layer("first").set_weights([kernel, bias])
    channels = find_channels(made)
    first = next(group for group in channels.prunable if group.name == "first")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    assert agreements(channels, {first.index: np.arange(16.0)}, pixels) == {first.index: 1.0}


def test_the_guard_is_tighter_where_less_is_left() -> None:
    shares = least_shares({0: 1.0, 1: 0.8, 2: 0.55, 3: 0.3, 4: 0.0})
    assert shares == {0: 0.2, 1: 0.2, 2: pytest.approx(0.35), 3: 0.5, 4: 0.5}


def taking_what_it_adds_to(x: Any) -> Any:
    from keras import layers

    return layers.Add()([x, layers.Conv2D(16, 3, padding="same", name="inside")(x)])


def gated_by_itself(x: Any) -> Any:
    from keras import layers

    gate = layers.Dense(16, activation="sigmoid", name="inside")(layers.GlobalAveragePooling2D()(x))
    return layers.Multiply()([x, gate])


def three_ways_at_once(x: Any) -> Any:
    """As RepVGG while it trains: a 3x3 and a 1x1 convolution and the identity, each with a norm."""
    from keras import layers

    wide = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False, name="inside")(x))
    narrow = layers.BatchNormalization()(layers.Conv2D(16, 1, use_bias=False)(x))
    return layers.ReLU()(layers.Add()([wide, narrow, layers.BatchNormalization()(x)]))


def inside_one_group(body: Callable[[Any], Any]) -> Any:
    """A classifier with a kernel of which inputs and outputs are channels of one group."""
    from keras import Input, Model, layers, utils

    utils.set_random_seed(0)
    image = Input((8, 8, 3))
    x = body(layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(image))
    made = Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    channels = find_channels(made)
    inside = channels.axes[id(made.get_layer("inside"))]
    kernel = len(made.get_layer("inside").kernel.shape)
    assert set(inside[0, kernel - 1].group) == set(inside[0, kernel - 2].group)
    return channels


@pytest.mark.parametrize("body", [taking_what_it_adds_to, gated_by_itself, three_ways_at_once])
def test_a_kernel_inside_one_group_is_as_before_when_it_was_silenced_along_both_axes(
    body: Callable[[Any], Any],
) -> None:
    channels = inside_one_group(body)
    model = channels.graph.model
    before = [np.array(w) for w in model.get_weights()]
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    found = agreements(channels, MEASURES["L2 magnitude"](channels, iter(())), pixels)
    assert len(found) == 1
    for then, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(then, now)


def test_weights_are_as_before_when_the_model_can_not_be_run_silenced() -> None:
    channels = inside_one_group(taking_what_it_adds_to)
    model = channels.graph.model
    before = [np.array(w) for w in model.get_weights()]
    silenced = []

    def run(inputs: Any) -> Any:
        if any((then != now).any() for then, now in zip(before, model.get_weights(), strict=True)):
            silenced.append(True)
            raise MemoryError
        return np.zeros((len(inputs), 4))

    failing = replace(channels, graph=replace(channels.graph, model=SimpleNamespace(predict_on_batch=run)))
    scores = {group.index: np.arange(float(group.size)) for group in channels.prunable}
    with pytest.raises(MemoryError):
        agreements(failing, scores, np.zeros((8, 8, 8, 3), np.uint8))
    assert silenced
    for then, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(then, now)
