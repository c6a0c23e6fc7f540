"""Kills a run with SIGKILL at random moments of all its stages, resumes it, and checks that nothing is ever lost.

    python benchmarks/kill_resume.py [--sets default drop ...] [--kills 25] [--per-run 5]

Run it from a clean worktree: what is started is the source beside it as it is at that moment.

Each set of options (`_kill_sets.py`) has runs of its own of the embedded clothing example, and its place in
`results/kill_resume.json`, which is written after each run: the others stay there. Each run is killed several times,
each time at a moment drawn at random: a stage that none was killed in lately, and a delay after that stage began. On
JAX the process that trains is killed alone too, and the run must say so. After each kill the folder is looked at: no
file of a family may be there (the run is not complete), or all of them; and all that a next process would read must
be whole: the state, training checkpoints, plans, soft labels. Then the same command goes on. A family that comes out
must verify: every file runs in LiteRT and is as right as the manifest says, and the plan is that of a run that was
never killed. A bound that no member meets (exit code 3) is no failure: the family is there. What was lost to each
kill is the training that had to be done again.

What fails is told in its kill or its run, and the next one begins. A set has reached what it should where nothing
failed and no kill lost more than a minute; where one has not, this ends with 1.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from _harness import COMMAND, write_part
from _kill_checks import (
    CheckError,
    begun,
    broken,
    check,
    check_recipe,
    complete,
    events,
    kept,
    same_plan,
    trainer_of,
    under_way,
    verified,
)
from _kill_sets import SETS, Moment, OptionSet
from rich.console import Console
from rich.table import Table

from learn2compress.core.errors import EXIT_INPUT, EXIT_OK, EXIT_TARGETS
from learn2compress.demo import find_example
from learn2compress.measure.host import environment

# How many views there are depends on the pace of the machine, which is not what is looked at here. Of four, students
# are shown two that are mixed.
FIXED = ("--set", "views.count=4")
DONE = (EXIT_OK, EXIT_TARGETS)
MOST_SECONDS_LOST = 60.0
# A set is given up when so many of its runs failed one after the other.
MOST_FAILED = 3


@contextmanager
def go(out: Path, options: Sequence[str], cache: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the run; where it has not ended when the block does, it is killed."""
    example = find_example()
    arguments = ["compress", str(example.teacher), "--data", str(example.photos), "--out", str(out)]
    with subprocess.Popen(
        [*COMMAND, *arguments, *options, *FIXED, "--quiet"],
        env={**os.environ, "L2C_CACHE": str(cache)},
        start_new_session=True,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all that it started, unless it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def last_words(process: subprocess.Popen[bytes], seconds: float) -> str:
    """What a process said last, once it has come to its end; it is killed where it takes longer.

    Raises:
        CheckError: it took longer.
    """
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        stop(process)
        raise CheckError(f"a process had not ended after {seconds:.0f} s") from None
    return said.decode(errors="replace")[-2000:]


def ended_well(process: subprocess.Popen[bytes], out: Path, seconds: float) -> int:
    """The exit code of a run that comes to its end.

    Raises:
        CheckError: there is no family then, or the run took longer than so many seconds.
    """
    said = last_words(process, seconds)
    family = complete(out)
    words = f"a run ended with {process.returncode} and {'a' if family else 'no'} family:\n{said}"
    check(process.returncode in DONE and family, words)
    return process.returncode


def kill(process: subprocess.Popen[bytes], out: Path, moment: Moment, seconds: float) -> bool:
    """Kills the run, or the process that trains for it; False where that has ended by itself.

    Raises:
        CheckError: a run whose training was killed did not say so, within so many seconds.
    """
    if not moment.trainer:
        ended = process.poll() is not None
        stop(process)
        return not ended
    trainer = trainer_of(out)
    if trainer is None:
        return False
    try:
        os.kill(trainer, signal.SIGKILL)
    except ProcessLookupError:
        return False
    said = last_words(process, seconds)
    told = process.returncode == EXIT_INPUT and "The process that trained on" in said
    check(told, f"a run whose training was killed ended with {process.returncode}:\n{said}")
    return True


def killed(out: Path, asked: OptionSet, cache: Path, moment: Moment, delay: float) -> dict[str, Any] | int:
    """Runs until `delay` seconds after the stage began, and kills; the exit code where that was over before.

    Raises:
        CheckError: the run ended otherwise than it must, or not at all.
    """
    before, kept_before, most = len(events(out)), kept(out), asked.most_seconds
    with go(out, asked.options, cache) as process:
        started = time.monotonic()
        while process.poll() is None and not begun(out, before, moment):
            check(time.monotonic() - started < most, f"after {most:.0f} s neither {moment} had begun nor a run ended")
            time.sleep(0.05)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            stage, wrong = under_way(out), ""
            try:
                hit = kill(process, out, moment, most)
            except CheckError as error:
                hit, wrong = True, str(error)
            if hit:
                seconds = time.monotonic() - started
                damage = broken(out, cache)
                row = {
                    "stage": str(moment),
                    "under way": stage,
                    "seconds after it began": round(delay, 2),
                    "seconds of the process": round(seconds, 1),
                    # Starting Python and TensorFlow and loading the inputs are among them.
                    "seconds lost": round(seconds - (kept(out) - kept_before), 1),
                    "whole": not damage,
                }
                return {**row, "wrong": "; ".join(filter(None, (wrong, damage)))} if wrong or damage else row
        return ended_well(process, out, most)


def run_to_its_end(
    out: Path, asked: OptionSet, cache: Path, kills: Sequence[tuple[Moment, float]], tell: Callable[[Any], None]
) -> int:
    """The exit code of a run that is killed at these moments, each with its delay, and resumed.

    Args:
        out: of the run.
        asked: what for.
        cache: of the soft labels.
        kills: in the order of the stages.
        tell: gets each kill.

    Raises:
        CheckError: as `killed`.
    """
    for moment, delay in kills:
        came = killed(out, asked, cache, moment, delay)
        if isinstance(came, int):
            return came
        tell(came)
    with go(out, asked.options, cache) as process:
        return ended_well(process, out, asked.most_seconds)


def outcome(run: Callable[[], int], out: Path, reference: Path, *, members: bool) -> dict[str, Any]:
    """What came of a run; what was wrong is told in it.

    Args:
        run: gives the exit code.
        out: of the run.
        reference: of one that was never killed.
        members: whether the plan says which members there are.
    """
    found: dict[str, Any] = {"accuracy": {}, "same_plan": False, "exit_code": None}
    try:
        found["exit_code"] = run()
        check_recipe(out, reference)
        found["same_plan"] = same_plan(out, reference, members=members)
        found["accuracy"] = verified(out)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other runs are made all the same
        found["wrong"] = str(error) or repr(error)
    return found


def measure(asked: OptionSet, kills: int, per_run: int, seed: int, console: Console) -> Iterator[dict[str, Any]]:
    """Kills runs so many times; after each run what came of all."""
    rng, order = random.Random(seed), asked.moments
    rows: list[dict[str, Any]] = []
    families: list[dict[str, Any]] = []

    def tell(row: dict[str, Any]) -> None:
        rows.append(row)
        console.print(len(rows), row, markup=False)

    def made(out: Path, chosen: Sequence[tuple[Moment, float]]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as cache:
            return outcome(
                lambda: run_to_its_end(out, asked, Path(cache), chosen, tell), out, reference, members=asked.planned
            )

    with tempfile.TemporaryDirectory(prefix="l2c-kill-") as folder:
        reference = Path(folder) / "reference"
        undisturbed = made(reference, ())
        console.print("never killed:", undisturbed, markup=False)
        waiting: list[Moment] = []
        while True:
            if len(waiting) < per_run:
                waiting += rng.sample(order, len(order))
            count = min(per_run, kills - len(rows))
            # In the order of the stages: a run is not killed in a stage that it has behind it.
            chosen, waiting = sorted(waiting[:count], key=order.index), waiting[count:]
            out = Path(folder) / f"run-{len(families)}"
            families.append(made(out, [(moment, rng.uniform(0, moment.within)) for moment in chosen]))
            console.print(f"run {len(families)}:", families[-1], markup=False)
            yield summary(asked, kills, undisturbed, families, rows)
            given_up = len(families) >= MOST_FAILED and all("wrong" in family for family in families[-MOST_FAILED:])
            # A run may be over before it could be killed.
            if len(rows) >= kills or len(families) >= 2 * kills or given_up:
                return


def summary(
    asked: OptionSet,
    kills: int,
    undisturbed: dict[str, Any],
    families: Sequence[dict[str, Any]],
    rows: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """What came of the runs of a set so far, and whether that is what should.

    Args:
        asked: what for.
        kills: how many there are to be.
        undisturbed: what came of the run that was never killed.
        families: what came of each of the others.
        rows: the kills.
    """
    whole = sum(row["whole"] for row in rows)
    lost = max((row["seconds lost"] for row in rows), default=0.0)
    failed = sum("wrong" in family for family in families)
    other = sum(not family["same_plan"] for family in families if "wrong" not in family)
    otherwise = sum(row["whole"] and "wrong" in row for row in rows)
    judged = [
        ("wrong" in undisturbed, f"a run that was never killed failed: {undisturbed.get('wrong')}"),
        (whole < kills, f"{whole} of {kills} kills left nothing corrupt"),
        (otherwise, f"{otherwise} kills of the training alone did not end the run as they must"),
        (failed, f"{failed} of {len(families)} runs failed"),
        (other, f"{other} of {len(families)} runs had another plan"),
        (lost > MOST_SECONDS_LOST, f"{lost:.1f} s were lost to a kill"),
    ]
    missed = [words for is_so, words in judged if is_so]
    right = [family["accuracy"] for family in families if family["accuracy"]]
    in_all = [name for name in undisturbed["accuracy"] if right and all(name in accuracy for accuracy in right)]
    return {
        "options": [*asked.options, *FIXED],
        "reached": not missed,
        "missed": missed,
        "kills_asked_for": kills,
        "kills": len(rows),
        "most_seconds_lost": lost,
        "nothing_corrupt_after": whole,
        "kills_by_stage": {str(moment): sum(row["stage"] == str(moment) for row in rows) for moment in asked.moments},
        "never_killed_in": never_killed_in(asked, rows),
        "runs": len(families),
        "runs_that_verified": len(right),
        "runs_with_the_same_plan": sum(family["same_plan"] for family in families),
        "exit_codes": Counter(str(family["exit_code"]) for family in families),
        "accuracy_never_killed": undisturbed["accuracy"],
        "accuracy_mean": {name: float(np.mean([accuracy[name] for accuracy in right])) for name in in_all},
        "families": list(families),
        "rows": list(rows),
    }


def never_killed_in(asked: OptionSet, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The stages that a set is for and that no run was killed in.

    Members may come without a trial, say; and a short stage may be over when the kill comes.
    """
    usual = asked.own == asked.moments  # not each of these is a stage of its own in the folder of a run
    stages = {row["stage"] for row in rows if usual or row["stage"].startswith(row["under way"])}
    return [str(moment) for moment in asked.own if str(moment) not in stages]


def verdict(part: dict[str, Any]) -> str:
    """Whether a set has reached what it should, in words; older results do not say so."""
    if "reached" not in part:
        return "not judged"
    words = ["reached"] if part["reached"] else [f"missed: {words}" for words in part["missed"]]
    return "; ".join([*words, *(f"never killed in {stage}" for stage in part["never_killed_in"])])


def moments_table(parts: dict[str, Any]) -> Table:
    """How often each set was killed in each of its stages, what that left and cost, and the verdict."""
    table = Table("options", "killed in", "kills", "nothing corrupt", "lost at most, s", "verdict")
    for name, part in parts.items():
        stages = [*map(str, SETS[name].moments), *(row["stage"] for row in part["rows"])]
        for place, stage in enumerate(dict.fromkeys(stages)):
            own = [row for row in part["rows"] if row["stage"] == stage]
            lost = f"{max(row['seconds lost'] for row in own):.1f}" if own else ""
            whole = str(sum(row["whole"] for row in own))
            first = ("", "") if place else (name, verdict(part))
            table.add_row(first[0], stage, str(len(own)), whole, lost, first[1])
        table.add_section()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="of options; all by default")
    parser.add_argument("--kills", type=int, default=25, help="of each set")
    parser.add_argument("--per-run", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # Ended from outside as by Ctrl-C: the run that is under way ends with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    missed = []
    for name in arguments.sets:
        asked = SETS[name]
        if asked.package and find_spec(asked.package) is None:
            console.print(f"{name}: left out, for {asked.package} is not installed")
            continue
        console.print(f"{name}: {shlex.join(asked.options)}")
        options = f"--kills {arguments.kills} --per-run {arguments.per_run} --seed {arguments.seed}"
        parts: dict[str, Any] = {}
        for found in measure(asked, arguments.kills, arguments.per_run, arguments.seed, console):
            part = {
                "command": f"python benchmarks/kill_resume.py --sets {shlex.quote(name)} {options}",
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "environment": environment().model_dump(),
                **found,
            }
            # After each run: when this is interrupted, or killed in its turn, what was found is there.
            parts = write_part("kill_resume", "sets", name, part)
        console.print(moments_table(parts))
        console.print(f"{name}: {verdict(parts[name])}", markup=False)
        if not parts[name]["reached"]:
            missed.append(name)
    if missed:
        sys.exit(f"Not reached: {', '.join(missed)}.")


if __name__ == "__main__":
    main()
