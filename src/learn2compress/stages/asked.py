"""What a run is asked for: from options, a recipe and an unfinished run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learn2compress.core.checkpoints import CHECKPOINTS, Checkpoints
from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.family import MANIFEST
from learn2compress.core.folder import PARTS, unfinished
from learn2compress.core.recipe import PATHS, Recipe, absolute, check_given
from learn2compress.core.rerun import composed
from learn2compress.inputs.splits import SPLIT_NAMES
from learn2compress.inputs.teacher import Teacher

_INPUTS = "inputs"


@dataclass(frozen=True)
class Asked:
    """A run as it is asked for.

    Attributes:
        recipe: all of it that can be written down.
        model, data, test_data, labels: a path, or what else was given.
        finished: whether the family is there already and no run is under way.
        notes: what of the recipe that was given is left aside.
    """

    recipe: Recipe
    model: Any
    data: Any
    test_data: Any
    labels: Any
    finished: bool
    notes: tuple[str, ...] = ()


def asked_for(
    folder: Path, given: Mapping[str, Any], recipe: str | Path | None, settings: Sequence[str], *, resume: bool
) -> Asked:
    """Puts together what is asked for.

    Args:
        folder: of the run.
        given: by the names of a recipe's fields; None where it was not given.
        recipe: path of a recipe.
        settings: `KEY=VALUE`.
        resume: whether an unfinished run in the folder stands in for a recipe.

    Raises:
        InputError: `recipe.*`, `option.model`, `option.data`, `run.nothing_to_resume`, `out.holds_input`,
            `out.inside_data`.
    """
    begun = unfinished(folder) if resume else None
    finished = unfinished(folder) is None and (folder / MANIFEST).is_file()
    if (
        resume
        and not finished
        and begun is None
        and recipe is None
        and (given["model"] is None or given["data"] is None)
    ):
        raise InputError(
            "run.nothing_to_resume",
            f"There is no unfinished run in {folder}.",
            "give the --out of the interrupted run, or begin with l2c compress MODEL --data DATA --out FOLDER.",
        )
    values = {**given, **{key: _path(given[key]) for key in PATHS}}
    if recipe:
        wanted, notes = composed(recipe, settings, values)
    else:  # what an unfinished run keeps was decided when it began
        wanted, notes = Recipe.compose(begun, settings, values), ()
    _check_outside(folder, wanted)
    _check_beside(folder, wanted)
    inputs = {
        key: given[key] if values[key] is None and given[key] is not None else getattr(wanted, key) for key in PATHS
    }
    if not (resume and finished):  # nothing is needed where nothing is left to do
        check_given(inputs)
    return Asked(
        wanted,
        inputs["model"],
        inputs["data"],
        inputs["test_data"] or None,
        inputs["labels"] or None,
        finished,
        notes,
    )


def _check_outside(folder: Path, recipe: Recipe) -> None:
    """Refuses inputs that the run would replace with its own files.

    Raises:
        InputError: `out.holds_input`.
    """
    replaced = [_real(folder / name) for name in (*PARTS, CHECKPOINTS)]
    for key in PATHS:
        path = _real(getattr(recipe, key))
        if getattr(recipe, key) and any(path.is_relative_to(place) for place in replaced):
            raise InputError(
                "out.holds_input",
                f"{path} lies among the files that this run would replace.",
                "give another --out, or copy it elsewhere first.",
            )


def _check_beside(folder: Path, recipe: Recipe) -> None:
    """Refuses to write among the classes of the data, of which the family would then be one.

    Raises:
        InputError: `out.inside_data`.
    """
    for key in ("data", "test_data"):
        data = _real(getattr(recipe, key))
        if not getattr(recipe, key) or not data.is_dir() or not _real(folder).is_relative_to(data):
            continue
        inside = _real(folder).relative_to(data).parts
        splits = [path.name for path in data.iterdir() if path.name.lower() in SPLIT_NAMES and path.is_dir()]
        # Folders beside train/ and test/ are no classes.
        if not inside or not splits or inside[0] in splits:
            raise InputError(
                "out.inside_data",
                f"The folder {folder} for the family lies inside the data {data}.",
                "give an --out beside the data, not in it.",
            )


def _real(path: str | Path) -> Path:
    # `Path.resolve` raises on links that go round in a circle.
    return Path(os.path.realpath(path))


def _path(value: Any) -> str | None:
    return absolute(Path(), str(value)) if isinstance(value, str | Path) else None


def check_same_inputs(run: Checkpoints, teacher: Teacher, dataset: Dataset) -> None:
    """Refuses to go on with another teacher or other data than the run began with.

    Raises:
        InputError: `run.inputs_changed`.
    """
    found: dict[str, Any] = {
        "teacher": teacher.fingerprint,
        "training images": dataset.train.fingerprint,
        "validation images": dataset.validation.fingerprint,
        "test images": dataset.test.fingerprint,
        "class names": list(dataset.class_names),
    }
    if not run.knows("planned"):
        if run.knows(_INPUTS) and run.recall(_INPUTS, dict) != found:
            run.forget_all_but(())  # such as the plan of a first source, made for what was there before
        run.note(_INPUTS, found)
        return
    begun = run.recall(_INPUTS, lambda: found)
    changed = [name for name, value in found.items() if begun.get(name) != value]
    if changed:
        raise InputError(
            "run.inputs_changed",
            f"The {' and the '.join(changed)} changed since the unfinished run in {run.folder.parent} began.",
            f"put back what was there, or delete {run.folder} to begin anew.",
        )
