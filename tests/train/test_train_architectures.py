"""What image models are made of, from Keras' layer to the integer file: the same numbers all the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from learn2compress.core.precision import FileFormat
from learn2compress.export.convert import to_int8
from learn2compress.graph.lower import lowered
from learn2compress.graph.trunk import build_whole, own_layers
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.measure.accuracy import tflite_probabilities
from learn2compress.stages.files import ready_to_write
from learn2compress.stages.float_parts import float_parts
from learn2compress.train.fake_quant import float_by_nature, set_tracking
from learn2compress.train.quantize import folded, quantization_ready

SIZE, CHANNELS, CLASSES = 16, 8, 3


def squeeze_excite(x: Any, gate: str = "sigmoid", dense: bool = False) -> Any:
    y = layers.GlobalAveragePooling2D(keepdims=not dense)(x)
    if dense:
        y = layers.Dense(4, activation="relu")(y)
        y = layers.Dense(CHANNELS, activation=gate)(y)
        return layers.Multiply()([x, layers.Reshape((1, 1, CHANNELS))(y)])
    y = layers.Conv2D(4, 1, activation="silu")(y)
    return layers.Multiply()([x, layers.Conv2D(CHANNELS, 1, activation=gate)(y)])


def branches(x: Any) -> Any:
    left = layers.Conv2D(4, 1, activation="relu")(x)
    right = layers.AveragePooling2D(3, 1, padding="same")(x)
    return layers.Concatenate()([left, right, x])


def dense_block(x: Any) -> Any:
    for _ in range(2):
        y = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same", use_bias=False)(y)])
    return layers.ReLU()(layers.BatchNormalization()(x))


def separable(x: Any) -> Any:
    x = layers.SeparableConv2D(12, 3, strides=2, depth_multiplier=2, activation="relu")(x)
    return layers.BatchNormalization()(layers.SeparableConv2D(9, 3, padding="same", use_bias=False)(x))


def transposed(x: Any, activation: str = "relu", **settings: Any) -> Any:
    # Made anew in each test: the kernel of a layer that is made on import comes from no seed.
    return layers.Conv2DTranspose(6, 3, activation=activation, **settings)(x)


def shifted_pools(x: Any) -> Any:
    """The factorized reduction of NASNet."""
    y = layers.Cropping2D(((1, 0), (1, 0)))(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
    pools = [layers.AveragePooling2D(1, 2)(tensor) for tensor in (x, y)]
    return layers.BatchNormalization()(layers.Concatenate()([layers.Conv2D(4, 1)(pool) for pool in pools]))


def norm_and_scale(x: Any) -> Any:
    """A block of ConvNeXt, whose layers are Dense on maps."""
    from keras.src.applications.convnext import LayerScale

    y = layers.Conv2D(CHANNELS, 3, padding="same", groups=CHANNELS)(x)
    y = layers.Dense(16, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(y))
    return layers.Add()([x, LayerScale(0.7, CHANNELS)(layers.Dense(CHANNELS)(y))])


def operations(x: Any) -> Any:
    y = ops.relu6(x * 0.5 + 1.0)
    y = ops.concatenate([y, 2.0 - x, ops.sigmoid(x / 2.0)], axis=-1)
    return y * ops.mean(y, axis=[1, 2], keepdims=True)


def swishes(x: Any) -> Any:
    x = layers.Conv2D(CHANNELS, 3, activation="silu")(layers.Activation("swish")(x))
    x = layers.Conv2D(CHANNELS, 3, padding="same", activation="hard_silu")(x)
    return layers.Multiply()([x, layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)])


def activations(x: Any) -> Any:
    x = layers.Activation("tanh")(layers.Conv2D(CHANNELS, 1, activation="gelu")(x))
    x = layers.PReLU(shared_axes=[1, 2])(layers.LeakyReLU(0.2)(layers.ReLU(negative_slope=0.5)(x)))
    return layers.ReLU()(layers.PReLU(shared_axes=[1, 2])(layers.ReLU(6.0)(layers.LeakyReLU(0.2)(x))))


def arithmetic(x: Any) -> Any:
    y = layers.Rescaling(0.5, offset=0.1)(layers.Rescaling(-1.5)(layers.Conv2D(CHANNELS, 3, padding="same")(x)))
    return layers.Rescaling(0.5, offset=0.1)(layers.Subtract()([x, y]))


def merges(x: Any) -> Any:
    """Of three, and of the larger and the smaller."""
    y, z = (layers.Conv2D(CHANNELS, 3, padding="same")(x) for _ in range(2))
    return layers.Average()([layers.Add()([x, y, z]), layers.Maximum()([x, y, z]), ops.minimum(y, z)])


def attended(x: Any) -> Any:
    """A block of MobileViT."""
    tokens = layers.Permute((2, 1))(layers.Permute((2, 1))(layers.Reshape((-1, CHANNELS))(x)))
    y = layers.LayerNormalization(epsilon=1e-6)(tokens)
    tokens = layers.Average()([tokens, layers.MultiHeadAttention(2, 4, dropout=0.1)(y, y)])
    y = layers.Dense(16, activation="swish")(layers.LayerNormalization(epsilon=1e-6)(tokens))
    tokens = layers.BatchNormalization()(layers.Add()([tokens, layers.Dense(CHANNELS)(y)]))
    return layers.Reshape((*x.shape[1:3], CHANNELS))(tokens)


def shared(x: Any) -> Any:
    again, norm = layers.Conv2D(CHANNELS, 3, padding="same", activation="relu"), layers.BatchNormalization()
    return norm(again(norm(again(x))))


def windows(x: Any) -> Any:
    """The shortcut of a ResNet that leaves out every second row and column."""
    x = layers.CenterCrop(6, 5)(x)
    y = layers.Conv2D(CHANNELS, 3, strides=2, padding="same", activation="relu")(x)
    return layers.Add()([x[:, ::2, ::2], y])[:, :-1]


def gated_by_softmax(x: Any) -> Any:
    y = layers.Conv2D(CHANNELS, 1, activation="softmax")(x)
    return layers.Multiply()([x, layers.Softmax()(layers.Rescaling(4.0)(y))]) * 8.0


PIECES: dict[str, Callable[[Any], Any]] = {
    "swishes": swishes,
    "activations": activations,
    "squeeze-excite": lambda x: squeeze_excite(squeeze_excite(x), dense=True),
    "squeeze-excite, hard": lambda x: squeeze_excite(squeeze_excite(x, "hard_sigmoid"), "hard_sigmoid", dense=True),
    "branches": branches,
    "dense block": dense_block,
    "separable": separable,
    "grouped": lambda x: layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, groups=4)(x))),
    "shifted pools": shifted_pools,
    "upsampled": lambda x: layers.UpSampling2D(interpolation="bilinear")(layers.UpSampling2D()(x)),
    "norm and scale": norm_and_scale,
    "norm, relu": lambda x: layers.ReLU()(layers.LayerNormalization()(x)),
    "elu": lambda x: layers.Conv2D(6, 3, activation="selu")(layers.ELU()(x)),
    "operations": operations,
    "arithmetic": arithmetic,
    "merges": merges,
    "attention": attended,
    "shared": shared,
    "windows": windows,
    "softmax inside": gated_by_softmax,
    "transposed": transposed,
    "transposed, swish": lambda x: transposed(x, strides=2, padding="same", activation="swish"),
}
IN_FLOAT = {"norm and scale", "norm, relu", "elu", "attention"}


def teacher_with(piece: Callable[[Any], Any], images: Any) -> Any:
    """A small teacher of pixels 0..255 with weights of which each matters, and that tells these images apart."""
    keras.utils.set_random_seed(3)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(CHANNELS, 3, strides=2)(layers.Rescaling(1 / 127.5, offset=-1.0)(image))
    x = piece(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 1, activation="relu")(x))
    model = keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x))
    rng = np.random.default_rng(5)
    for weight in model.weights:
        if len(weight.shape) == 1 and not weight.name.startswith("seed"):
            weight.assign(np.asarray(weight) + rng.uniform(0.05, 0.4, weight.shape))
    features = np.asarray(keras.Model(image, x)(images.astype(np.float32)))
    kernel, bias = rng.normal(0, 1, (features.shape[1], CLASSES)), -features.mean(axis=0)
    kernel /= (features @ kernel).std(axis=0)
    model.layers[-1].set_weights([kernel, bias @ kernel])
    return model


@pytest.fixture(scope="module")
def photos() -> Any:
    rng = np.random.default_rng(1)
    base = rng.integers(0, 256, (48, 4, 4, 3)).repeat(SIZE // 4, 1).repeat(SIZE // 4, 2)
    return np.clip(base + rng.normal(0, 20, base.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", PIECES)
def test_a_teachers_layers_come_out_as_an_integer_file_that_gives_what_training_saw(
    name: str, photos: Any, tmp_path: Path
) -> None:
    teacher = teacher_with(PIECES[name], photos)
    expected = teacher.predict_on_batch(photos.astype(np.float32))
    assert np.ptp(expected, axis=0).min() > 0.3  # what comes out depends on what goes in
    assert own_layers(teacher).unpruned is None
    member = build_whole(lowered(teacher), "member", np.ones(3), np.zeros(3), False)
    graph, inputs = folded(member), (photos.astype(np.float32) - 128) / 128
    for form in (member, graph):
        found = np.asarray(ops.softmax(form(inputs, training=False)))
        np.testing.assert_allclose(found, expected, atol=2e-4)
    twin = quantization_ready(member)
    set_tracking(twin, 1.0)
    twin(inputs, training=True)
    set_tracking(twin, 0.0)
    complete = ready_to_write(twin, FileFormat(), "member")
    path = tmp_path / "member.tflite"
    path.write_bytes(to_int8(complete, (SIZE, SIZE)))
    trained = np.asarray(complete(inputs, training=False))
    apart = np.abs(tflite_probabilities(path, ArraySplit(photos, np.zeros(len(photos), np.int64))) - trained) * 256
    # The last features are near each other, and are spread to tell the images apart: one of their steps is several
    # of the probabilities'.
    assert apart.mean() < 1.5
    assert apart.max() <= 10
    # A transposed convolution has one scale for all of its kernel.
    np.testing.assert_allclose(trained, expected, atol=0.12 if "transposed" in name else 0.06)
    parts, unexplained = float_parts(path, FileFormat(), float_by_nature(graph))
    assert unexplained == ()
    assert bool(parts) == (name in IN_FLOAT)
    assert all("no integer kernel" in part.reason for part in parts)
