"""The harness that kills runs: what it asks for, when it kills, what it finds wrong, and what it keeps of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from rich.console import Console

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


def test_a_process_may_take_many_times_the_budget_and_a_quarter_of_an_hour_at_the_least(
    script: Callable[[str], Any],
) -> None:
    sets = script("_kill_sets")
    assert sets.SETS["trial"].most_seconds == 20 * 20 * 60
    assert sets.OptionSet(("--budget", "30s"), ()).most_seconds == 15 * 60


def test_a_stage_has_begun_when_the_run_has_told_of_it_since_then(
    script: Callable[[str], Any], tmp_path: Path
) -> None:
    begun, moment = script("_kill_checks").begun, script("_kill_sets").Moment
    log = tmp_path / "checkpoints" / "family" / "run.jsonl"
    log.parent.mkdir(parents=True)
    told = [("stage", "plan"), ("note", "export"), ("stage", "trial of cuts of the teacher")]
    lines = "".join(json.dumps({"kind": kind, "stage": stage}) + "\n" for kind, stage in told)
    log.write_text(lines + '{"kind": "stage", "stage": "export", "data": {}')  # it is being written
    assert begun(tmp_path, 0, moment("start"))
    assert begun(tmp_path, 0, moment("plan"))
    assert begun(tmp_path, 2, moment("trial"))
    assert not begun(tmp_path, 1, moment("plan"))  # it was in the process before
    assert not begun(tmp_path, 0, moment("export"))
    assert not begun(tmp_path, 0, moment("improved teacher"))
    (tmp_path / "checkpoints" / "at-work").write_text("improved teacher")
    assert begun(tmp_path, 0, moment("improved teacher"))


def process(code: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, start_new_session=True)


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
        assert ended_well(run, tmp_path, 60.0) == code
    else:
        with pytest.raises(script("_kill_checks").CheckError, match=f"(?s)with {code} .*why"):
            ended_well(run, tmp_path, 60.0)


def test_a_run_that_hangs_is_ended(script: Callable[[str], Any], tmp_path: Path) -> None:
    run = process("import time; time.sleep(600)")
    with pytest.raises(script("_kill_checks").CheckError, match="had not ended"):
        script("kill_resume").ended_well(run, tmp_path, 0.1)
    assert run.poll() is not None


@contextmanager
def trainer(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the one that trains for the run in this folder."""
    module = "learn2compress.stages.training_process"
    found = process("import time; time.sleep(600)", module, str(folder / "checkpoints"))
    # For a moment after it has begun its command line is empty.
    ends = time.monotonic() + 10
    while not Path(f"/proc/{found.pid}/cmdline").read_bytes() and time.monotonic() < ends:
        time.sleep(0.01)
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


def keep_plan(work: Path, key: str, kind: str) -> Path:
    """A plan with one member and one spare in the folder of a run, as far as it is looked at."""
    folder = work / key / kind
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"specs": [{}], "spares": [{}]}))
    for number in range(2):
        np.savez(folder / f"{number}.npz", a=np.arange(100))
        with zipfile.ZipFile(folder / f"{number}.keras", "w") as archive:
            archive.writestr("config.json", "{}")
    return folder


def know(work: Path, **known: Any) -> None:
    work.mkdir(exist_ok=True)
    (work / "recipe.toml").write_text("seed = 0\n")
    (work / "state.json").write_text(json.dumps({"known": known}))


@pytest.mark.parametrize("name", ["plan.json", "0.npz", "1.keras"])
def test_the_plan_of_each_source_must_be_whole_until_all_are_planned(
    script: Callable[[str], Any], tmp_path: Path, name: str
) -> None:
    broken, work = script("_kill_checks").broken, tmp_path / "checkpoints"
    know(work, **{"planned-students": ["students"], "planned-cuts": ["cuts"]})
    keep_plan(work, "planned-students", "students")
    file = keep_plan(work, "planned-cuts", "cuts") / name
    assert broken(tmp_path, tmp_path / "cache") == ""
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert broken(tmp_path, tmp_path / "cache")
    file.unlink()
    assert broken(tmp_path, tmp_path / "cache")
    # Once all are planned nobody reads it: it is being deleted.
    know(work, **{"planned-students": ["students"], "planned-cuts": ["cuts"], "planned": ["cuts"]})
    keep_plan(work, "planned", "cuts")
    assert broken(tmp_path, tmp_path / "cache") == ""


def test_what_the_next_process_reads_of_plans_follows_from_the_state(script: Callable[[str], Any]) -> None:
    keys = script("_kill_checks").plan_keys
    single = {"inputs": {}, "planned-cuts": ["cuts"], "planned-prunings": ["prunings"]}
    assert keys(single) == ["planned-cuts", "planned-prunings"]
    assert keys({**single, "planned": ["cuts"]}) == ["planned"]
    chosen = {**single, "planned": ["cuts"], "chosen": ["cuts"]}
    assert keys(chosen) == ["chosen"]
    assert keys({**chosen, "fitting": ["cuts"]}) == ["chosen", "fitting"]
    assert keys({**chosen, "publishing": True}) == []


