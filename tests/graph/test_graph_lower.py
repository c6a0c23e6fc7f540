"""Lowering keeps what a model computes, and says it in layers that later stages know."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from learn2compress.graph import walk
from learn2compress.graph.fold import fold_batch_norm
from learn2compress.graph.lower import lowered

SHAPE = (9, 9, 3)


def compared(model: Any) -> Any:
    """The lowered model, which gives the same."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 0.6, weight.shape))
    before = [np.asarray(weight) for weight in model.weights]
    images = rng.normal(0, 2, (4, *SHAPE)).astype(np.float32)
    simple = lowered(model)
    np.testing.assert_allclose(simple(images, training=False), model(images, training=False), rtol=1e-4, atol=1e-5)
    for now, then in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(np.asarray(now), then)
    return simple


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer, _ in walk.nodes(model)][1:]


def test_layers_that_are_simple_stay_with_their_names() -> None:
    image = keras.Input(SHAPE)
    x = layers.ReLU(6.0, name="b")(layers.Conv2D(4, 3, activation="relu", name="a")(image))
    simple = compared(keras.Model(image, layers.Dense(2, name="c")(layers.Flatten(name="f")(x))))
    assert [layer.name for layer in simple.layers[1:]] == ["a", "b", "f", "c"]


def test_a_layer_without_weights_that_serves_often_becomes_one_a_call() -> None:
    image = keras.Input(SHAPE)
    relu, taken = layers.ReLU(name="relu"), layers.MaxPooling2D(name="relu_2")
    x = relu(layers.Conv2D(4, 3, name="a")(image))
    x = taken(relu(layers.Conv2D(4, 3, padding="same", name="b")(x)))
    simple = compared(keras.Model(image, relu(layers.Conv2D(2, 1, name="c")(x))))
    assert [layer.name for layer in simple.layers[1:]] == ["a", "relu", "b", "relu_3", "relu_2", "c", "relu_4"]


def test_a_layer_with_weights_that_serves_often_becomes_one_a_call() -> None:
    image = keras.Input(SHAPE)
    convolution = layers.Conv2D(3, 3, padding="same", name="again")
    norm = layers.BatchNormalization(name="norm")
    attention = layers.MultiHeadAttention(2, 4, name="look")
    x = norm(convolution(norm(convolution(image))))
    simple = compared(keras.Model(image, attention(attention(x, x), x)))
    assert [layer.name for layer in simple.layers[1:]] == ["again", "norm", "again_2", "norm_2", "look", "look_2"]


def test_a_normalization_that_serves_twice_keeps_its_means() -> None:
    image = keras.Input(SHAPE)
    norm = layers.Normalization(name="norm", mean=[1.0, 2.0, 3.0], variance=[2.0, 3.0, 4.0])
    compared(keras.Model(image, norm(norm(image))))


RANDOM = sorted({name for name in dir(layers) if name.startswith("Random")} - {"RandomCrop", "RandomApply"})
ONLY_IN_TRAINING = [*RANDOM, "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization"]
SETTINGS = {
    "RandomColorJitter": {},
    "RandomContrast": {"factor": 0.3},
    "RandomFlip": {},
    "RandomPosterization": {"factor": 4},
    "GaussianNoise": {"stddev": 1.0},
    "GaussianDropout": {"rate": 0.5},
    "AlphaDropout": {"rate": 0.5},
    "ActivityRegularization": {"l2": 0.1},
    "RandomTranslation": {"height_factor": 0.3, "width_factor": 0.3},
    "RandomZoom": {"height_factor": 0.3},
    "RandomElasticTransform": {},
    "RandomErasing": {},
    "RandomGaussianBlur": {},
    "RandomPerspective": {},
    "RandomShear": {"x_factor": 0.2, "y_factor": 0.2},
    "RandomGrayscale": {},
    "RandomInvert": {},
}


@pytest.mark.parametrize("kind", ONLY_IN_TRAINING)
def test_what_does_something_in_training_only_is_gone(kind: str) -> None:
    image = keras.Input(SHAPE)
    x = getattr(layers, kind)(**SETTINGS.get(kind, {"factor": 0.3}))(image)
    simple = compared(keras.Model(image, layers.Conv2D(2, 3, name="a")(x)))
    assert kinds(simple) == ["Conv2D"]


ACTIVATIONS = sorted(set(dir(keras.activations)) - {"get", "serialize", "deserialize", "glu", "threshold"})


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if not name.startswith("_")])
def test_every_activation_of_keras_keeps_its_values(activation: str) -> None:
    image = keras.Input(SHAPE)
    x = layers.Activation(activation, name="by_itself")(image)
    x = layers.Conv2D(4, 3, activation=activation, name="with_kernel")(x)
    compared(keras.Model(image, layers.Conv2D(2, 1)(x)))


