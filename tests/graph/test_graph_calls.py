"""Copies of layers with parts of the user's own: functions of which Keras only writes down the name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import Input, Model, layers, ops

from learn2compress.core.choice import Choice
from learn2compress.graph.calls import UnreadableGraphError, read_graph
from learn2compress.graph.channels import find_channels
from learn2compress.graph.lower import lowered
from learn2compress.graph.settings import plain_settings
from learn2compress.graph.surgery import prune
from learn2compress.graph.trunk import own_layers
from learn2compress.graph.walk import functional, is_functional

SIDE = 8


def gelu(x: Any) -> Any:
    """The user's own: mixes channels, and is called like one of Keras'."""
    return x - ops.mean(x, axis=-1, keepdims=True)


def wave(x: Any) -> Any:
    return ops.sin(x)


class Wavy:
    """Serves as activation, and can't be written down."""

    def __call__(self, x: Any) -> Any:
        return ops.sin(x)


class WavyLayer(layers.Layer):
    def call(self, x: Any) -> Any:
        return ops.sin(x)


class AllOnes(keras.initializers.Initializer):
    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return ops.ones(shape, dtype)


def ones(shape: Any, dtype: Any = None) -> Any:
    return ops.ones(shape, dtype)


class Weighed(keras.regularizers.Regularizer):
    """Without `get_config`, as many are."""

    def __call__(self, x: Any) -> Any:
        return ops.sum(ops.square(x))


class Bounded(keras.constraints.Constraint):
    def __call__(self, w: Any) -> Any:
        return ops.clip(w, -1, 1)


class ByName(layers.Layer):
    """Finds its activation by the name itself."""

    def __init__(self, activation: str, **more: Any) -> None:
        super().__init__(**more)
        self.activation = {"gelu": gelu}[activation]

    def call(self, x: Any) -> Any:
        return self.activation(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation.__name__}


def images() -> Any:
    return np.random.default_rng(0).uniform(-1, 1, (3, SIDE, SIDE, 3)).astype(np.float32)


def model_of(layer: Any) -> Any:
    image = Input((SIDE, SIDE, 3))
    x = layers.Conv2D(12, 3, name="after")(layer(image))
    return Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def assert_same(model: Any, other: Any) -> None:
    np.testing.assert_allclose(np.asarray(other(images())), np.asarray(model(images())), rtol=0, atol=1e-5)


ACTIVATED: dict[str, Callable[[], Any]] = {
    "named like Keras' own": lambda: layers.Conv2D(12, 3, activation=gelu, name="own"),
    "by itself": lambda: layers.Activation(gelu, name="own"),
    "of another name": lambda: layers.Conv2D(12, 3, activation=wave, name="own"),
    "an object": lambda: layers.Conv2D(12, 3, activation=Wavy(), name="own"),
    "a layer": lambda: layers.Conv2D(12, 3, activation=WavyLayer(), name="own"),
    "an operation": lambda: layers.Conv2D(12, 3, activation=ops.gelu, name="own"),
    "found by the layer itself": lambda: ByName("gelu", name="own"),
}


@pytest.mark.parametrize("case", ACTIVATED)
def test_a_copy_has_the_users_own_activation(case: str) -> None:
    layer = ACTIVATED[case]()
    model = model_of(layer)
    held = {name: value for name, value in vars(layer).items() if name.endswith("activation")}
    member = prune(find_channels(model), Choice()).model
    assert_same(model, member)
    assert held == {name: value for name, value in vars(layer).items() if name.endswith("activation")}


@pytest.mark.parametrize("case", sorted(set(ACTIVATED) - {"found by the layer itself"}))
def test_lowered_layers_have_the_users_own_activation(case: str) -> None:
    model = model_of(ACTIVATED[case]())
    assert_same(model, lowered(model))


def test_channels_that_a_users_own_activation_may_mix_stay() -> None:
    channels = find_channels(model_of(ACTIVATED["named like Keras' own"]()))
    reasons = {group.name: group.reason for group in channels.groups}
    assert reasons["own"] == f"own has the activation gelu of {__name__}"
    assert reasons["after"] == ""
    keras_own = find_channels(model_of(layers.Conv2D(12, 3, activation="gelu", name="own")))
    assert next(group.reason for group in keras_own.groups if group.name == "own") == ""


