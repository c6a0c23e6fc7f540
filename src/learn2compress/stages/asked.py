"""What a run is asked for: from options, a recipe and an unfinished run."""

from __future__ import annotations

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
from learn2compress.inputs.teacher import Teacher

_INPUTS = "inputs"


@dataclass(frozen=True)
class Asked:
    """A run as it is asked for.

    Attributes:
        recipe: all of it that can be written down.
        model, data, test_data, labels: a path, or what else was given.
        finished: whether the family is there already and no run is under way.
    """

    recipe: Recipe
    model: Any
    data: Any
    test_data: Any
    labels: Any
    finished: bool


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
        InputError: `recipe.*`, `option.model`, `option.data`.
    """
    begun = unfinished(folder) if resume else None
    finished = unfinished(folder) is None and (folder / MANIFEST).is_file()
    values = {**given, **{key: _path(given[key]) for key in PATHS}}
    composed = Recipe.compose(recipe or begun, settings, values)
    _check_outside(folder, composed)
    inputs = {
        key: given[key] if values[key] is None and given[key] is not None else getattr(composed, key) for key in PATHS
    }
    if not (resume and finished):  # nothing is needed where nothing is left to do
        check_given(inputs)
    return Asked(
        composed,
        inputs["model"],
        inputs["data"],
        inputs["test_data"] or None,
        inputs["labels"] or None,
        finished,
    )


def _check_outside(folder: Path, recipe: Recipe) -> None:
    """Refuses inputs that the run would replace with its own files.

    Raises:
        InputError: `out.holds_input`.
    """
    replaced = [(folder / name).resolve() for name in (*PARTS, CHECKPOINTS)]
    for key in PATHS:
        path = Path(getattr(recipe, key)).resolve()
        if getattr(recipe, key) and any(path.is_relative_to(place) for place in replaced):
            raise InputError(
                "out.holds_input",
                f"{path} lies among the files that this run would replace.",
                "give another --out, or copy it elsewhere first.",
            )


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
