"""Weights that become zero stay zero, through training and quantization-aware training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learn2compress.core.progress import SILENT
from learn2compress.graph.slices import Part
from learn2compress.train.batches import LabelledViews
from learn2compress.train.family import joint_training
from learn2compress.train.quantize import quantization_aware_training, quantization_ready
from learn2compress.train.settings import SETTINGS
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.sparsity import (
    FEWEST_WEIGHTS,
    LEFT,
    REACHED_AT,
    MagnitudeMasks,
    zero_share,
    zeros_by_kernel,
)
from learn2compress.train.trainable import trainable
from learn2compress.train.views import Views, ViewSpec

SETTING = replace(SETTINGS["prunings"], batch_size=30, momentum=0.8)


def kernel(*shape: int, seed: int = 0) -> Any:
    import keras

    return keras.Variable(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@settings(max_examples=20, deadline=None)
@given(sparsity=st.floats(0.1, 0.95), seed=st.integers(0, 99))
def test_the_smallest_weights_go_and_the_others_stay_as_they_are(sparsity: float, seed: int) -> None:
    weights = kernel(3, 3, 16, 16, seed=seed)
    before = np.asarray(weights)
    MagnitudeMasks([weights], sparsity).at(1.0)
    after = np.asarray(weights)
    assert (after == 0).mean() == pytest.approx(sparsity, abs=1 / before.size)
    np.testing.assert_array_equal(after[after != 0], before[after != 0])
    assert np.abs(before[after == 0]).max() <= np.abs(before[after != 0]).min()


def test_zeros_grow_by_a_cubic_and_stand_still_at_the_end() -> None:
    weights = kernel(100, 100)
    masks = MagnitudeMasks([weights], 0.8)
    shares = []
    for progress in np.linspace(0, 1, 41):
        masks.at(float(progress))
        shares.append((np.asarray(weights) == 0).mean())
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[20] == pytest.approx(0.8 * (1 - (1 - 0.5 / REACHED_AT) ** 3), abs=0.025)
    assert shares[-1] == shares[round(40 * REACHED_AT) + 1] == pytest.approx(0.8, abs=1e-3)


def test_small_and_depthwise_kernels_are_left_alone() -> None:
    small, depthwise, large = kernel(FEWEST_WEIGHTS // 10, 9), kernel(3, 3, 512, 1), kernel(200, 100)
    MagnitudeMasks([small, depthwise, large], 0.5).at(1.0)
    assert all((np.asarray(weights) != 0).all() for weights in (small, depthwise))
    matrices = [np.asarray(weights) for weights in (small, depthwise, large)]
    zeros = sum((weights == 0).sum() for weights in matrices)
    assert zeros == pytest.approx(0.5 * sum(weights.size for weights in matrices), abs=2)


shapes = st.sampled_from([(3, 3, 3, 16), (3, 3, 32, 32), (1, 1, 40, 24), (3, 3, 512, 1), (1, 1, 64), (200, 100)])


@given(kernels=st.lists(shapes.map(np.zeros), min_size=1, max_size=8), sparsity=st.floats(0, 0.95))
def test_the_share_that_is_asked_for_is_reached_by_any_model(kernels: list[Any], sparsity: float) -> None:
    shares = zeros_by_kernel(kernels, sparsity)
    sizes = [weights.size for weights in kernels]
    assert sum(size * share for size, share in zip(sizes, shares, strict=True)) == pytest.approx(
        sparsity * sum(sizes)
    )
    assert all(0 <= share <= 1 - LEFT * (1 - sparsity) + 1e-9 for share in shares)


def test_where_all_kernels_are_small_they_lose_what_is_asked_for() -> None:
    small = [kernel(3, 3, 8, 8), kernel(8, 16)]
    MagnitudeMasks(small, 0.5).at(1.0)
    assert [(np.asarray(weights) == 0).mean() for weights in small] == [0.5, 0.5]


@pytest.fixture
def batches(split: Callable[..., Any], counting_teacher: Callable[..., Any], tmp_path: Any) -> LabelledViews:
    views = Views(split(90), ViewSpec(2, (12, 12), 0))
    soft, _ = soft_labels(counting_teacher(), views, 3, tmp_path, SILENT)
    return LabelledViews(views, soft, 30, 0)


def steps(seconds: float, step_seconds: float, per_epoch: int) -> int:
    return 20


def test_zeros_of_a_family_last_until_the_int8_grid(tiny_member: Callable[..., Any], batches: LabelledViews) -> None:
    teacher = trainable(tiny_member(24), "float32", 0.9)
    members, _ = joint_training(
        [Part(tiny_member(32)), Part(tiny_member(16))],
        batches,
        SILENT,
        start="as built",
        settings=SETTING,
        sparsity=0.6,
        seconds=0,
        plan_steps=steps,
        teacher=teacher,
    )
    assert zero_share(teacher) == 0  # it learns along, but is asked to lose nothing
    kernels = [np.asarray(member.get_layer("b").kernel) for member in members]
    assert zero_share(members[0]) == pytest.approx(0.6, abs=0.01)
    assert (kernels[0] == 0).mean() > 0.65  # small kernels have none
    assert 0.3 < (kernels[1] == 0).mean() < 0.9
    quantized = [quantization_ready(member) for member in members]
    quantization_aware_training(
        quantized, batches, SILENT, settings=SETTING, keep_zeros=True, seconds=0, plan_steps=steps
    )
    for model, before in zip(quantized, kernels, strict=True):
        after = np.asarray(model.get_layer("b").kernel)
        assert (after[before == 0] == 0).all()
        assert (after[before != 0] != before[before != 0]).any()


def test_the_slopes_of_a_prelu_are_no_weights_that_go(batches: LabelledViews) -> None:
    """One for each place, as Keras has them by default: as many axes as a kernel, and zeros to begin with."""
    from keras import Input, Model, layers, utils

    utils.set_random_seed(0)
    image = Input((12, 12, 3))
    x = layers.BatchNormalization(name="stem_bn")(layers.Conv2D(16, 3, padding="same", name="stem")(image))
    x = layers.Conv2D(32, 3, padding="same", name="conv")(layers.PReLU(name="slopes")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(name="relu")(x))
    (member,), _ = joint_training(
        [Part(Model(image, layers.Dense(3, name="logits")(x)))],
        batches,
        SILENT,
        start="as built",
        settings=SETTING,
        sparsity=0.6,
        seconds=0,
        plan_steps=steps,
    )
    slopes = member.get_layer("slopes").alpha
    assert (np.asarray(slopes) != 0).mean() > 0.9
    kernels = [np.asarray(member.get_layer(name).kernel) for name in ("stem", "conv", "logits")]
    zeros = sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels)
    assert zero_share(member) == pytest.approx(zeros)
    assert zeros == pytest.approx(0.6, abs=0.01)
    slopes.assign(0 * np.asarray(slopes))
    quantized = quantization_ready(member)
    quantization_aware_training(
        [quantized], batches, SILENT, settings=SETTING, keep_zeros=True, seconds=0, plan_steps=steps
    )
    assert (np.asarray(quantized.get_layer("slopes").alpha) != 0).mean() > 0.9
    assert zero_share(quantized) == pytest.approx(zeros, abs=0.01)
