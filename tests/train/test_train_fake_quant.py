"""Fake quantization rounds where the file will round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learn2compress.measure.graph import describe
from learn2compress.train.fake_quant import QuantActivation, fake_quantize, set_tracking
from learn2compress.train.quantize import folded, quantization_ready, unquantized, with_probabilities

SIZE = 12
CLASSES = 3
rng = np.random.default_rng


def settled(model: Any, seed: int = 0) -> Any:
    """The model with weights as training leaves them."""
    random = rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            if "kernel" in weight.name:
                fan_in = max(1, int(np.prod(weight.shape[:-1])))
                weight.assign(random.normal(0, 1.5 * fan_in**-0.5, weight.shape))
            elif weight.name.endswith("variance") or weight.name == "gamma":
                weight.assign(random.uniform(0.5, 1.5, weight.shape))
            else:
                weight.assign(random.normal(0.1, 0.2, weight.shape))
    return model


def photos(count: int = 64) -> Any:
    """Pixels with structure, so that outputs differ from image to image."""
    random = rng(1)
    base = random.integers(0, 256, (count, 1, 1, 3))
    return np.clip(base + random.normal(0, 30, (count, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)


def calibrated(model: Any) -> Any:
    inputs = (photos().astype(np.float32) - 128) / 128
    set_tracking(model, 1.0)
    model(inputs, training=True)
    set_tracking(model, 0.0)
    return model


def complete(model: Any) -> Any:
    """Fake-quantized, calibrated, ending in probabilities."""
    return with_probabilities(calibrated(quantization_ready(settled(model))), "member")


def write(model: Any, path: Path) -> Path:
    from learn2compress.export.convert import to_int8

    path.write_bytes(to_int8(model, (SIZE, SIZE)))
    return path


def run(path: Path, images: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image_in, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = out["quantization"]
    outputs = []
    for image in images:
        interpreter.set_tensor(image_in["index"], image[None])
        interpreter.invoke()
        outputs.append((interpreter.get_tensor(out["index"])[0].astype(np.float32) - zero_point) * scale)
    return np.stack(outputs)


@settings(max_examples=40, deadline=None)
@given(low=st.floats(-10, 0), high=st.floats(0.01, 10), values=st.lists(st.floats(-20, 20), min_size=1, max_size=20))
def test_activations_come_out_on_a_grid_of_256_values_that_has_zero(
    low: float, high: float, values: list[float]
) -> None:
    layer = QuantActivation()
    layer.build((None,))
    layer.low.assign(low)
    layer.high.assign(high)
    found = np.asarray(layer(np.array([*values, 0.0], np.float32)), float)
    step = (float(layer.high) - float(layer.low)) / 255
    np.testing.assert_allclose(found / step, np.round(found / step), atol=2e-2)
    assert found[-1] == 0
    inside = np.clip(values, low, high)
    # The grid is moved by up to half a step so that it has zero.
    np.testing.assert_allclose(found[:-1], inside, atol=1.01 * step + 1e-6)


def test_ranges_follow_the_data_only_while_they_are_tracked() -> None:
    layer = QuantActivation()
    layer.build((None,))
    layer.rate.assign(1.0)
    layer(np.array([-1.0, 3.0], np.float32), training=True)
    assert (float(layer.low), float(layer.high)) == (-1.0, 3.0)
    layer.rate.assign(0.5)
    layer(np.array([1.0, 5.0], np.float32), training=True)
    assert (float(layer.low), float(layer.high)) == (-0.5, 4.0)
    layer(np.array([100.0], np.float32), training=False)
    layer.rate.assign(0.0)
    layer(np.array([100.0], np.float32), training=True)
    assert (float(layer.low), float(layer.high)) == (-0.5, 4.0)


@pytest.mark.parametrize("name", ["Conv2D", "DepthwiseConv2D", "Dense"])
def test_weights_are_rounded_to_255_values_per_output_channel(name: str) -> None:
    from keras import Input, Model, layers

    arguments = {"Conv2D": (6, 3), "DepthwiseConv2D": (3,), "Dense": (6,)}[name]
    image = Input((5, 5, 4))
    plain = Model(image, getattr(layers, name)(*arguments, name="layer", use_bias=False)(image))
    settled(plain)
    quantized = fake_quantize(plain)
    layer, kernel = quantized.get_layer("layer"), np.asarray(plain.get_layer("layer").kernel)
    # What it multiplies with shows in its answer to unit impulses.
    impulses = np.zeros((5 * 5 * 4, 5, 5, 4), np.float32)
    impulses.reshape(100, 100)[np.arange(100), np.arange(100)] = 1
    found = np.asarray(layer(impulses)).reshape(100, -1)
    expected = np.asarray(plain(impulses)).reshape(100, -1)
    largest = np.abs(kernel).max()
    assert 0 < np.abs(found - expected).max() <= largest / 127 * 0.51
    channels = found.reshape(-1, found.shape[-1] if name == "Dense" else layer.output.shape[-1])
    for column in channels.T:
        assert len(np.unique(np.abs(column[column != 0]).round(6))) <= 127


def test_the_models_outputs_are_multiples_of_one_256th(tiny_member: Callable[..., Any]) -> None:
    model = complete(tiny_member(8))
    outputs = np.asarray(model((photos().astype(np.float32) - 128) / 128)) * 256
    np.testing.assert_allclose(outputs, np.round(outputs), atol=1e-3)
    assert len(np.unique(outputs.round())) > 10


def test_every_tensor_that_a_kernel_writes_is_rounded(tiny_member: Callable[..., Any]) -> None:
    from keras import Model

    model = complete(tiny_member(8))
    rounded = [layer for layer in model.layers if isinstance(layer, QuantActivation)]
    assert {layer.name for layer in rounded} == {
        "input_quant",
        "stem_relu_quant",
        "a_relu_quant",
        "b_depthwise_quant",
        "b_quant",
        "out_quant",
        "pool_quant",
        "logits_quant",
        "probabilities_quant",
    }
    inputs = (photos().astype(np.float32) - 128) / 128
    for layer in rounded:
        values = np.asarray(Model(model.inputs[0], layer.output)(inputs))
        assert len(np.unique(values)) <= 256


def test_the_pixel_is_the_quantized_input(tiny_member: Callable[..., Any], tmp_path: Path) -> None:
    found = describe(write(complete(tiny_member(8)), tmp_path / "member.tflite"))
    assert found.inputs[0].dtype == "UINT8"
    assert found.inputs[0].scale == pytest.approx(1 / 128)
    assert found.inputs[0].zero_point == 128
    assert found.outputs[0].scale == pytest.approx(1 / 256)
    assert found.outputs[0].zero_point == 0


def architectures() -> dict[str, Callable[[Any], Any]]:
    """Every layer that members may have, in the company that makes trouble."""
    from keras import layers

    def pools(x: Any) -> Any:
        x = layers.MaxPooling2D(2)(layers.Conv2D(8, 3, padding="same", activation="relu")(x))
        x = layers.AveragePooling2D(3, strides=2, padding="same")(layers.ZeroPadding2D(1)(x))
        x = layers.ReLU()(layers.SpatialDropout2D(0.1)(x))
        return layers.GlobalAveragePooling2D()(x)

    def largest(x: Any) -> Any:
        return layers.GlobalMaxPooling2D()(layers.Conv2D(8, 3)(x))

    def vectors(x: Any) -> Any:
        x = layers.Flatten()(layers.Conv2D(4, 3, strides=2)(x))
        x = layers.Dense(12, activation="relu")(layers.Dropout(0.1)(x))
        return layers.Flatten()(layers.Identity()(layers.Reshape((2, 6))(x)))

    def norms(x: Any) -> Any:
        x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, depth_multiplier=3)(x))
        x = layers.BatchNormalization()(layers.ReLU()(x))
        x = layers.BatchNormalization()(layers.Conv2D(8, 3, dilation_rate=2)(x))
        return layers.GlobalAveragePooling2D()(layers.Activation("relu6")(x))

    def joints(x: Any) -> Any:
        one = layers.Conv2D(4, 3, padding="same")(x)
        other = layers.ReLU()(layers.Conv2D(4, 1)(x))
        x = layers.Concatenate()([layers.Add()([one, other]), layers.ReLU()(one)])
        return layers.GlobalAveragePooling2D()(layers.Conv2D(8, 1)(x))

    def dense_pixels(x: Any) -> Any:
        x = layers.BatchNormalization()(layers.Dense(8)(x))
        return layers.GlobalAveragePooling2D()(layers.ReLU()(x))

    def twice_clamped(x: Any) -> Any:
        x = layers.ReLU(6.0)(layers.Conv2D(8, 3, activation="relu")(x))
        return layers.GlobalAveragePooling2D(keepdims=True)(x)

    return {
        function.__name__: function
        for function in (pools, largest, vectors, norms, joints, dense_pixels, twice_clamped)
    }


@pytest.mark.parametrize("name", ["pools", "largest", "vectors", "norms", "joints", "dense_pixels", "twice_clamped"])
def test_the_file_is_integer_throughout_and_says_what_the_model_says(name: str, tmp_path: Path) -> None:
    from keras import Input, Model, layers

    image = Input((SIZE, SIZE, 3))
    x = architectures()[name](image)
    if len(x.shape) == 4:
        x = layers.Flatten()(x)
    model = complete(Model(image, layers.Dense(CLASSES)(x)))
    path = write(model, tmp_path / "member.tflite")
    found = describe(path)
    assert found.float_islands == ()
    assert found.fully_integer
    assert found.custom_ops == ()
    expected = np.asarray(model((photos().astype(np.float32) - 128) / 128))
    assert np.ptp(expected, axis=0).max() > 0.1
    # A value between two steps inside may be rounded the other way, and move an output by a few of its own steps;
    # but only now and then, else the file rounds on another grid than the model.
    difference = np.abs(run(path, photos()) - expected)
    assert difference.max() <= 8 / 256
    assert difference.mean() <= 0.5 / 256


def test_the_file_of_a_usual_member_is_within_one_step_of_the_model(
    tiny_member: Callable[..., Any], tmp_path: Path
) -> None:
    model = complete(tiny_member(8))
    expected = np.asarray(model((photos().astype(np.float32) - 128) / 128))
    found = run(write(model, tmp_path / "member.tflite"), photos())
    steps = np.round(np.abs(found - expected) * 256)
    assert (steps <= 1).mean() > 0.98
    assert steps.max() <= 2
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95


def test_a_layer_without_an_int8_kernel_is_refused_by_name() -> None:
    from keras import Input, Model, layers

    image = Input((SIZE, SIZE, 3))
    x = layers.Activation("swish", name="smooth")(layers.Conv2D(4, 3)(image))
    with pytest.raises(ValueError, match="smooth has the activation silu"):
        fake_quantize(Model(image, layers.GlobalAveragePooling2D()(x)))


def test_the_kept_model_has_the_trained_weights_in_plain_layers(tiny_member: Callable[..., Any]) -> None:
    before = folded(settled(tiny_member(8)))
    quantized = calibrated(fake_quantize(before))
    kernel = quantized.get_layer("a").kernel
    kernel.assign(kernel * 1.5)
    kept = unquantized(quantized, before)
    np.testing.assert_array_equal(kept.get_layer("a").kernel, kernel)
    assert not any("Quant" in type(layer).__name__ for layer in kept.layers)


def test_a_fake_quantized_model_is_saved_and_read_back(tiny_member: Callable[..., Any], tmp_path: Path) -> None:
    import keras

    model = complete(tiny_member(8))
    model.save(tmp_path / "member.keras")
    again = keras.models.load_model(tmp_path / "member.keras")
    inputs = (photos(8).astype(np.float32) - 128) / 128
    np.testing.assert_array_equal(np.asarray(again(inputs)), np.asarray(model(inputs)))
