"""What `l2c measure` says of files is what a run says of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.family import Accuracy
from learn2compress.core.progress import Progress
from learn2compress.measure.models import MOST_THREADS, measure_files, measure_paths

FIXTURES = Path(__file__).parents[1] / "fixtures"
FILES = [FIXTURES / "tiny_float32.tflite", FIXTURES / "tiny_int8.tflite"]


def test_a_user_s_files_are_measured_as_those_of_a_run_are() -> None:
    accuracy = Accuracy(validation=0.5, test=0.25, validation_examples=2, test_examples=4)
    rows = measure_paths(FILES, 2)
    measured = measure_files(FILES, [accuracy, accuracy], Progress())
    for path, row, own in zip(FILES, rows, measured, strict=True):
        assert own.accuracy == accuracy
        assert (row["file"], row["size_bytes"]) == (str(path), path.stat().st_size)
        for key in ("size_bytes", "zipped_bytes", "parameters", "macs"):
            assert row[key] == getattr(own, key) > 0
        assert row["xnnpack"] == own.xnnpack.model_dump(mode="json")
        assert (row["latency_ms"]["threads"], own.latency_ms.threads) == (2, 1)
        assert row["peak_memory_bytes"] > 0
        assert row["latency_ms"]["median"] > 0
    assert [row["fully_integer"] for row in rows] == [False, True]
    assert all(row["operators"]["CONV_2D"] == 1 for row in rows)


@pytest.mark.parametrize("threads", [0, MOST_THREADS + 1])
def test_more_threads_than_litert_bears_are_refused(threads: int) -> None:
    with pytest.raises(InputError) as caught:
        measure_paths(FILES, threads)
    assert caught.value.code == "option.threads"
