"""What progress looks like: in a log, and on a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from learn2compress.core.progress import Event, Progress
from learn2compress.terminal import Bars, Lines


def bake(progress: Progress, *, burns: bool) -> None:
    """A stage of two units; the oven may give out after the first."""
    with progress.stage("bake", 2) as stage:
        stage.advance(1, "warm")
        if burns:
            raise KeyboardInterrupt
        stage.advance()


def interrupted(progress: Progress) -> None:
    """The same, interrupted by the user."""
    try:
        bake(progress, burns=True)
    except KeyboardInterrupt:
        return
    raise AssertionError("nothing was raised")


def test_a_log_tells_a_stage_that_ended_from_one_that_was_stopped() -> None:
    text = io.StringIO()
    progress = Progress(Lines(Console(file=text)))
    bake(progress, burns=False)
    interrupted(progress)
    progress.warn("the crust is dark")
    assert text.getvalue().splitlines() == [
        "bake: done in 0s warm",
        "bake: stopped after 0s warm",
        "warning: the crust is dark",
    ]


def test_a_long_stage_says_in_a_log_now_and_then_how_long_it_will_take() -> None:
    text = io.StringIO()
    lines = Lines(Console(file=text))
    lines(Event("stage", "bake", total=100, time=1000.0))
    for second in range(1, 46):
        lines(Event("step", "bake", "warm", done=second, total=100, time=1000.0 + second))
    assert text.getvalue().splitlines() == ["bake: 30 %, ETA 1m 10s warm"]


def test_only_a_stage_that_ended_has_a_full_bar() -> None:
    shown = []
    for run in (lambda progress: bake(progress, burns=False), interrupted):
        console = Console(file=io.StringIO(), force_terminal=True, width=120)
        with Bars(console) as bars:
            run(Progress(bars))
        shown.append(console.file.getvalue().splitlines()[-2])
    ended, stopped = shown
    assert "✓" in ended
    assert "100%" in ended
    assert "✓" not in stopped
    assert "50%" in stopped
    assert "stopped warm" in stopped
