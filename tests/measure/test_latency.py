from __future__ import annotations

from pathlib import Path

import pytest

from learn2compress.core.errors import InputError
from learn2compress.measure.latency import latencies
from learn2compress.measure.latency_worker import Entrant, race


def test_each_file_gets_a_latency_in_the_order_given(models: dict[str, Path]) -> None:
    figures = latencies([models["float"], models["uint8"]], seconds_per_file=0.05)
    assert len(figures) == 2
    for figure in figures:
        assert 0 < figure.median <= figure.p90
        assert figure.runs >= 50
        assert figure.threads == 1


def test_files_take_turns() -> None:
    order: list[str] = []
    race([Entrant(lambda n=name: order.append(n), rewarm=False) for name in "AB"], 0.0, min_runs=3)
    assert order == ["A", "B"] * 3


def test_a_block_is_divided_by_its_runs_and_preceded_by_an_untimed_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    ticks = iter([1000, 5000])
    monkeypatch.setattr("learn2compress.measure.latency_worker.time.perf_counter_ns", lambda: next(ticks))
    entrant = Entrant(lambda: calls.append(1), block=4)
    entrant.turn()
    assert entrant.samples_ns == [1000]
    assert len(calls) == 5


def test_no_files_need_no_process() -> None:
    assert latencies([]) == ()


def test_a_truncated_file_is_an_input_error(models: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(models["uint8"].read_bytes()[:900])
    with pytest.raises(InputError, match=r"cut\.tflite") as caught:
        latencies([models["uint8"], path])
    assert caught.value.code == "tflite.unreadable"
