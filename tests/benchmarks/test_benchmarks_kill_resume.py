"""The harness that kills runs: what it asks for, when it kills, and which ends it takes for good ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

from learn2compress.cli import main

SOURCE = Path(__file__).parents[2] / "src" / "learn2compress"


def test_all_options_are_of_the_command_and_all_stages_of_a_run(script: Callable[[str], Any]) -> None:
    command = main.commands["compress"]
    text = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    sets = script("_kill_sets").SETS
    assert {"default", "drop", "joint teacher", "trial", "precisions", "jax"} <= set(sets)
    for asked in sets.values():
        # Options that are not known end this in an error.
        command.make_context("compress", ["teacher.keras", "--data", "d", "--out", "o", *asked.options])
        for stage in {moment.stage for moment in asked.moments} - {"start"}:
            assert f'stage("{stage}"' in text or f'"{stage}"' in text, stage
        assert len(set(asked.moments)) == len(asked.moments)
    with pytest.raises(click.UsageError):
        command.make_context("compress", ["teacher.keras", "--data", "d", "--out", "o", "--set-all"])


def test_a_stage_has_begun_when_the_run_has_told_of_it_since_then(
    script: Callable[[str], Any], tmp_path: Path
) -> None:
    begun, moment = script("_kill_checks").begun, script("_kill_sets").Moment
    log = tmp_path / "checkpoints" / "family" / "run.jsonl"
    log.parent.mkdir(parents=True)
    told = [("stage", "plan"), ("note", "export"), ("stage", "trial of cuts of the teacher")]
    log.write_text("".join(json.dumps({"kind": kind, "stage": stage}) + "\n" for kind, stage in told))
    assert begun(tmp_path, 0, moment("start"))
    assert begun(tmp_path, 0, moment("plan"))
    assert begun(tmp_path, 2, moment("trial"))
    assert not begun(tmp_path, 1, moment("plan"))  # it was in the process before
    assert not begun(tmp_path, 0, moment("export"))
    assert not begun(tmp_path, 0, moment("improved teacher"))
    (tmp_path / "checkpoints" / "at-work").write_text("improved teacher")
    assert begun(tmp_path, 0, moment("improved teacher"))


def process(code: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("code", "family", "good"), [(0, True, True), (3, True, True), (3, False, False), (2, True, False)]
)
def test_a_bound_that_is_not_met_is_a_good_end_where_there_is_a_family(
    script: Callable[[str], Any], tmp_path: Path, code: int, family: bool, good: bool
) -> None:
    ended_well = script("kill_resume").ended_well
    if family:
        (tmp_path / "family.json").write_text("{}")
    run = process(f"import sys; print('why', file=sys.stderr); sys.exit({code})")
    if good:
        assert ended_well(run, tmp_path) == code
    else:
        with pytest.raises(SystemExit, match=f"(?s)with {code} .*why"):
            ended_well(run, tmp_path)


@contextmanager
def trainer(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the one that trains for the run in this folder."""
    module = "learn2compress.stages.training_process"
    found = process("import time; time.sleep(600)", module, str(folder / "checkpoints"))
    try:
        yield found
    finally:
        found.kill()
        found.communicate()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="only Linux tells of processes in this way")
def test_the_process_that_trains_is_found_by_the_folder_of_its_run(
    script: Callable[[str], Any], tmp_path: Path
) -> None:
    trainer_of = script("_kill_checks").trainer_of
    with trainer(tmp_path / "one") as one, trainer(tmp_path / "two") as two:
        assert trainer_of(tmp_path / "one") == one.pid
        assert trainer_of(tmp_path / "two") == two.pid
        assert trainer_of(tmp_path) is None


def test_kills_are_counted_by_stage_for_each_set(script: Callable[[str], Any]) -> None:
    rows = [
        {"stage": "start", "seconds lost": 2.0, "whole": True},
        {"stage": "search", "seconds lost": 9.0, "whole": False},
        {"stage": "search", "seconds lost": 4.0, "whole": True},
    ]
    table = script("kill_resume").moments_table({"default": {"rows": rows[:1]}, "drop": {"rows": rows}})
    cells = list(zip(*(column.cells for column in table.columns), strict=True))
    assert ("default", "start", "1", "1", "2.0") in cells
    assert ("drop", "start", "1", "1", "2.0") in cells
    assert ("", "search", "2", "1", "9.0") in cells
    assert ("", "export", "0", "0", "") in cells