@pytest.mark.parametrize(
    "part",
    [
        {"kernel_initializer": AllOnes()},
        {"bias_initializer": ones},
        {"kernel_regularizer": Weighed()},
        {"bias_regularizer": ops.sum},
        {"activity_regularizer": Weighed()},
        {"kernel_constraint": Bounded()},
    ],
    ids="".join,
)
def test_what_matters_for_training_alone_is_no_obstacle(part: dict[str, Any]) -> None:
    model = model_of(layers.Conv2D(12, 3, name="own", **part))
    channels = find_channels(model)
    assert_same(model, prune(channels, Choice()).model)
    assert_same(model, lowered(model))
    assert own_layers(model).unpruned is None
    assert prune(channels, Choice({0: np.arange(3)})).model.count_params() == model.count_params()


def test_what_is_keras_own_stays_in_the_settings() -> None:
    layer = layers.Conv2D(
        4, 3, kernel_initializer="he_normal", kernel_regularizer="l2", bias_constraint="non_neg", activation="relu"
    )
    assert plain_settings(layer) == layer.get_config()
    assert plain_settings(layers.Dense(4, activation=layers.LeakyReLU()))["activation"]["class_name"] == "LeakyReLU"


class TrainedOtherwise(keras.Model):
    """Computes what its graph says, whatever it does in training."""

    def train_step(self, data: Any) -> Any:
        raise NotImplementedError

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class BuiltInside(TrainedOtherwise):
    def __init__(self) -> None:
        image = Input((SIDE, SIDE, 3))
        super().__init__(image, layers.Conv2D(12, 3, name="inside")(image))


class CalledOtherwise(keras.Model):
    def call(self, inputs: Any, **kwargs: Any) -> Any:
        return 2 * super().call(inputs, **kwargs)


class SequenceCalledOtherwise(keras.Sequential):
    def call(self, inputs: Any, **kwargs: Any) -> Any:
        return 2 * super().call(inputs, **kwargs)


class SequenceTrainedOtherwise(keras.Sequential):
    def train_step(self, data: Any) -> Any:
        raise NotImplementedError


def classifier(kind: Any) -> Any:
    image = Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Conv2D(12, 3, name="first")(image)))
    return kind(image, layers.Dense(2)(x))


def test_a_model_that_is_only_trained_otherwise_is_the_graph_that_it_is(tmp_path: Path) -> None:
    model = classifier(TrainedOtherwise)
    assert is_functional(model)
    own = own_layers(model)
    assert own.unpruned is None
    assert type(own.model) is type(classifier(keras.Model))
    assert_same(model, own.model)
    member = prune(find_channels(model), Choice()).model
    member.save(tmp_path / "member.keras")
    assert_same(model, keras.models.load_model(tmp_path / "member.keras"))


@pytest.mark.parametrize(
    "kind", [BuiltInside, lambda: SequenceTrainedOtherwise([layers.Conv2D(12, 3, name="inside")])]
)
def test_as_part_of_another_model_it_is_opened(kind: Any) -> None:
    model = model_of(kind())
    assert read_graph(model).calls[0].name == "inside"
    assert_same(model, prune(find_channels(model), Choice()).model)


def test_a_model_that_computes_something_else_is_code() -> None:
    model = classifier(CalledOtherwise)
    assert not is_functional(model)
    with pytest.raises(UnreadableGraphError, match="is a CalledOtherwise"):
        read_graph(model)
    sequence = SequenceCalledOtherwise([Input((SIDE, SIDE, 3)), layers.Conv2D(12, 3)])
    assert functional(sequence) is sequence
    with pytest.raises(UnreadableGraphError, match="is a SequenceCalledOtherwise"):
        read_graph(sequence)
    changed = classifier(keras.Model)
    changed.call = lambda inputs, **kwargs: inputs
    assert not is_functional(changed)
