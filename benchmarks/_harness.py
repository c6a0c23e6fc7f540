"""What the compression benchmarks share: run the public command, compare with the goals, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from learn2compress.core.errors import EXIT_OK, EXIT_TARGETS
from learn2compress.core.family import Family, Member
from learn2compress.measure.host import environment
from learn2compress.report.tables.family import family_table

COMMAND = (sys.executable, "-m", "learn2compress")
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Goal:
    """What some member of a kind should reach on the test split."""

    name: str
    qualifies: Callable[[Member], bool]
    least_accuracy: float | None = None
    most_drop: float | None = None
    most_float_drop: float | None = None

    def judge(self, family: Family) -> dict[str, Any]:
        """The best qualifying member beside what was asked."""
        members = [member for member in family.members if self.qualifies(member)]
        if not members:
            return {"goal": self.name, "reached": False, "member": None}
        best = max(members, key=lambda member: member.accuracy.test)
        float_drop = round(family.teacher.accuracy.test - best.float_accuracy_test, 6)
        asked = [
            (self.least_accuracy, lambda bound: best.accuracy.test >= bound),
            (self.most_drop, lambda bound: best.accuracy_drop <= bound),
            (self.most_float_drop, lambda bound: float_drop <= bound),
        ]
        reached = all(bound is None or holds(bound) for bound, holds in asked)
        return {
            "goal": self.name,
            "asked_accuracy": self.least_accuracy,
            "asked_drop": self.most_drop,
            "asked_float_drop": self.most_float_drop,
            "member": best.name,
            "size_bytes": best.size_bytes,
            "accuracy": best.accuracy.test,
            "drop": best.accuracy_drop,
            "float_accuracy": best.float_accuracy_test,
            "float_drop": float_drop,
            "times_fewer_macs": best.ratio_to_teacher.macs,
            "reached": reached,
        }


def find_data() -> Path:
    """The unpacked data sets: `$L2C_DATA`, else the user's cache."""
    return Path(os.environ.get("L2C_DATA") or Path.home() / ".cache" / "learn2compress-data")


def find_teachers() -> Path:
    """The trained teachers: `$L2C_TEACHERS`, else beside the clone."""
    return Path(os.environ.get("L2C_TEACHERS") or HERE.parents[1] / "shared" / "data" / "teachers")


def interpreter_with(name: str, *requirements: str) -> Path | None:
    """An interpreter that has these packages, in a virtual environment of its own; None where it can't be had."""
    python = find_data() / name / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).with_name("uv")
        commands = (
            [uv, "venv", "--quiet", "--python", sys.executable, python.parent.parent],
            [uv, "pip", "install", "--quiet", "--python", python, *requirements],
        )
        for command in commands:
            if subprocess.run([str(part) for part in command], check=False).returncode:
                shutil.rmtree(python.parent.parent, ignore_errors=True)
                return None
    return python