def test_the_activation_at_the_end_stays_what_it_is() -> None:
    image = keras.Input(SHAPE)
    simple = compared(keras.Model(image, layers.Conv2D(2, 3, activation="sigmoid", name="end")(image)))
    assert kinds(simple) == ["Conv2D"]
    nothing = layers.Activation("linear")(layers.Conv2D(2, 3)(image))
    assert kinds(compared(keras.Model(image, nothing))) == ["Conv2D"]


def test_of_a_nested_model_that_is_called_twice_each_call_has_its_layers() -> None:
    image, inner = keras.Input(SHAPE), keras.Input(SHAPE)
    twice = layers.SeparableConv2D(3, 3, padding="same", activation="silu", name="twice")
    block = keras.Model(inner, twice(twice(inner)), name="block")
    simple = compared(keras.Model(image, layers.Conv2D(2, 1)(block(block(image)))))
    assert sum(type(layer).__name__ == "DepthwiseConv2D" for layer in simple.layers) == 4
    assert kinds(simple).count("DepthwiseConv2D") == 4


def test_a_softmax_with_a_mask_stays_one() -> None:
    image = keras.Input(SHAPE)
    x = layers.Softmax()(image, mask=ops.greater(image, 0.5))
    assert "Softmax" in kinds(compared(keras.Model(image, layers.Conv2D(2, 1)(x))))


def test_layers_may_be_called_with_keywords() -> None:
    image = keras.Input(SHAPE)
    norm = layers.BatchNormalization()(inputs=layers.PReLU()(inputs=image))
    simple = compared(keras.Model(image, layers.Conv2D(2, 1)(norm)))
    np.testing.assert_allclose(
        fold_batch_norm(simple)(np.ones((1, *SHAPE))), simple(np.ones((1, *SHAPE))), rtol=1e-4, atol=1e-5
    )
    x = layers.Activation("silu")(inputs=layers.Conv2D(4, 3)(inputs=image), training=False)
    compared(keras.Model(image, layers.Dense(3)(layers.SeparableConv2D(4, 3)(x, training=False), training=False)))


def test_an_operation_in_a_nested_model_that_is_called_twice_becomes_two_layers() -> None:
    image, inner = keras.Input(SHAPE), keras.Input(SHAPE)
    block = keras.Model(inner, inner + layers.Conv2D(3, 3, padding="same")(inner) * 0.5, name="block")
    simple = compared(keras.Model(image, block(block(image))))
    assert sum(type(layer).__name__ == "Add" for layer in simple.layers) == 2


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", ["Add", "Multiply", "Average", "Maximum", "Minimum"])
def test_what_merges_many_merges_two_at_a_time(kind: str, count: int) -> None:
    image = keras.Input(SHAPE)
    parts = [layers.Conv2D(4, 3, name=f"part_{number}")(image) for number in range(count)]
    merged = getattr(layers, kind)(name="merged")(parts)
    simple = compared(keras.Model(image, layers.Conv2D(2, 1)(merged)))
    assert all(walk.unsupported_reason(layer) is None for layer in simple.layers)
    assert all(len(taken) <= 2 for _, taken in walk.nodes(simple))
    assert "merged" in [layer.name for layer in simple.layers]


@pytest.mark.parametrize("make", [layers.Softmax, lambda: layers.Activation("softmax"), lambda: ops.softmax])
def test_a_softmax_inside_is_an_activation_and_one_at_the_end_stays(make: Any) -> None:
    image = keras.Input(SHAPE)
    inside = compared(keras.Model(image, layers.Conv2D(2, 1)(make()(image))))
    assert kinds(inside) == ["Activation", "Conv2D"]
    end = compared(keras.Model(image, make()(layers.Conv2D(2, 1)(image))))
    assert kinds(end)[-1] in ("Softmax", "Activation")
    other_axis = compared(keras.Model(image, layers.Conv2D(2, 1)(layers.Softmax(axis=1)(image))))
    assert kinds(other_axis) == ["Softmax", "Conv2D"]


def test_a_dense_layer_of_maps_and_vectors_stays_one() -> None:
    image = keras.Input(SHAPE)
    both = layers.Dense(3, name="both")
    compared(keras.Model(image, both(layers.GlobalAveragePooling2D()(both(image)))))


def test_a_convolution_that_is_depthwise_but_for_its_strides_stays_one() -> None:
    image = keras.Input(SHAPE)
    simple = compared(keras.Model(image, layers.Conv2D(3, 3, groups=3, strides=(2, 1))(image)))
    assert kinds(simple) == ["Conv2D"]


