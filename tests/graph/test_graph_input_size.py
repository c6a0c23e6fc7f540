"""A member for images of another size has the same layers and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from learn2compress.graph.input_size import at_size
from learn2compress.graph.slices import Part


def network(size: int, *, flat: bool = False, weights: Any = None) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((size, size, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="a")(image)
    x = layers.MaxPooling2D(name="pooled")(layers.BatchNormalization(name="norm")(x))
    x = layers.Add(name="sum")([x, layers.Conv2D(8, 3, padding="same", activation="relu", name="b")(x)])
    x = layers.Flatten(name="flat")(x) if flat else layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(image, layers.Dense(3, name="logits")(x))
    if weights:
        model.set_weights(weights)
    return model


def test_its_outputs_are_those_of_a_model_built_for_that_size() -> None:
    part = Part(network(16), {"a": [[None], [None]]})
    smaller = at_size(part, (12, 10))
    assert smaller.model.input_shape == (None, 12, 10, 3)
    assert smaller.positions == part.positions
    assert [layer.name for layer in smaller.model.layers] == [layer.name for layer in part.model.layers]
    images = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32)
    expected = network(12, weights=part.model.get_weights())
    np.testing.assert_allclose(at_size(part, (12, 12)).model(images), expected(images), atol=1e-6)


def test_for_its_own_size_it_is_the_same_member() -> None:
    part = Part(network(16))
    assert at_size(part, (16, 16)) is part


@pytest.mark.parametrize(("flat", "size"), [(True, 12), (False, 1)])
def test_layers_that_do_not_fit_are_refused(flat: bool, size: int) -> None:
    with pytest.raises(ValueError, match=r"shape|size"):
        at_size(Part(network(16, flat=flat)), (size, size))
