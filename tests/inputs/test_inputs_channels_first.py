"""Keras models of channels first are rebuilt with channels last, as the same function, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.inputs.channels_first import channels_last
from learn2compress.inputs.teacher import load_teacher


def network(keras, data_format):
    """The same network in either layout, with a nested model, a concatenation and a flattening."""
    layers, axis = keras.layers, 1 if data_format == "channels_first" else -1
    shape = (3, 12, 10) if data_format == "channels_first" else (12, 10, 3)

    def conv(x, filters, **more):
        x = layers.Conv2D(filters, 3, padding="same", data_format=data_format, **more)(x)
        return layers.ReLU()(layers.BatchNormalization(axis=axis)(x))

    inside = keras.Input((4, 6, 5) if axis == 1 else (6, 5, 4))
    block = keras.Model(inside, layers.Add()([inside, conv(inside, 4)]), name="block")
    image = keras.Input(shape)
    x = conv(layers.Rescaling(1 / 255)(image), 4, strides=2)
    x = layers.Concatenate(axis=axis)(
        [block(x), layers.DepthwiseConv2D(3, padding="same", data_format=data_format)(x)]
    )
    gate = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D(data_format=data_format)(x))
    x = layers.Multiply()([x, layers.Reshape((8, 1, 1) if axis == 1 else (1, 1, 8))(gate)])
    x = layers.ZeroPadding2D(((0, 1), (1, 0)), data_format=data_format)(x)
    x = layers.MaxPooling2D(2, data_format=data_format)(layers.Softmax(axis=axis)(x))
    x = layers.Flatten(data_format=data_format)(x)
    return keras.Model(image, layers.Dense(5, activation="softmax")(x))


def test_a_model_of_channels_first_answers_as_its_twin_of_channels_last(keras):
    last, first = network(keras, "channels_last"), network(keras, "channels_first")
    random = np.random.default_rng(0)
    weights = [random.uniform(0.2, 1, weight.shape).astype(np.float32) for weight in last.weights]
    last.set_weights(weights)
    first.set_weights(weights)
    images = random.integers(0, 256, (4, 12, 10, 3), np.uint8)
    teacher = load_teacher(first, preprocess="raw")
    assert (teacher.input_size, teacher.keras_model.input_shape) == ((12, 10), (None, 12, 10, 3))
    expected = np.asarray(last(images.astype(np.float32), training=False))
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(teacher.predict(images), expected, atol=1e-5)


def test_a_sequential_of_channels_first_is_rebuilt_too(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((3, 8, 8)),
            layers.Conv2D(4, 3, data_format="channels_first"),
            layers.GlobalAveragePooling2D(data_format="channels_first"),
            layers.Dense(3),
        ]
    )
    turned = channels_last(model, "it")
    assert turned.input_shape == (None, 8, 8, 3)
    for mine, its in zip(turned.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(mine, its)


@pytest.mark.parametrize("kind", ["flatten", "reshape", "permute", "data format"])
def test_what_depends_on_the_layout_is_refused(keras, kind):
    layers = keras.layers
    middle = {
        "flatten": layers.Flatten(data_format="channels_last"),
        "reshape": layers.Reshape((8 * 8 * 3,)),
        "permute": layers.Permute((2, 3, 1)),
        "data format": layers.Conv2D(4, 3, data_format="channels_last", padding="same"),
    }[kind]
    model = keras.Sequential([layers.Input((3, 8, 8)), middle, layers.Flatten(), layers.Dense(3)])
    with pytest.raises(InputError, match=middle.name) as caught:
        channels_last(model, "it")
    assert caught.value.code == "teacher.channels_first"
