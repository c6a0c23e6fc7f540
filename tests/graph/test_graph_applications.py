"""Every image model of keras.applications can be cut, whatever it is made of."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from learn2compress.graph.trunk import own_layers

# Small ones that differ: inverted residuals, squeeze-excite, bottlenecks, layer norm.
QUICK = ("MobileNetV2", "MobileNetV3Small", "ResNet50V2", "ConvNeXtTiny")
# The smallest image where 32 pixels are not enough.
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71, "NASNetLarge": 64, "NASNetMobile": 64}
CLASSES = 10


def image_models() -> list[Any]:
    functions = dict(inspect.getmembers(keras.applications, inspect.isfunction))
    names = [name for name in functions if name[0].isupper()]
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


def test_all_image_models_are_found() -> None:
    assert len(image_models()) >= 40


@pytest.fixture(autouse=True)
def free_memory() -> Iterator[None]:
    yield
    keras.backend.clear_session()
    gc.collect()


def enliven(model: Any, inputs: Any) -> None:
    """Weights of which each matters, and batch norms whose statistics are those of the inputs."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.weights:
            if len(weight.shape) == 1 and not weight.name.endswith(("mean", "variance")):
                weight.assign(weight + rng.normal(0, 0.3, weight.shape))
            elif "kernel" in weight.name:
                depthwise = weight.name == "depthwise_kernel" or type(layer).__name__ == "DepthwiseConv2D"
                fan_in = np.prod(weight.shape[: -2 if depthwise else -1])
                weight.assign(rng.normal(0, (2 / fan_in) ** 0.5, weight.shape))
    # One pass in training, without dropout, makes the inputs' statistics those of the norms.
    changed = {"BatchNormalization": "momentum", "Dropout": "rate"}
    layers = [(layer, changed[type(layer).__name__]) for layer in model.layers if type(layer).__name__ in changed]
    before = [getattr(layer, setting) for layer, setting in layers]
    for layer, setting in layers:
        setattr(layer, setting, 0.0)
    model(inputs, training=True)
    for (layer, setting), value in zip(layers, before, strict=True):
        setattr(layer, setting, value)
        if setting == "momentum":
            # So few inputs leave some variances near zero, which would blow up every rounding error.
            variance = np.asarray(layer.moving_variance)
            layer.moving_variance.assign(np.maximum(variance, 0.5 * variance.mean()))


@pytest.mark.parametrize("name", image_models())
def test_an_image_model_can_be_cut(check_pruning: Callable[..., Any], name: str) -> None:
    shape = (SIZES.get(name, 32), SIZES.get(name, 32), 3)
    make = getattr(keras.applications, name)
    model = make(weights=None, input_shape=shape, classes=CLASSES, classifier_activation=None)
    inputs = np.random.default_rng(1).uniform(-1, 1, (4, *shape)).astype(np.float32)
    enliven(model, inputs)
    whole = np.asarray(model(inputs))
    # It can be said in simple layers, all of which later stages know.
    own = own_layers(model)
    assert own.unpruned is None
    np.testing.assert_allclose(own.model(inputs), whole, atol=1e-4 * np.abs(whole).max())
    channels = check_pruning(model, inputs)
    assert channels.prunable
    assert not channels.notes
    # What was silenced mattered.
    assert np.abs(np.asarray(model(inputs)) - whole).max() > 1e-2 * np.abs(whole).max()
