"""A classifier that gives some of its outputs only, or two for the one it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from learn2compress.graph.outputs import with_outputs, with_two_outputs, with_two_outputs_behind

KEPT = np.array([4, 0, 2])


def classifier(*, activation: str | None = None, last: Any = None, nested: bool = False) -> Any:
    from keras import Input, Model, Sequential, layers, utils

    utils.set_random_seed(0)
    image = Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(x)
    head = [layers.Dense(6, activation=activation, name="scores", bias_initializer="normal")]
    head += [last] if last is not None else []
    if nested:
        return Model(image, Sequential([Input((8,)), *head])(x))
    for layer in head:
        x = layer(x)
    return Model(image, x)


@pytest.fixture
def images() -> Any:
    return np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("nested", [False, True])
def test_logits_are_those_of_the_kept_outputs_in_their_new_order(images: Any, nested: bool) -> None:
    model = classifier(nested=nested)
    narrowed = with_outputs(model, KEPT)
    np.testing.assert_allclose(narrowed.predict(images), model.predict(images)[:, KEPT], atol=1e-6)
    assert narrowed.count_params() == model.count_params() - 3 * 9
    assert model.output_shape == (None, 6)


@pytest.mark.parametrize("inside", [True, False])
def test_probabilities_sum_to_one_again(images: Any, inside: bool) -> None:
    from keras import layers

    model = classifier(activation="softmax") if inside else classifier(last=layers.Softmax())
    some = model.predict(images)[:, KEPT]
    expected = some / some.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(with_outputs(model, KEPT).predict(images), expected, atol=1e-6)


@pytest.mark.parametrize("ending", ["reshape", "flatten", "pooled"])
def test_a_convolution_that_makes_the_outputs_is_narrowed_as_well(images: Any, ending: str) -> None:
    from keras import Input, Model, layers

    image = Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu")(image)
    if ending == "pooled":
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 1)(x))
    else:
        x = layers.Conv2D(6, 1, bias_initializer="normal")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        x = layers.Reshape((6,))(x) if ending == "reshape" else layers.Flatten()(x)
    model = Model(image, layers.Activation("softmax")(x))
    some = model.predict(images)[:, KEPT]
    narrowed = with_outputs(model, KEPT)
    np.testing.assert_allclose(narrowed.predict(images), some / some.sum(axis=1, keepdims=True), atol=1e-6)
    assert narrowed.count_params() == model.count_params() - 3 * 9


@pytest.mark.parametrize("ending", ["flattened map", "lone batch norm"])
def test_outputs_that_neither_a_dense_layer_nor_a_convolution_makes_are_refused(ending: str) -> None:
    from keras import Input, Model, layers

    image = Input((8, 8, 3))
    x = layers.Conv2D(6, 3)(image)
    if ending == "flattened map":
        x = layers.Flatten()(x)
    else:
        x = layers.BatchNormalization()(layers.GlobalAveragePooling2D()(x))
    with pytest.raises(ValueError, match="Dense"):
        with_outputs(Model(image, x), KEPT)


def of_one_output(ending: str) -> Any:
    from keras import Input, Model, layers, utils

    utils.set_random_seed(0)
    image = Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(image))
    activation = ending if ending in ("sigmoid", "tanh", "relu") else None
    x = layers.Dense(1, activation=activation, bias_initializer="normal")(x)
    behind = {"batch norm": layers.BatchNormalization(), "softplus": layers.Activation("softplus")}
    return Model(image, behind[ending](x) if ending in behind else x)


@pytest.mark.parametrize(("ending", "probability"), [("linear", False), ("sigmoid", True)])
def test_a_single_score_gets_one_of_zero_or_what_it_lacks_to_one_beside_it(
    images: Any, ending: str, probability: bool
) -> None:
    model = of_one_output(ending)
    score = model.predict(images)
    expected = np.concatenate([1 - score if probability else 0 * score, score], axis=1)
    made = (with_two_outputs(model), with_two_outputs_behind(model, probability=probability))
    for both in made:
        np.testing.assert_allclose(both.predict(images), expected, atol=1e-6)
    assert made[0].count_params() == model.count_params() + 9
    assert made[1].count_params() == model.count_params() + 4
    assert model.output_shape == (None, 1)


@pytest.mark.parametrize("ending", ["tanh", "relu", "batch norm", "softplus"])
def test_a_score_that_is_no_line_or_sigmoid_of_the_features_is_not_made_two(ending: str) -> None:
    with pytest.raises(ValueError, match="Dense"):
        with_two_outputs(of_one_output(ending))