def write_result(name: str, command: str, **measured: Any) -> None:
    """Writes what was measured to `results/NAME.json`, with the command, the time and the host."""
    result = {
        "benchmark": name,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **measured,
        "environment": environment().model_dump(),
    }
    (HERE / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def host_words(environment: Mapping[str, Any]) -> str:
    """The host of a result in a few words, by its `environment`.

    Which instructions a processor has stands in its name since 26 November 2026: hosts of one name differ by several
    times in what they are for.
    """
    processor = environment["processor"]
    told = processor if " with " in processor else f"{processor} (instructions not recorded)"
    return f"{told}, {environment['cores']} cores"


def write_part(name: str, parts: str, key: str, part: dict[str, Any]) -> dict[str, Any]:
    """Writes one part of a result to `results/NAME.json`, under `parts` and its key; the others stay as they are.

    Returns:
        All parts by their keys.
    """
    path = HERE / "results" / f"{name}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found: dict[str, Any] = {**before.get(parts, {}), key: part}
    path.write_text(json.dumps({"benchmark": name, parts: found}, indent=1) + "\n", encoding="utf-8")
    return found


def main(
    *,
    name: str,
    teacher: str,
    data: str,
    targets: Sequence[str] | Callable[[], Sequence[str]],
    goals: Sequence[Goal],
    students: int = 3,
    test_data: str | None = None,
    most_float_to_int8_drop: float | None = None,
    most_memory_bytes: float | None = None,
    route: str = "auto",
    budget: str = "20m",
    more: Sequence[str] = (),
    also: Callable[[Family], dict[str, Any]] = lambda family: {},
) -> None:
    """Runs `l2c compress` in a process of its own and writes `results/NAME.json`.

    `targets` may be a function where they are measured first; `more` are further options; `also` measures what else
    is claimed of the family, for the JSON.
    """
    parser = argparse.ArgumentParser(description=name)
    parser.add_argument("--budget", default=budget)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--out", type=Path, default=None, help="keep the family here")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of l2c compress")
    arguments = parser.parse_args()
    model, source = find_teachers() / teacher, find_data() / data
    for path in (model, source):
        if not path.exists():
            sys.exit(f"{path} is missing; see CONTRIBUTING.md for where the data comes from")
    out = arguments.out or Path(tempfile.mkdtemp(prefix=f"l2c-{name}-")) / "family"
    options = ["--students", str(students), "--budget", arguments.budget, "--seed", arguments.seed]
    bounds = targets() if callable(targets) else targets
    options += [word for target in bounds for word in ("--target", target)]
    if route != "auto":
        options += ["--from", route]
    options += [*more, *(word for value in arguments.set for word in ("--set", value))]
    if test_data:
        options += ["--test-data", str(find_data() / test_data)]
    # A cache of its own: the soft labels are part of what is timed.
    with tempfile.TemporaryDirectory() as cache:
        ended = subprocess.run(
            [*COMMAND, "compress", str(model), "--data", str(source), "--out", str(out), *options],
            env={**os.environ, "L2C_CACHE": cache},
            check=False,
        ).returncode
    # A bound that a member misses at the end is a result too.
    if ended not in (EXIT_OK, EXIT_TARGETS):
        sys.exit(ended)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    family = Family.load(out)
    drops = {m.name: round(m.float_accuracy_test - m.accuracy.test, 6) for m in family.members}
    shown = ["l2c", "compress", teacher, "--data", data, *options]
    result = {
        "benchmark": name,
        "command": " ".join(shown).replace(str(find_data()) + "/", ""),
        "created": family.created,
        "all_targets_met": ended == EXIT_OK,
        "budget_seconds": family.budget_seconds,
        "elapsed_seconds": family.elapsed_seconds,
        "within_budget_20_percent": family.elapsed_seconds <= 1.2 * family.budget_seconds,
        "peak_memory_bytes": peak,
        "goals": [goal.judge(family) for goal in goals],
        "float_to_int8_drop": drops,
        "seed": family.seed,
        "route": family.route,
        **also(family),
        "stage_seconds": family.stage_seconds,
        "plan": family.plan,
        "environment": family.environment.model_dump(),
        "models": [
            model.model_dump(mode="json", exclude={"keras_file", "file"})
            for model in (*family.baselines, *family.members)
        ],
    }
    if most_float_to_int8_drop is not None:
        reached = max(drops.values()) <= most_float_to_int8_drop
        result["float_to_int8_drop_goal"] = {"asked": most_float_to_int8_drop, "reached": reached}
    if most_memory_bytes is not None:
        result["memory_goal"] = {"asked": most_memory_bytes, "reached": peak <= most_memory_bytes}
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console = Console()
    console.print(family_table(family, console.width))
    for key in ("goals", "float_to_int8_drop", "float_to_int8_drop_goal", "memory_goal", "elapsed_seconds"):
        if key in result:
            console.print(key, result[key])
    if arguments.out is None:
        shutil.rmtree(out.parent)
