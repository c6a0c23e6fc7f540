"""Kills a run with SIGKILL at random moments of all its stages, resumes it, and checks that nothing is ever lost.

    python benchmarks/kill_resume.py [--sets default drop ...] [--kills 25] [--per-run 5]

Each set of options (`_kill_sets.py`) has runs of its own of the embedded clothing example, and its place in
`results/kill_resume.json`: the others stay there. Each run is killed several times, each time at a moment drawn at
random: a stage that none was killed in lately, and a delay after that stage began. On JAX the process that trains is
killed alone too, and the run must say so. After each kill the folder is looked at: no file of a family may be there
(the run is not complete), or all of them; and all that a next process would read must be whole: the state, training
checkpoints, plans, soft labels. Then the same command goes on. A family that comes out must verify: every file runs
in LiteRT and is as right as the manifest says, and the plan is that of a run that was never killed. A bound that no
member meets (exit code 3) is no failure: the family is there. What was lost to each kill is the training that had to
be done again.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from _harness import COMMAND, write_part
from _kill_checks import begun, complete, events, kept, readable, trainer_of, verified, whole_or_nothing
from _kill_sets import SETS, Moment, OptionSet
from rich.console import Console
from rich.table import Table

from learn2compress.core.errors import EXIT_INPUT, EXIT_OK, EXIT_TARGETS
from learn2compress.core.family import Family
from learn2compress.core.recipe import read
from learn2compress.demo import find_example
from learn2compress.measure.host import environment

# How many views there are depends on the pace of the machine, which is not what is looked at here. Of four, students
# are shown two that are mixed.
FIXED = ("--set", "views.count=4")
# Of the plan of a family, what a kill must not change: for all, and where the members follow from the plan.
ALWAYS = ("views", "mirrored views", "mixed views", "preprocessing of the teacher")
PLANNED = ("members", "reason")
DONE = (EXIT_OK, EXIT_TARGETS)


def go(out: Path, options: Sequence[str], cache: str) -> subprocess.Popen[bytes]:
    example = find_example()
    arguments = ["compress", str(example.teacher), "--data", str(example.photos), "--out", str(out)]
    return subprocess.Popen(
        [*COMMAND, *arguments, *options, *FIXED, "--quiet"],
        env={**os.environ, "L2C_CACHE": cache},
        start_new_session=True,
        stderr=subprocess.PIPE,
    )


def ended_well(process: subprocess.Popen[bytes], out: Path) -> int:
    """The exit code of a run that comes to its end; ends this one where there is no family then."""
    _, said = process.communicate()
    if process.returncode not in DONE or not complete(out):
        sys.exit(f"A run ended with {process.returncode} and no family:\n{said.decode()[-2000:]}")
    return process.returncode


def kill(process: subprocess.Popen[bytes], out: Path, moment: Moment) -> bool:
    """Kills the run, or the process that trains for it; False where that has ended by itself."""
    if not moment.trainer:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    trainer = trainer_of(out)
    if trainer is None:
        return False
    os.kill(trainer, signal.SIGKILL)
    _, said = process.communicate()
    if process.returncode != EXIT_INPUT or b"The process that trained on" not in said:
        sys.exit(f"A run whose training was killed ended with {process.returncode}:\n{said.decode()[-2000:]}")
    return True


def killed(out: Path, options: Sequence[str], cache: str, moment: Moment, delay: float) -> dict[str, Any] | int:
    """Runs until `delay` seconds after the stage began, and kills; the exit code where that was over before."""
    before, kept_before = len(events(out)), kept(out)
    process = go(out, options, cache)
    started = time.monotonic()
    while process.poll() is None and not begun(out, before, moment):
        time.sleep(0.05)
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        if kill(process, out, moment):
            seconds = time.monotonic() - started
            return {
                "stage": str(moment),
                "seconds after it began": round(delay, 2),
                "seconds of the process": round(seconds, 1),
                # Starting Python and TensorFlow and loading the inputs are among them.
                "seconds lost": round(seconds - (kept(out) - kept_before), 1),
                "whole": whole_or_nothing(out) and readable(out, Path(cache)),
            }
    return ended_well(process, out)


def as_planned(one: Family, other: Family, *, members: bool) -> bool:
    """Whether two families are of the same plan.

    Args:
        members: whether the plan says which members there are.
    """
    if any(one.plan[key] != other.plan[key] for key in (*ALWAYS, *(PLANNED if members else ()))):
        return False
    if not members:
        return True
    shapes = [[(m.name, m.macs, m.size_bytes) for m in family.members] for family in (one, other)]
    return shapes[0] == shapes[1]


def measure(asked: OptionSet, kills: int, per_run: int, seed: int, console: Console) -> dict[str, Any]:
    """Kills runs so many times; what came of them."""
    rng, order = random.Random(seed), asked.moments
    rows: list[dict[str, Any]] = []
    families: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="l2c-kill-") as folder, tempfile.TemporaryDirectory() as reference_cache:
        reference = Path(folder) / "reference"
        ended_well(go(reference, asked.options, reference_cache), reference)
        undisturbed = verified(reference)
        console.print("never killed:", undisturbed)
        waiting: list[Moment] = []
        while len(rows) < kills:
            out = Path(folder) / f"run-{len(families)}"
            if len(waiting) < per_run:
                waiting += rng.sample(order, len(order))
            # In the order of the stages: a run is not killed in a stage that it has behind it.
            chosen, waiting = waiting[:per_run], waiting[per_run:]
            with tempfile.TemporaryDirectory() as cache:
                code: int | None = None
                for moment in sorted(chosen, key=order.index):
                    if code is None and len(rows) < kills:
                        came = killed(out, asked.options, cache, moment, rng.uniform(0, moment.within))
                        if isinstance(came, int):
                            code = came
                        else:
                            rows.append(came)
                            console.print(len(rows), came)
                code = ended_well(go(out, asked.options, cache), out) if code is None else code
            found = verified(out)
            same = as_planned(Family.load(out), Family.load(reference), members=asked.planned)
            console.print(f"run {len(families) + 1}:", found, "same plan" if same else "ANOTHER PLAN")
            families.append({"accuracy": found, "same_plan": same, "exit_code": code})
            assert read(out / "recipe.toml").keys() == read(reference / "recipe.toml").keys()
    in_all = [name for name in undisturbed if all(name in family["accuracy"] for family in families)]
    return {
        "options": [*asked.options, *FIXED],
        "kills": len(rows),
        "most_seconds_lost": max(row["seconds lost"] for row in rows),
        "nothing_corrupt_after": sum(row["whole"] for row in rows),
        "runs": len(families),
        "runs_with_the_same_plan": sum(family["same_plan"] for family in families),
        "exit_codes": Counter(str(family["exit_code"]) for family in families),
        "accuracy_never_killed": undisturbed,
        "accuracy_mean": {name: float(np.mean([family["accuracy"][name] for family in families])) for name in in_all},
        "families": families,
        "rows": rows,
    }


def moments_table(parts: dict[str, Any]) -> Table:
    """How often each set was killed in each of its stages, and what that left and cost."""
    table = Table("options", "killed in", "kills", "nothing corrupt", "lost at most, s")
    for name, part in parts.items():
        stages = [*map(str, SETS[name].moments), *(row["stage"] for row in part["rows"])]
        for place, stage in enumerate(dict.fromkeys(stages)):
            own = [row for row in part["rows"] if row["stage"] == stage]
            lost = f"{max(row['seconds lost'] for row in own):.1f}" if own else ""
            whole = str(sum(row["whole"] for row in own))
            table.add_row("" if place else name, stage, str(len(own)), whole, lost)
        table.add_section()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="of options; all by default")
    parser.add_argument("--kills", type=int, default=25, help="of each set")
    parser.add_argument("--per-run", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    console = Console()
    for name in arguments.sets:
        asked = SETS[name]
        if asked.package and find_spec(asked.package) is None:
            console.print(f"{name}: left out, for {asked.package} is not installed")
            continue
        console.print(f"{name}: {shlex.join(asked.options)}")
        found = measure(asked, arguments.kills, arguments.per_run, arguments.seed, console)
        options = f"--kills {arguments.kills} --per-run {arguments.per_run} --seed {arguments.seed}"
        part = {
            "command": f"python benchmarks/kill_resume.py --sets {shlex.quote(name)} {options}",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": environment().model_dump(),
            **found,
        }
        parts = write_part("kill_resume", "sets", name, part)
        console.print(moments_table(parts))
        kills, runs = found["kills"], found["runs"]
        console.print(f"{found['nothing_corrupt_after']} of {kills} kills left nothing corrupt; {runs} runs verified")


if __name__ == "__main__":
    main()
