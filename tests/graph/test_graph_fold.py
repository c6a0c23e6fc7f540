"""Folding changes a graph, not what it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learn2compress.graph.fold import fold_batch_norm

RandomGraph = Callable[..., Any]
LONGEST = 5


def images(seed: int, size: tuple[int, int] = (10, 9)) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, (4, *size, 3)).astype(np.float32)


def assert_same(got: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(np.asarray(got), expected, rtol=0, atol=1e-4 * scale)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_a_folded_graph_computes_the_same_without_batch_norm(
    random_graph: RandomGraph, graph_steps: tuple[str, ...], data: st.DataObject, seed: int
) -> None:
    steps = data.draw(st.lists(st.sampled_from(graph_steps), max_size=LONGEST))
    model = random_graph(steps, seed)
    folded = fold_batch_norm(model)
    assert not any("BatchNormalization" in type(layer).__name__ for layer in folded.layers)
    assert_same(folded(images(seed), training=False), model(images(seed), training=False))


@pytest.mark.parametrize(
    "step", ["norm_and_bypass", "branches", "depthwise", "norm_after_activation", "two_norms", "pooled_norm"]
)
def test_each_hard_case_keeps_its_outputs(random_graph: RandomGraph, step: str) -> None:
    for seed in range(3):
        model = random_graph([step, "conv_relu"], seed)
        assert_same(fold_batch_norm(model)(images(seed)), model(images(seed), training=False))


def test_the_model_that_was_given_is_not_changed(random_graph: RandomGraph) -> None:
    model = random_graph(["conv", "lone_norm"], 1)
    before = [weight.copy() for weight in model.get_weights()]
    names = [layer.name for layer in model.layers]
    fold_batch_norm(model)
    assert [layer.name for layer in model.layers] == names
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_layers_that_stay_keep_their_names(random_graph: RandomGraph) -> None:
    model = random_graph(["conv_relu", "residual", "pool", "lone_norm"], 2)
    names = {layer.name for layer in fold_batch_norm(model).layers}
    passing = ("BatchNormalization", "InputLayer")
    assert {layer.name for layer in model.layers if type(layer).__name__ not in passing} <= names


@pytest.mark.parametrize("before", ["GlobalAveragePooling2D", "Flatten"])
def test_a_lone_batch_norm_on_vectors_is_folded_too(settle: Callable[[Any, int], Any], before: str) -> None:
    from keras import Input, Model, layers

    image = Input((6, 6, 3))
    x = getattr(layers, before)()(image)
    x = layers.Dense(4)(layers.BatchNormalization()(x))
    model = settle(Model(image, x), 3)
    folded = fold_batch_norm(model)
    assert_same(folded(images(3, (6, 6))), model(images(3, (6, 6)), training=False))


@pytest.mark.parametrize(
    ("sign", "order"),
    [(1, ["Conv2D", "ReLU", "MaxPooling2D"]), (-1, ["Conv2D", "MaxPooling2D", "DepthwiseConv2D", "ReLU"])],
)
def test_a_norm_moves_through_a_max_pool_unless_it_turns_it_around(sign: int, order: list[str]) -> None:
    from keras import Input, Model, layers

    image = Input((8, 8, 3))
    norm = layers.BatchNormalization()
    x = layers.ReLU()(norm(layers.MaxPooling2D(2)(layers.Conv2D(4, 3, padding="same")(image))))
    model = Model(image, x)
    rng = np.random.default_rng(0)
    scale = np.array([1, 2, 0.5, sign], np.float32)
    norm.set_weights([scale, *(rng.normal(size=4).astype(np.float32) for _ in range(2)), np.full(4, 0.7, np.float32)])
    folded = fold_batch_norm(model)
    assert [type(layer).__name__ for layer in folded.layers[1:]] == order
    assert_same(folded(images(5, (8, 8))), model(images(5, (8, 8)), training=False))


@pytest.mark.parametrize("last", [2.0, -1.0])
def test_affine_layers_in_a_row_are_folded_one_after_the_other(last: float) -> None:
    """The second may not follow the first through the pool where it turns the order around."""
    from keras import Input, Model, layers

    image = Input((12, 12, 3))
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, name="conv")(image))
    x = layers.Rescaling(last, offset=0.3)(layers.BatchNormalization()(x))
    model = Model(image, layers.GlobalAveragePooling2D()(x))
    rng = np.random.default_rng(0)
    norm = model.layers[3]
    norm.set_weights([rng.uniform(0.5, 2, 4), *(rng.uniform(-1, 1, 4) for _ in range(2)), rng.uniform(0.5, 2, 4)])
    folded = fold_batch_norm(model)
    inputs = rng.normal(0, 1, (4, 12, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(folded(inputs), model(inputs, training=False), atol=1e-5)
    assert sum(type(layer).__name__ == "DepthwiseConv2D" for layer in folded.layers) == (last < 0)
