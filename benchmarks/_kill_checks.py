"""What `kill_resume.py` looks at: how far a run is, whether all is whole, and what came of it."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from _kill_sets import Moment
from rich.console import Console

from learn2compress.core.checkpoints import AT_WORK, CHECKPOINTS, STATE
from learn2compress.core.family import Family
from learn2compress.demo import find_example
from learn2compress.inputs.dataset import load_dataset
from learn2compress.measure.accuracy import accuracy_of

PLANS = ("planned", "chosen", "fitting")
TRAINER = "learn2compress.stages.training_process"


def events(out: Path) -> list[dict[str, Any]]:
    """What a run has told so far."""
    log = out / CHECKPOINTS / "family" / "run.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def begun(out: Path, before: int, moment: Moment) -> bool:
    """Whether the stage has begun since so many events; of a trial, that of any source of members."""
    if moment.stage == "start":
        return True
    told = {event["stage"] for event in events(out)[before:] if event["kind"] == "stage"}
    # Not every stage tells of itself when it begins, but each is named in the folder while it is under way.
    mark = out / CHECKPOINTS / AT_WORK
    unheard = moment.stage == "improved teacher" and mark.is_file() and mark.read_text() == moment.stage
    return unheard or any(stage == moment.stage or stage.startswith(f"{moment.stage} of ") for stage in told)


def trainer_of(out: Path) -> int | None:
    """The number of the process that trains for the run in this folder, on Linux; None where there is none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if TRAINER.encode() in words and str(out / CHECKPOINTS).encode() in words:
            return int(path.parent.name)
    return None


def kept(out: Path) -> float:
    """Seconds of work that the checkpoints stand for."""
    state = out / CHECKPOINTS / STATE
    return float(json.loads(state.read_text())["elapsed"]) if state.is_file() else 0.0


def complete(out: Path) -> bool:
    """Whether the folder holds a family that nothing is left to do of."""
    return (out / "family.json").exists() and not (out / CHECKPOINTS).exists()


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
    work = out / CHECKPOINTS
    state = work / STATE
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
    assert not (out / CHECKPOINTS).exists()
    return found
