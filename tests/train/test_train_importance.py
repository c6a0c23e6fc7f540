"""Measures of importance: each finds channels that do nothing, or nearly so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from learn2compress.graph.channels import find_channels
from learn2compress.train.importance import MEASURES, normalized

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


def test_normalized_scores_have_a_mean_of_one() -> None:
    scores = normalized({0: np.array([1.0, 3.0]), 5: np.array([10.0, 20.0, 60.0])})
    assert scores[0].tolist() == pytest.approx([0.5, 1.5])
    assert scores[5].mean() == pytest.approx(1.0)
