from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learn2compress.core.errors import InputError
from learn2compress.measure.flatbuffer import Op, TensorInfo
from learn2compress.measure.graph import describe, macs

MLPERF = Path(__file__).parents[3] / "shared/data/teachers/mlperf_tiny_resnet8_cifar10_int8.tflite"

# 16x16x3 -> conv 3x3, 8, stride 2 -> depthwise 3x3 -> transposed 2x2, 4, stride 2 -> mean -> dense 5
MACS = 8 * 8 * 8 * 27 + 8 * 8 * 8 * 9 + 8 * 8 * 8 * (2 * 2 * 4) + 4 * 5
PARAMETERS = (3 * 3 * 3 * 8 + 8) + (3 * 3 * 8 + 8) + (2 * 2 * 8 * 4 + 4) + (4 * 5 + 5)


@pytest.mark.parametrize("kind", ["float", "float_ends", "int8", "uint8"])
def test_macs_are_those_counted_by_hand(models: dict[str, Path], kind: str) -> None:
    assert describe(models[kind]).macs == MACS


@pytest.mark.parametrize("kind", ["float_ends", "int8", "uint8"])
def test_parameters_are_those_counted_by_hand(models: dict[str, Path], kind: str) -> None:
    # The rescaling's factor is a constant of its MUL.
    description = describe(models[kind])
    assert description.parameters - description.ops.get("MUL", 0) == PARAMETERS


def test_a_float_file_is_float_islands_throughout(models: dict[str, Path]) -> None:
    description = describe(models["float"])
    assert not description.fully_integer
    assert description.float_ops == sum(description.ops.values())
    assert description.inputs[0].dtype == "FLOAT32"


def test_float_ends_of_an_integer_file_are_found(models: dict[str, Path]) -> None:
    description = describe(models["float_ends"])
    assert [island.split(":")[1] for island in description.float_islands] == ["QUANTIZE", "DEQUANTIZE"]
    assert not description.fully_integer


@pytest.mark.parametrize(("kind", "dtype"), [("int8", "INT8"), ("uint8", "UINT8")])
def test_an_integer_file_has_no_float_island(models: dict[str, Path], kind: str, dtype: str) -> None:
    description = describe(models[kind])
    assert description.fully_integer
    assert description.float_islands == ()
    assert description.custom_ops == ()
    assert "FLOAT32" not in description.dtypes
    image, scores = description.inputs[0], description.outputs[0]
    assert (image.dtype, image.shape, scores.dtype, scores.shape) == (dtype, (1, 16, 16, 3), dtype, (1, 5))
    assert scores.scale == pytest.approx(1 / 256)
    assert image.zero_point == {"INT8": -128, "UINT8": 0}[dtype]


def test_operations_are_counted_by_name(models: dict[str, Path]) -> None:
    ops = describe(models["uint8"]).ops
    assert ops["CONV_2D"] == ops["DEPTHWISE_CONV_2D"] == ops["TRANSPOSE_CONV"] == ops["FULLY_CONNECTED"] == 1


@pytest.mark.parametrize(
    ("left", "right", "output"),
    [((2, 3, 4), (2, 4, 5), (2, 3, 5)), ((2, 4, 3), (2, 4, 5), (2, 3, 5)), ((3, 4), (2, 4, 5), (2, 3, 5))],
)
def test_a_batched_product_costs_rows_times_inner_times_columns(
    left: tuple[int, ...], right: tuple[int, ...], output: tuple[int, ...]
) -> None:
    tensors = [TensorInfo("", shape, "INT8") for shape in (left, right, output)]
    assert macs(Op("BATCH_MATMUL", False, tuple(tensors[:2]), (tensors[2],))) == 2 * 3 * 4 * 5


@pytest.mark.data
@pytest.mark.skipif(not MLPERF.is_file(), reason="the MLPerf Tiny reference file is not here")
def test_the_mlperf_reference_has_its_published_cost() -> None:
    description = describe(MLPERF)
    assert description.macs == 12_501_632
    assert description.fully_integer


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent"):
        describe(tmp_path / "absent.tflite")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_or_damaged_file_is_an_input_error_or_read(
    models: dict[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(models["uint8"].read_bytes())
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.tflite"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(InputError):
        describe(path)