def test_new_names_take_none_that_is_taken() -> None:
    image = keras.Input(SHAPE, name="a_gate_gate")
    x = layers.SeparableConv2D(3, 3, name="a")(layers.Conv2D(3, 1, name="a_depthwise")(image))
    simple = compared(keras.Model(image, layers.Activation("silu", name="a_gate")(x)))
    names = [layer.name for layer in simple.layers]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x + 1.5,
        lambda x: ops.subtract(x1=1.5, x2=x),
        lambda x: x - 1.5,
        lambda x: x * np.float32(0.25),
        lambda x: x / 3,
        lambda x: x + x,
        lambda x: x * x,
        lambda x: ops.leaky_relu(ops.hard_silu(x), negative_slope=0.3),
        lambda x: ops.gelu(x, approximate=False) + 1.0,
        lambda x: ops.mean(x, axis=(1, 2)),
        lambda x: ops.max(x, axis=(1, 2), keepdims=True),
        lambda x: ops.maximum(x, 0.0),
        lambda x: ops.maximum(ops.minimum(x, x * 0.5), x),
        lambda x: ops.clip(x, 0, 6),
        lambda x: ops.reshape(x, (-1, 81, 3)),
        lambda x: ops.transpose(x, (0, 3, 1, 2)),
        lambda x: ops.transpose(x, (0, -1, 1, 2)),
    ],
)
def test_arithmetic_becomes_layers(operation: Any) -> None:
    image = keras.Input(SHAPE)
    simple = compared(keras.Model(image, operation(image)))
    assert all(isinstance(layer, keras.Layer) for layer, _ in walk.nodes(simple))


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: 1.5 / x,
        lambda x: x / 0.0,
        lambda x: x + np.arange(3, dtype=np.float32),
        lambda x: x * ops.mean(x, axis=(1, 2, 3), keepdims=False)[0],
        lambda x: ops.gelu(x, approximate=True),
        lambda x: ops.mean(x, axis=-1),
        lambda x: ops.maximum(x, 1.0),
        lambda x: ops.mean(ops.reshape(x, (-1, 27))),
        lambda x: ops.clip(x, -1, 1),
        lambda x: ops.minimum(x, np.arange(3, dtype=np.float32)),
        lambda x: ops.mean(layers.Reshape((9, 27))(x), axis=(1, 2)),
        ops.hard_sigmoid,
    ],
)
def test_what_no_layer_does_stays_an_operation(operation: Any) -> None:
    image = keras.Input(SHAPE)
    simple = compared(keras.Model(image, operation(image)))
    assert not all(isinstance(layer, keras.Layer) for layer, _ in walk.nodes(simple))


def gelu(x: Any) -> Any:
    """Not Keras' own, which is the exact one."""
    return ops.gelu(x, approximate=True)


@pytest.mark.parametrize("activation", [gelu, ops.gelu, layers.LeakyReLU(0.2)], ids=["own", "operation", "layer"])
def test_an_activation_of_the_users_own_stays_and_is_named(activation: Any) -> None:
    image = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, activation=activation, name="first")(image)
    simple = compared(keras.Model(image, layers.Conv2D(2, 1)(x)))
    reason = walk.unsupported_reason(simple.get_layer("first"))
    assert reason is not None
    assert "gelu of" in reason or "LeakyReLU" in reason


@pytest.mark.parametrize(
    ("resizing", "expected"),
    [
        ({"height": 9, "width": 9}, []),
        ({"height": 18, "width": 27}, ["UpSampling2D"]),
        ({"height": 18, "width": 18, "interpolation": "nearest", "crop_to_aspect_ratio": True}, ["UpSampling2D"]),
        ({"height": 18, "width": 27, "crop_to_aspect_ratio": True}, ["Resizing"]),
        ({"height": 14, "width": 18}, ["Resizing"]),
        ({"height": 18, "width": 18, "interpolation": "bicubic"}, ["Resizing"]),
        ({"height": 18, "width": 18, "antialias": True}, ["Resizing"]),
    ],
)
def test_resizing_inside_the_model_is_nothing_or_upsampling(resizing: dict[str, Any], expected: list[str]) -> None:
    image = keras.Input(SHAPE)
    simple = compared(keras.Model(image, layers.Conv2D(2, 3)(layers.Resizing(**resizing)(image))))
    assert kinds(simple) == [*expected, "Conv2D"]


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (layers.CenterCrop(9, 9), []),
        (layers.CenterCrop(6, 5), ["Cropping2D"]),
        (lambda x: x[:, 1:-1, 2:], ["Cropping2D"]),
        (lambda x: x[..., :7, :, :], ["Cropping2D"]),
        (lambda x: x[:, ::2, ::3], ["MaxPooling2D"]),
        (lambda x: x[:, 1::2, -4::2, :], ["Cropping2D", "MaxPooling2D"]),
        (lambda x: x[:, 8:, :3:4], ["Cropping2D"]),
        (lambda x: x[:, :], []),
    ],
)
def test_rows_and_columns_of_maps_are_cropped_and_pooled(piece: Any, expected: list[str]) -> None:
    image = keras.Input(SHAPE)
    simple = compared(keras.Model(image, layers.Conv2D(2, 1)(piece(image))))
    assert kinds(simple) == [*expected, "Conv2D"]


