"""What `kill_resume.py` looks at: how far a run is, whether all is whole, and what came of it."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from _kill_sets import Moment

from learn2compress.core.checkpoints import AT_WORK, CHECKPOINTS, STATE
from learn2compress.core.family import Family
from learn2compress.core.recipe import RECIPE, read
from learn2compress.demo import find_example
from learn2compress.inputs.dataset import load_dataset
from learn2compress.measure.accuracy import accuracy_of

TRAINER = "learn2compress.stages.training_process"
# Of what the manifest says of the plan, what a kill must not change: for all, and where the members follow from it.
ALWAYS = ("views", "mirrored views", "mixed views", "preprocessing of the teacher")
PLANNED = ("members", "reason")


class CheckError(Exception):
    """Something is not as it must be."""


def check(holds: bool, *what: object) -> None:
    """Raises CheckError, with what is wrong, where something does not hold."""
    if not holds:
        raise CheckError(" ".join(map(str, what)))


def events(out: Path) -> list[dict[str, Any]]:
    """What a run has told so far."""
    lines: list[str] = []
    found: list[dict[str, Any]] = []
    with suppress(FileNotFoundError):  # there is none yet, or the family was moved to its place
        lines = (out / CHECKPOINTS / "family" / "run.jsonl").read_text().splitlines()
    for line in lines:
        with suppress(ValueError):  # a process was killed in the middle of it, or is writing it
            found.append(json.loads(line))
    return found


def under_way(out: Path) -> str:
    """The stage that is under way; empty where the run does not say so, or there is none."""
    with suppress(FileNotFoundError):
        return (out / CHECKPOINTS / AT_WORK).read_text()
    return ""


def begun(out: Path, before: int, moment: Moment) -> bool:
    """Whether the stage has begun since so many events; of a trial, that of any source of members."""
    if moment.stage == "start":
        return True
    told = {event["stage"] for event in events(out)[before:] if event["kind"] == "stage"}
    # Not every stage tells of itself when it begins, but each is named in the folder while it is under way.
    unheard = moment.stage == "improved teacher" and under_way(out) == moment.stage
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
    """Seconds of work that the checkpoints stand for; 0 where that can't be read, of which `broken` tells."""
    with suppress(OSError, ValueError, KeyError):
        return float(json.loads((out / CHECKPOINTS / STATE).read_text())["elapsed"])
    return 0.0


def complete(out: Path) -> bool:
    """Whether the folder holds a family that nothing is left to do of."""
    return (out / "family.json").exists() and not (out / CHECKPOINTS).exists()


def broken(out: Path, cache: Path) -> str:
    """What is not whole of a family that lies in the folder, or of what the next process would read; empty if all is.

    Args:
        out: of a run that was killed.
        cache: of its soft labels.
    """
    try:
        _check_family(out)
        _check_work(out / CHECKPOINTS)
        for path in cache.rglob("*.bin"):
            check(path.stem.endswith(f"-{zlib.crc32(path.read_bytes()):08x}"), path, "is damaged")
    except Exception as error:  # noqa: BLE001 - whatever damaged files raise; it is told
        return repr(error)
    return ""


def _check_family(out: Path) -> None:
    """Checks that what lies in the folder is no family at all, or a whole one."""
    if not (out / "family.json").exists():
        return
    family = Family.load(out)
    for model in (*family.baselines, *family.members):
        path = family.path(model)
        check(path.stat().st_size == model.size_bytes, path, "has not the size that the manifest says")


def _check_work(work: Path) -> None:
    state = work / STATE
    if not (state.is_file() and (work / RECIPE).is_file()):
        return  # the next process begins anew: the run was killed in its first or its last moment
    known = json.loads(state.read_text())["known"]
    read(work / RECIPE)
    for path in work.glob("*.npz"):
        _check_arrays(path)
    for key in plan_keys(known):
        for name in known[key]:
            _check_plan(work / key / name)


def plan_keys(known: Mapping[str, Any]) -> list[str]:
    """The keys of the plans that the next process would read; see `stages.saved`.

    Those of single sources are read until all sources are planned, those of all until one is chosen.

    Args:
        known: of the state.
    """
    if "publishing" in known:  # all is written, and is only moved
        return []
    if "chosen" in known:
        return [key for key in ("chosen", "fitting") if key in known]
    return ["planned"] if "planned" in known else [key for key in known if key.startswith("planned-")]


def _check_plan(folder: Path) -> None:
    fields = json.loads((folder / "plan.json").read_text())
    for number in range(len(fields["specs"]) + len(fields["spares"])):
        _check_arrays(folder / f"{number}.npz")
        path = folder / f"{number}.keras"
        with zipfile.ZipFile(path) as archive:
            check(archive.testzip() is None, path, "is damaged")


def _check_arrays(path: Path) -> None:
    with np.load(path) as arrays:
        for name in arrays.files:
            check(arrays[name] is not None, path, name)


def verified(out: Path) -> dict[str, float]:
    """Accuracy of each member, measured anew; it must be what the manifest says.

    Raises:
        CheckError: it is not, or something is left of the run.
    """
    family = Family.load(out)
    dataset = load_dataset(find_example().photos, seed=0)
    found = {}
    for member in family.members:
        measured = accuracy_of(family.path(member), dataset.test).accuracy
        told = member.accuracy.test
        check(abs(measured - told) < 1e-9, member.name, "is right on", measured, "and the manifest says", told)
        found[member.name] = measured
    check(not (out / CHECKPOINTS).exists(), "the checkpoints are still there")
    return found


def check_recipe(out: Path, other: Path) -> None:
    """Checks that the recipes of two families say as much."""
    one, two = (set(read(folder / RECIPE)) for folder in (out, other))
    check(one == two, "of", sorted(one ^ two), "only one of the recipes says something")


def same_plan(out: Path, other: Path, *, members: bool) -> bool:
    """Whether the families in two folders are of the same plan.

    What stays in float32 is found on the trained weights and is no part of it, so neither are the sizes of the files.

    Args:
        members: whether the plan says which members there are.
    """
    one, two = Family.load(out).plan, Family.load(other).plan
    if any(one[key] != two[key] for key in (*ALWAYS, *(PLANNED if members else ()))):
        return False
    return not members or planned_members(out) == planned_members(other)


def planned_members(out: Path) -> list[dict[str, Any]]:
    """The members of a family as they were planned: names, input sizes, channels, blocks, cuts and prunings."""
    chosen = read(out / RECIPE)["plan"]["members"]
    return [{key: value for key, value in member.items() if key != "in_float32"} for member in chosen]
