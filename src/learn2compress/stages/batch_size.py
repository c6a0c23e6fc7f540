"""How many images a training step takes may be changed on the way: memory may be short for as many as were planned.

Without it a run that is killed in the first step of a training would be killed there whenever it goes on.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.whole_files import write_whole
from learn2compress.train.checkpoint import TrainingCheckpoint
from learn2compress.train.settings import SETTINGS, SMALLEST_BATCH

KEY = "training.batch_size"


def changeable(folder: Path) -> tuple[str, ...]:
    """The keys of the recipe that may be others when a run goes on: the batch size, but not amid a training.

    Args:
        folder: of the run under way.
    """
    joint, quantization = (TrainingCheckpoint(folder / f"{name}.npz").reached() for name in ("joint", "quantization"))
    return (KEY,) if quantization is None and (joint is None or joint.finished) else ()


def take_batch_size(run: Checkpoints, asked: int | None, input_size: tuple[int, int]) -> None:
    """Puts the batch size that is asked for now into the plans that an earlier process kept.

    Args:
        run: under way.
        asked: None for that of the source of members.
        input_size: (height, width) of the teacher's.
    """
    for path, plan in _kept_plans(run.folder) if changeable(run.folder) else ():
        size = asked or SETTINGS[plan["kind"]].for_size(input_size).batch_size
        if plan["settings"]["batch_size"] != size:
            # A trial compares sources at the same batch size, from its beginning.
            for trial in run.folder.glob("trial-*.npz"):
                trial.unlink(missing_ok=True)
            plan["settings"]["batch_size"] = size
            write_whole(path, json.dumps(plan).encode())


def with_smaller_batches(folder: Path, asked: int | None = None) -> str:
    """What to do for smaller batches; empty where there are no plans, or none can or need be smaller.

    Args:
        folder: of the run under way.
        asked: the batch size that is asked for already, where one is.
    """
    planned = min((plan["settings"]["batch_size"] for _, plan in _kept_plans(folder)), default=0)
    if planned // 2 < SMALLEST_BATCH or (asked or planned) < planned:
        return ""
    setting = f"{KEY}={planned // 2}"
    if not changeable(folder):
        return f"begin anew with smaller batches, as in --set {setting}"
    command = shlex.join(["l2c", "compress", "--resume", "--out", str(folder.parent), "--set", setting])
    return f"go on with smaller batches: {command}"


def _kept_plans(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The file and the fields of each plan; see `stages.saved`. One that can't be read is planned anew."""
    for path in sorted(folder.glob("*/*/plan.json")):
        try:
            plan = json.loads(path.read_text(encoding="utf-8"))
            if plan["kind"] not in SETTINGS or not isinstance(plan["settings"]["batch_size"], int):
                continue
        except (OSError, ValueError, KeyError, TypeError):
            continue
        yield path, plan