@pytest.mark.parametrize(
    ("piece", "kept"),
    [
        (layers.CenterCrop(12, 5), "CenterCrop"),
        (lambda x: x[:, ::-1], "GetItem"),
        (lambda x: x[..., :2], "GetItem"),
        (lambda x: x[:, 3][:, None], "GetItem"),
        (lambda x: layers.Reshape((9, 27))(x)[:, ::2][:, None], "GetItem"),
    ],
)
def test_what_crops_and_pools_can_not_do_stays(piece: Any, kept: str) -> None:
    image = keras.Input(SHAPE)
    assert kept in kinds(compared(keras.Model(image, layers.Conv2D(2, 1)(piece(image)))))


REVERSALS = {
    "x[..., ::-1]": lambda x: x[..., ::-1],
    "x[:, :, :, ::-1]": lambda x: x[:, :, :, ::-1],
    "x[..., 2::-1]": lambda x: x[..., 2::-1],
    "flip(x, -1)": lambda x: ops.flip(x, axis=-1),
    "flip(x, (3,))": lambda x: ops.flip(x, axis=(3,)),
}


@pytest.mark.parametrize("turn", REVERSALS.values(), ids=REVERSALS)
def test_channels_that_convolutions_can_take_as_they_come_are_not_turned_around(turn: Any) -> None:
    image = keras.Input(SHAPE)
    x = layers.Rescaling([1.0, 2.0, 3.0], offset=[4.0, 5.0, 6.0])(layers.RandomFlip()(turn(image))) / 2.0
    x = layers.ZeroPadding2D(1)(layers.Rescaling(1.5, offset=[0.5, 0.25, 0.75])(x))
    ways = [layers.Conv2D(2, 3)(x), layers.Conv2D(4, 3, activation="silu")(layers.MaxPooling2D(1)(x))]
    simple = compared(keras.Model(image, layers.Concatenate()(ways)))
    assert not {"Flip", "GetItem"} & set(kinds(simple))
    assert kinds(simple).count("Rescaling") == 3


def test_channels_that_are_turned_around_inside_the_model_come_as_they_are_too() -> None:
    image = keras.Input(SHAPE)
    x = layers.Conv2D(5, 3)(image)
    simple = compared(keras.Model(image, layers.Conv2D(2, 3)(layers.ReLU()(x[..., ::-1]))))
    assert kinds(simple) == ["Conv2D", "ReLU", "Conv2D"]


@pytest.mark.parametrize(
    "behind",
    [
        lambda x, image: x,
        lambda x, image: layers.DepthwiseConv2D(3)(x),
        lambda x, image: layers.Conv2D(3, 3, groups=3)(x),
        lambda x, image: layers.Conv2D(2, 1)(layers.Add()([x, image])),
        lambda x, image: layers.Concatenate()([layers.Conv2D(2, 1)(x), x]),
        lambda x, image: layers.Conv2D(2, 1)(x * np.array([1.0, 2.0, 3.0], np.float32)),
        lambda x, image: layers.Conv2D(2, 1)(layers.Rescaling(np.ones(SHAPE) * [1.0, 2.0, 3.0])(x)),
        lambda x, image: layers.Conv2D(2, 1)(layers.Softmax(axis=1)(x)),
    ],
)
def test_where_something_else_takes_the_channels_they_are_turned_around(behind: Any) -> None:
    image = keras.Input(SHAPE)
    assert "GetItem" in kinds(compared(keras.Model(image, behind(image[..., ::-1], image))))


@pytest.mark.parametrize(
    "turn",
    [
        lambda x: ops.flip(x, axis=1),
        ops.flip,
        lambda x: x[:, ::-1, :, ::-1],
        lambda x: x[..., 1::-1],
    ],
)
def test_what_turns_more_or_less_than_the_channels_stays(turn: Any) -> None:
    image = keras.Input(SHAPE)
    assert {"Flip", "GetItem"} & set(kinds(compared(keras.Model(image, layers.Conv2D(2, 1)(turn(image))))))
