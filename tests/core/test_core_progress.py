"""Progress events, and the log that keeps them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from learn2compress.core.progress import Event, EventLog, Progress


def test_a_stage_tells_of_its_begin_its_steps_and_its_end() -> None:
    events: list[Event] = []
    with Progress(events.append).stage("bake", 4) as stage:
        stage.advance(1, "warm")
        stage.at(3)
        stage.advance()
    assert [event.kind for event in events] == ["stage", "step", "step", "step", "done"]
    assert [event.done for event in events] == [0, 1, 3, 4, 4]
    assert {event.stage for event in events} == {"bake"}
    assert {event.total for event in events} == {4}
    assert events[-1].message == "warm"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_stage_that_does_not_come_to_its_end_is_not_called_done(error: type[BaseException]) -> None:
    events: list[Event] = []

    def bake() -> None:
        with Progress(events.append).stage("bake", 4) as stage:
            stage.advance()
            raise error

    with pytest.raises(error):
        bake()
    assert [(event.kind, event.done) for event in events] == [("stage", 0), ("step", 1), ("stopped", 1)]


@pytest.mark.parametrize("error", [None, ValueError])
def test_a_stage_says_how_long_it_took(monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None) -> None:
    clock = SimpleNamespace(perf_counter=iter([100.0, 102.5]).__next__)
    monkeypatch.setattr("learn2compress.core.progress.time", clock)
    events: list[Event] = []
    with suppress(ValueError), Progress(events.append).stage("bake"):
        if error is not None:
            raise error
    assert [event.data for event in events] == [{}, {"seconds": 2.5}]


def test_a_tracked_sequence_counts_its_items() -> None:
    events: list[Event] = []
    with Progress(events.append).stage("bake", 3) as stage:
        assert list(stage.track("abc")) == ["a", "b", "c"]
    assert [event.done for event in events if event.kind == "step"] == [1, 2, 3]


def test_every_listener_gets_every_event() -> None:
    one: list[Event] = []
    other: list[Event] = []
    progress = Progress(one.append)
    progress.note("first")
    progress.add(other.append)
    progress.warn("second", heat=7)
    assert [event.message for event in one] == ["first", "second"]
    assert [(event.kind, event.data) for event in other] == [("warning", {"heat": 7})]


def test_the_log_keeps_all_but_the_steps_that_follow_fast(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "run.jsonl")
    log(Event("stage", "bake", time=100.0))
    for tenth in range(25):
        log(Event("step", "bake", done=tenth, time=100.0 + tenth / 10))
    log(Event("step", "bake", done=25, data={"loss": 1.0}, time=102.45))
    log(Event("done", "bake", time=102.5))
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["stage", "step", "step", "step", "step", "done"]
    assert [line["done"] for line in lines if line["kind"] == "step"] == [0, 10, 20, 25]


def test_what_is_no_json_is_written_as_text(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "run.jsonl")
    log(Event("note", "", data={"path": tmp_path}))
    assert json.loads((tmp_path / "run.jsonl").read_text())["data"] == {"path": str(tmp_path)}
