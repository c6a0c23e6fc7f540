"""Our own backbone, at every size and width that a plan may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from learn2compress.core.member import Cost, MemberSpec
from learn2compress.graph import walk
from learn2compress.graph.cost import model_cost
from learn2compress.graph.prefix import common_prefix, leading_prefix
from learn2compress.graph.slices import slices_within
from learn2compress.measure.graph import describe
from learn2compress.students.convnet import (
    LARGEST_WIDTH,
    SMALLEST_WIDTH,
    base,
    build_student,
    narrower,
    student_cost,
    uneven,
)
from learn2compress.train.trainable import trainable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES = 7
sizes = st.integers(20, 224)
widths = st.floats(SMALLEST_WIDTH, LARGEST_WIDTH)


def student(size: tuple[int, int], width: float) -> Any:
    return build_student(base(size, width), CLASSES)


@given(height=sizes, width=sizes, share=widths)
def test_channels_are_multiples_of_eight(height: int, width: int, share: float) -> None:
    widest = base((height, width), share)
    for spec in (widest, *narrower(widest)):
        assert all(count >= 8 and count % 8 == 0 for count in spec.channels)
        assert len(spec.channels) == len(spec.blocks) + 1


@given(size=sizes, share=widths)
def test_members_of_a_family_only_ever_lose(size: int, share: float) -> None:
    widest = base((size, size), share)
    members = [widest, *narrower(widest)]
    for before, after in pairwise(members):
        now, was = (*after.channels, *after.blocks), (*before.channels, *before.blocks)
        assert all(a <= b for a, b in zip(now, was, strict=True))
        assert now != was
    assert members[-1].channels[1:] == (8,) * (len(widest.channels) - 1)


@given(size=st.sampled_from([32, 96, 224]), share=st.floats(0.25, 2.0))
def test_members_of_other_proportions_nest_in_the_base_and_are_not_in_its_ladder(size: int, share: float) -> None:
    widest = base((size, size), share)
    ladder = {(spec.channels, spec.blocks) for spec in narrower(widest)}
    found = [(spec.channels, spec.blocks) for spec in uneven(widest)]
    assert len(set(found)) == len(found) > 0
    for channels, blocks in found:
        assert (channels, blocks) not in ladder
        assert all(a <= b and a % 8 == 0 for a, b in zip(channels, widest.channels, strict=True))
        assert all(a <= b for a, b in zip(blocks, widest.blocks, strict=True))
        assert (channels, blocks) != (widest.channels, widest.blocks)


# Sides down to those at which a grid is a line or a point, and is not pooled.
any_side = st.one_of(st.integers(4, 40), st.integers(4, 224))


# Not shrunk: building a student takes long, and its size says all.
@settings(max_examples=20, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(data=st.data(), height=any_side, width=any_side, share=widths, classes=st.integers(2, 1000))
def test_a_student_costs_unbuilt_what_it_costs_built(
    data: st.DataObject, height: int, width: int, share: float, classes: int
) -> None:
    widest = base((height, width), share)
    spec = data.draw(st.sampled_from([widest, *narrower(widest), *uneven(widest)]))
    model = build_student(spec, classes)
    assert student_cost(spec, classes) == (model_cost(model), walk.weight_layers(model))


def test_with_less_work_a_member_can_have_as_many_weights() -> None:
    """What bounds on both ask for: narrow where the grid is large, and not at the end."""
    widest = base((32, 32), 1.0)

    def cost(spec: MemberSpec) -> Cost:
        return student_cost(spec, CLASSES)[0]

    member = next(c for c in map(cost, narrower(widest)) if c.size_bytes < 100_000)
    narrow_first = [spec for spec in uneven(widest) if spec.channels[1] < widest.channels[1]]
    found = [c for c in map(cost, narrow_first) if abs(c.size_bytes / member.size_bytes - 1) < 0.1]
    assert min(c.macs for c in found) < 0.7 * member.macs


def test_a_third_of_the_bytes_still_has_most_of_the_computation_in_common_with_the_widest() -> None:
    widest = build_student(base((32, 32), 1.0), CLASSES)
    member = next(
        model
        for spec in narrower(base((32, 32), 1.0))
        if model_cost(model := build_student(spec, CLASSES)).size_bytes < model_cost(widest).size_bytes / 3
    )
    # The first convolution of the second stage is narrower: of the widest's output it takes the first channels.
    assert {"stem_conv", "stage0_enter_conv"} <= common_prefix(member, widest)
    # In the form they are trained in too.
    for dtype in ("float32", "mixed_bfloat16"):
        prefix = leading_prefix(*(trainable(model, dtype, 0.9) for model in (member, widest)))
        assert {"stage1_enter_conv", "stage1_enter_pool", "stage1_enter_bn", "stage1_enter_relu"} <= prefix.keys()
        assert "stage2_enter_conv" not in prefix


# Not shrunk: building a student takes long, and its size says all.
@settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(height=sizes, width=sizes, shares=st.tuples(widths, widths))
@example(height=20, width=20, shares=(SMALLEST_WIDTH, LARGEST_WIDTH))
@example(height=180, width=180, shares=(SMALLEST_WIDTH, 1.0))
@example(height=33, width=224, shares=(0.5, 1.0))
def test_a_student_of_any_size_and_width_runs_and_nests_in_the_wider_one(
    height: int, width: int, shares: tuple[float, float]
) -> None:
    widest = base((height, width), max(shares))
    members = list(narrower(widest))
    wide, narrow = (build_student(s, CLASSES) for s in (widest, members[int(min(shares)) * len(members) // 4]))
    assert narrow.input_shape == (None, height, width, 3)
    assert narrow.output_shape == (None, CLASSES)
    found = slices_within(narrow, wide)
    assert any(place is not None for place in found.shared)
    for layer in narrow.layers:
        assert walk.unsupported_reason(layer) is None
    image = np.random.default_rng(0).uniform(-1, 1, (1, height, width, 3)).astype(np.float32)
    assert np.isfinite(np.asarray(narrow(image))).all()


@pytest.mark.parametrize("size", [20, 32, 40, 48, 96, 224])
def test_the_last_grid_is_small_but_not_a_point(size: int) -> None:
    grid = student((size, size), 1.0).get_layer("pool").input.shape[1]
    assert 3 <= grid <= 5


@pytest.fixture(scope="module")
def int8_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, float], Path]:
    """The file that an untrained student becomes."""
    from learn2compress.export.convert import to_int8
    from learn2compress.train.quantize import quantization_ready, with_probabilities
    from learn2compress.train.trainable import trainable

    def write(size: int, width: float) -> Path:
        model = student((size, size), width)
        rng = np.random.default_rng(0)
        model.set_weights([np.abs(rng.normal(0.1, 0.05, w.shape)) + 0.01 for w in model.get_weights()])
        quantized = with_probabilities(quantization_ready(trainable(model, "float32", 0.9)), "student")
        path = tmp_path_factory.mktemp("student") / "student.tflite"
        path.write_bytes(to_int8(quantized, (size, size)))
        return path

    return write


@pytest.mark.parametrize(("size", "width"), [(20, 0.25), (32, 1.0), (100, 0.5), (224, 1.0)])
def test_the_file_of_a_student_is_integer_throughout_and_uses_standard_operators(
    int8_file: Callable[[int, float], Path], size: int, width: float
) -> None:
    found = describe(int8_file(size, width))
    assert found.float_ops == 0
    assert found.fully_integer
    assert found.custom_ops == ()
    assert not any(op.startswith("FLEX") or "SELECT" in op for op in found.ops)
    assert set(found.ops) <= {
        "CONV_2D",
        "FULLY_CONNECTED",
        "MAX_POOL_2D",
        "MEAN",
        "QUANTIZE",
        "SOFTMAX",
    }
    assert [(t.dtype, t.shape) for t in found.inputs] == [("UINT8", (1, size, size, 3))]
    assert [(t.dtype, t.shape) for t in found.outputs] == [("UINT8", (1, CLASSES))]


@pytest.mark.parametrize("size", [32, 96])
def test_the_estimated_cost_is_near_the_files(int8_file: Callable[[int, float], Path], size: int) -> None:
    path = int8_file(size, 0.75)
    cost, found = model_cost(student((size, size), 0.75)), describe(path)
    assert found.macs == cost.macs
    assert found.parameters == cost.parameters
    assert path.stat().st_size == pytest.approx(cost.size_bytes, rel=0.15)
