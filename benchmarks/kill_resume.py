"""Kills a run with SIGKILL at random moments of all its stages, resumes it, and checks that nothing is ever lost.

    python benchmarks/kill_resume.py [--kills 25] [--per-run 5] [--budget 60s] [--name NAME] [-- OPTIONS]

OPTIONS go to `l2c compress`, as in `--name kill_resume_precisions -- --precision int8,float16`; NAME is the JSON's.

Each run of the embedded clothing example is killed several times, each time at a moment drawn at random: a
stage that none was killed in lately, and a delay after that stage began. After each kill the folder is looked
at: no file of a family may be there (the run is not complete), or all of them; and all that a next process would
read must be whole: the state, training checkpoints, plans, soft labels. Then the same command goes on.
A family that comes out must verify: every file runs in LiteRT and is as right as the manifest says, and the
plan is that of a run that was never killed. What was lost to each kill is the training that had to be done
again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from learn2compress.core.family import Family
from learn2compress.core.recipe import read
from learn2compress.demo import find_example
from learn2compress.inputs.dataset import load_dataset
from learn2compress.measure.accuracy import accuracy_of
from learn2compress.measure.host import environment

HERE = Path(__file__).resolve().parent
STAGES = (
    "start",
    "plan",
    "baselines",
    "soft labels",
    "joint training",
    "quantization-aware training",
    "export",
    "accuracy of the files",
    "latency and memory",
)
LONGEST_DELAY = 6.0
# How many views there are depends on the pace of the machine, which is not what is looked at here. Of four, students
# are shown two that are mixed.
FIXED = ("--set", "views.count=4")
PLANS = ("planned", "chosen", "fitting")
# Of the plan of a family, what a kill must not change.
PLANNED = ("members", "reason", "views", "mirrored views", "mixed views", "preprocessing of the teacher")


def events(out: Path) -> list[dict[str, Any]]:
    log = out / "checkpoints" / "family" / "run.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def begun(found: list[dict[str, Any]], stage: str) -> bool:
    return any(event["kind"] == "stage" and event["stage"] == stage for event in found)


def command(out: Path, options: Sequence[str]) -> list[str]:
    example = find_example()
    arguments = ["compress", str(example.teacher), "--data", str(example.photos), "--out", str(out)]
    return [sys.executable, "-m", "learn2compress", *arguments, *options, *FIXED, "--quiet"]


def go(out: Path, options: Sequence[str], cache: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(out, options), env={**os.environ, "L2C_CACHE": cache}, start_new_session=True, stderr=subprocess.PIPE
    )


def killed(out: Path, options: Sequence[str], cache: str, stage: str, delay: float) -> dict[str, Any] | None:
    """Runs until `delay` seconds after the stage began, and kills; None where the run was over before."""
    before, kept_before = len(events(out)), kept(out)
    process = go(out, options, cache)
    started = time.monotonic()
    while process.poll() is None:
        if stage == "start" or begun(events(out)[before:], stage):
            break
        time.sleep(0.05)
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seconds = time.monotonic() - started
        return {
            "stage": stage,
            "seconds after it began": round(delay, 2),
            "seconds of the process": round(seconds, 1),
            # Starting Python and TensorFlow and loading the inputs are among them.
            "seconds lost": round(seconds - (kept(out) - kept_before), 1),
            "whole": whole_or_nothing(out) and readable(out, Path(cache)),
        }
    assert process.returncode == 0, process.stderr and process.stderr.read().decode()[-2000:]
    return None


def kept(out: Path) -> float:
    """Seconds of work that the checkpoints stand for."""
    state = out / "checkpoints" / "state.json"
    return float(json.loads(state.read_text())["elapsed"]) if state.is_file() else 0.0


def whole_or_nothing(out: Path) -> bool:
    """Whether what lies in the folder is no family at all, or a whole one."""
    if not (out / "family.json").exists():
        return True
    family = Family.load(out)
    return all(
        family.path(model).stat().st_size == model.size_bytes for model in (*family.baselines, *family.members)
    )


def readable(out: Path, cache: Path) -> bool:
    """Whether all that the next process would read is whole; says what is not."""
    work = out / "checkpoints"
    state = work / "state.json"
    try:
        known = json.loads(state.read_text())["known"] if state.is_file() else {}
        plans = [work / key / name for key in PLANS for name in known.get(key, ())]
        for path in [*work.glob("*.npz"), *(path for plan in plans for path in plan.glob("*.npz"))]:
            with np.load(path) as arrays:
                assert all(array is not None for array in dict(arrays).values()), path
        for path in (path for plan in plans for path in plan.glob("*.keras")):
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None, path
        for path in cache.rglob("*.bin"):
            assert path.stem.endswith(f"-{zlib.crc32(path.read_bytes()):08x}"), path
    except (OSError, ValueError, KeyError, EOFError, AssertionError, zipfile.BadZipFile, zlib.error) as error:
        Console().print("corrupt:", repr(error))
        return False
    return True


def verified(out: Path) -> dict[str, float]:
    """Accuracy of each member, measured anew; it must be what the manifest says."""
    family = Family.load(out)
    dataset = load_dataset(find_example().photos, seed=0)
    found = {}
    for member in family.members:
        measured = accuracy_of(family.path(member), dataset.test).accuracy
        assert abs(measured - member.accuracy.test) < 1e-9, (member.name, measured, member.accuracy.test)
        found[member.name] = measured
    assert not (out / "checkpoints").exists()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--per-run", type=int, default=5)
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="kill_resume")
    parser.add_argument("options", nargs="*", help="of l2c compress, after --")
    arguments = parser.parse_args()
    options = ["--budget", arguments.budget, *arguments.options]
    stages = (
        [*STAGES[:5], "search", *STAGES[5:]]
        if {"accuracy", "drop"} & set(re.findall("[a-z]+", " ".join(options)))
        else list(STAGES)
    )
    rng = random.Random(arguments.seed)
    console = Console()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="l2c-kill-") as folder, tempfile.TemporaryDirectory() as reference_cache:
        reference = Path(folder) / "reference"
        process = go(reference, options, reference_cache)
        assert process.wait() == 0, process.stderr and process.stderr.read().decode()[-2000:]
        undisturbed = verified(reference)
        console.print("never killed:", undisturbed)
        waiting: list[str] = []
        families = []
        number = 0
        while len(rows) < arguments.kills:
            out = Path(folder) / f"run-{number}"
            number += 1
            if len(waiting) < arguments.per_run:
                waiting += rng.sample(stages, len(stages))
            # In the order of the stages: a run is not killed in a stage that it has behind it.
            moments, waiting = waiting[: arguments.per_run], waiting[arguments.per_run :]
            with tempfile.TemporaryDirectory() as cache:
                for stage in sorted(moments, key=stages.index):
                    row = killed(out, options, cache, stage, rng.uniform(0, LONGEST_DELAY))
                    if row and len(rows) < arguments.kills:
                        rows.append(row)
                        console.print(len(rows), row)
                if not (out / "family.json").exists() or (out / "checkpoints").exists():
                    last = go(out, options, cache)
                    assert last.wait() == 0, last.stderr and last.stderr.read().decode()[-2000:]
            found = verified(out)
            one, other = Family.load(out), Family.load(reference)
            same = all(one.plan[key] == other.plan[key] for key in PLANNED) and [
                (m.name, m.macs, m.size_bytes) for m in one.members
            ] == [(m.name, m.macs, m.size_bytes) for m in other.members]
            console.print(f"run {number}:", found, "same plan" if same else "ANOTHER PLAN")
            families.append({"accuracy": found, "same_plan": same})
            assert read(out / "recipe.toml").keys() == read(reference / "recipe.toml").keys()
    good = sum(row["whole"] for row in rows)
    result = {
        "benchmark": arguments.name,
        "command": " ".join(["python benchmarks/kill_resume.py", *map(shlex.quote, sys.argv[1:])]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "kills": len(rows),
        "most_seconds_lost": max(row["seconds lost"] for row in rows),
        "nothing_corrupt_after": good,
        "runs": len(families),
        "runs_with_the_same_plan": sum(family["same_plan"] for family in families),
        "accuracy_never_killed": undisturbed,
        "accuracy_mean": {
            name: float(np.mean([family["accuracy"][name] for family in families])) for name in undisturbed
        },
        "families": families,
        "environment": environment().model_dump(),
        "rows": rows,
    }
    (HERE / "results" / f"{arguments.name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    show(result, stages, console)


def show(result: dict[str, Any], stages: Sequence[str], console: Console) -> None:
    rows = result["rows"]
    table = Table("stage", "kills", "nothing corrupt")
    for stage in stages:
        own = [row for row in rows if row["stage"] == stage]
        table.add_row(stage, str(len(own)), str(sum(row["whole"] for row in own)))
    console.print(table)
    lost, good = result["most_seconds_lost"], result["nothing_corrupt_after"]
    console.print(f"{good} of {len(rows)} kills left nothing corrupt; {result['runs']} families verified")
    console.print(f"lost to a kill, at most: {lost} s, starting the process and loading the inputs included")


if __name__ == "__main__":
    main()