def test_damaged_labels_states_and_trainings_are_found(script: Callable[[str], Any], tmp_path: Path) -> None:
    broken, work, cache = script("_kill_checks").broken, tmp_path / "checkpoints", tmp_path / "cache"
    cache.mkdir()
    know(work)
    assert broken(tmp_path, cache) == ""
    (work / "joint.npz").write_bytes(b"PK")
    assert broken(tmp_path, cache)
    (work / "joint.npz").unlink()
    (cache / "0-00000000.bin").write_bytes(b"something else")
    assert "is damaged" in broken(tmp_path, cache)
    (cache / "0-00000000.bin").unlink()
    (work / "state.json").write_text("{")
    assert broken(tmp_path, cache)
    assert script("_kill_checks").kept(tmp_path) == 0
    # What was killed in its last moment is begun anew: the recipe is deleted first.
    (work / "recipe.toml").unlink()
    assert broken(tmp_path, cache) == ""


MEMBER = '[[plan.members]]\nname = "tiny"\nchannels = [8, 16]\n'


@pytest.mark.parametrize(
    ("recipe", "words", "same"),
    [
        (MEMBER, {}, True),
        (MEMBER + 'in_float32 = ["stem"]\n', {}, True),
        (MEMBER.replace("16", "24"), {}, False),
        (MEMBER, {"views": 3}, False),
        (MEMBER, {"reason": "another"}, False),
    ],
)
def test_what_stays_in_float32_is_no_part_of_the_plan(
    script: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    words: dict[str, Any],
    same: bool,
) -> None:
    checks = script("_kill_checks")
    plan = dict.fromkeys((*checks.ALWAYS, *checks.PLANNED), 1)
    plans = {"one": {**plan, **words}, "two": plan}
    monkeypatch.setattr(checks, "Family", SimpleNamespace(load=lambda out: SimpleNamespace(plan=plans[out.name])))
    for name, text in (("one", recipe), ("two", MEMBER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text(text)
    one, two = tmp_path / "one", tmp_path / "two"
    assert checks.same_plan(one, two, members=True) == same
    assert checks.same_plan(one, two, members=False) == ("views" not in words)


GOOD = {"accuracy": {"tiny": 0.5}, "same_plan": True, "exit_code": 0}


def row(stage: str = "start", **changes: Any) -> dict[str, Any]:
    return {"stage": stage, "under way": "", "seconds lost": 2.0, "whole": True, **changes}


@pytest.fixture
def measured(script: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """What `measure` tells after each run, when runs end, or fail, as they are given here; then always well."""
    harness = script("kill_resume")

    def of(*ends: Exception | int, kills: int, rows: bool = True) -> list[dict[str, Any]]:
        coming = iter(ends)

        def run(out: Path, asked: Any, cache: Path, chosen: Any, tell: Callable[[Any], None]) -> int:
            for moment, _ in chosen if rows else ():
                tell(row(str(moment)))
            end = next(coming, 0)
            if isinstance(end, Exception):
                raise end
            return end

        monkeypatch.setattr(harness, "run_to_its_end", run)
        monkeypatch.setattr(harness, "check_recipe", lambda out, other: None)
        monkeypatch.setattr(harness, "same_plan", lambda out, other, members: True)
        monkeypatch.setattr(harness, "verified", lambda out: {"tiny": 0.5})
        asked = script("_kill_sets").SETS["default"]
        return list(harness.measure(asked, kills, 2, 0, Console(quiet=True)))

    return of


def test_a_run_that_fails_is_told_and_the_others_are_made(
    script: Callable[[str], Any], measured: Callable[..., list[dict[str, Any]]]
) -> None:
    failure = script("_kill_checks").CheckError("tiny is right on 0.1")
    told = measured(0, failure, 3, kills=5)
    assert [part["kills"] for part in told] == [2, 4, 5]
    last = told[-1]
    assert [family.get("wrong") for family in last["families"]] == ["tiny is right on 0.1", None, None]
    assert last["exit_codes"] == {"None": 1, "3": 1, "0": 1}
    assert last["missed"] == ["1 of 3 runs failed"]
    assert last["accuracy_mean"] == {"tiny": 0.5}
    assert sum(last["kills_by_stage"].values()) == 5
    json.dumps(last)


def test_a_set_is_reached_when_all_kills_are_made(measured: Callable[..., list[dict[str, Any]]]) -> None:
    told = measured(kills=4)
    assert [part["reached"] for part in told] == [False, True]
    assert told[0]["missed"] == ["2 of 4 kills left nothing corrupt"]


def test_a_set_whose_runs_all_fail_or_that_is_never_killed_comes_to_an_end(
    measured: Callable[..., list[dict[str, Any]]],
) -> None:
    assert len(measured(*[OSError("no space")] * 9, kills=25)) == 3
    never = measured(kills=2, rows=False)
    assert [part["kills"] for part in never] == [0, 0, 0, 0]
    assert never[-1]["never_killed_in"]
    assert not never[-1]["reached"]


@pytest.mark.parametrize(
    ("undisturbed", "family", "kill", "missed"),
    [
        ({}, {}, {}, ""),
        ({"wrong": "no family"}, {}, {}, "a run that was never killed failed: no family"),
        ({}, {"same_plan": False}, {}, "1 of 1 runs had another plan"),
        ({}, {"accuracy": {}, "wrong": "x"}, {}, "1 of 1 runs failed"),
        ({}, {}, {"whole": False, "wrong": "x"}, "0 of 1 kills left nothing corrupt"),
        ({}, {}, {"wrong": "x"}, "1 kills of the training alone did not end the run as they must"),
        ({}, {}, {"seconds lost": 60.1}, "60.1 s were lost to a kill"),
    ],
)
def test_the_verdict_says_what_was_missed(
    script: Callable[[str], Any], undisturbed: Any, family: Any, kill: Any, missed: str
) -> None:
    harness, asked = script("kill_resume"), script("_kill_sets").OptionSet(("--budget", "60s"), ())
    part = harness.summary(asked, 1, {**GOOD, **undisturbed}, [{**GOOD, **family}], [row(**kill)])
    assert part["missed"] == ([missed] if missed else [])
    assert part["reached"] == (not missed)
    assert harness.verdict(part) == (f"missed: {missed}" if missed else "reached")


def test_a_stage_that_the_set_is_for_and_that_was_never_killed_in_is_told(script: Callable[[str], Any]) -> None:
    harness, sets = script("kill_resume"), script("_kill_sets").SETS
    never = harness.never_killed_in
    assert never(sets["trial"], [row("start"), row("plan")]) == ["trial"]
    assert never(sets["trial"], [row("trial", **{"under way": "joint training"})]) == ["trial"]  # it was over
    assert never(sets["trial"], [row("trial", **{"under way": "trial"})]) == []
    alone = "joint training, its process alone"
    missing = never(sets["jax"], [row(alone, **{"under way": "joint training"})])
    assert missing == ["quantization-aware training, its process alone"]
    assert len(never(sets["default"], [row("latency and memory", **{"under way": "measurement"})])) == 8
    part = harness.summary(sets["trial"], 1, GOOD, [GOOD], [row()])
    assert harness.verdict(part) == "reached; never killed in trial"


def test_kills_are_counted_by_stage_for_each_set(script: Callable[[str], Any]) -> None:
    harness, sets = script("kill_resume"), script("_kill_sets").SETS
    rows = [row(), row("search", **{"seconds lost": 9.0}, whole=False), row("search", **{"seconds lost": 4.0})]
    old = [{key: value for key, value in row().items() if key != "under way"}]
    parts = {"default": {"rows": old}, "drop": harness.summary(sets["drop"], 3, GOOD, [GOOD], rows)}
    cells = list(zip(*(column.cells for column in harness.moments_table(parts).columns), strict=True))
    assert ("default", "start", "1", "1", "2.0", "not judged") in cells
    assert ("drop", "start", "1", "1", "2.0", "missed: 2 of 3 kills left nothing corrupt") in cells
    assert ("", "search", "2", "1", "9.0", "") in cells
    assert ("", "export", "0", "0", "", "") in cells


@pytest.mark.parametrize("good", [True, False])
def test_each_run_is_kept_at_once_and_a_missed_verdict_is_the_exit_code(
    script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    harness, asked = script("kill_resume"), script("_kill_sets").SETS["drop"]
    results = tmp_path / "results" / "kill_resume.json"
    results.parent.mkdir()
    results.write_text(json.dumps({"benchmark": "kill_resume", "sets": {"default": {"kills": 25, "rows": []}}}))
    seen = []

    def measure(*_: Any) -> Iterator[dict[str, Any]]:
        family = GOOD if good else {**GOOD, "same_plan": False}
        for count in (1, 2):
            yield harness.summary(asked, 2, GOOD, [family] * count, [row("search")] * count)
            seen.append(json.loads(results.read_text())["sets"])

    monkeypatch.setattr(script("_harness"), "HERE", tmp_path)
    monkeypatch.setattr(harness, "measure", measure)
    monkeypatch.setattr(harness.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["kill_resume.py", "--sets", "drop", "--kills", "2"])
    if good:
        harness.main()
    else:
        with pytest.raises(SystemExit, match="Not reached: drop"):
            harness.main()
    assert [parts["drop"]["kills"] for parts in seen] == [1, 2]
    assert [parts["drop"]["reached"] for parts in seen] == [False, good]
    assert all(parts["default"] == {"kills": 25, "rows": []} for parts in seen)
