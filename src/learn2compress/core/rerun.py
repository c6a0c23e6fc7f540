"""The recipe that a run wrote, used again with other options beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from learn2compress.core.paths import at_home
from learn2compress.core.recipe import Recipe, read


def composed(
    file: str | Path | None, settings: Sequence[str], given: Mapping[str, Any]
) -> tuple[Recipe, tuple[str, ...]]:
    """`Recipe.compose`, and without what of the file was found out for other options than these.

    Returns:
        The recipe to run, and what to tell of it.

    Raises:
        InputError: `recipe.*`.
    """
    recipe = Recipe.compose(file, settings, given)
    return without_findings(recipe, read(at_home(file)), given, settings) if file else (recipe, ())


def without_findings(
    recipe: Recipe, file: Mapping[str, Any], given: Mapping[str, Any], settings: Sequence[str] = ()
) -> tuple[Recipe, tuple[str, ...]]:
    """A recipe without what an earlier run found out for other options than are asked for beside its file.

    Otherwise a new budget would change nothing, and a trained teacher would get the learning rate of new kernels.
    Only a recipe that a run has written tells the number of steps; what people write themselves is taken as it is.

    Args:
        recipe: as put together from all that follows.
        file: the values in the file.
        given: by the names of a recipe's fields; None where it was not given.
        settings: `KEY=VALUE`; what they name stays.

    Returns:
        The recipe to run, and what to tell of it.
    """
    if "joint_steps" not in file.get("training", {}):
        return recipe, ()
    named = {setting.partition("=")[0].strip() for setting in settings}
    asked = named | {key for key, value in given.items() if value is not None}
    found = {f"{section}.{key}" for section in ("training", "views") for key in file.get(section, {})} - named
    notes: list[str] = []
    dropped: set[str] = set()
    if "route" in asked and recipe.route != file.get("route", recipe.route):
        # Mixed views are made where students are trained, and shown to whatever is trained where they are asked for.
        dropped = {key for key in found if key.startswith("training.") or key == "views.mixed"}
        if dropped:
            notes.append(
                f"the recipe is for --from {file['route']}: with --from {recipe.route} its {_listed(dropped)} are "
                "left aside, and found out anew"
            )
    if "teacher" in asked and recipe.teacher == "joint" and recipe.views.mixed and "views.mixed" in found - dropped:
        # Nobody asked for mixed views: an earlier run found that its students, of a fixed teacher, should see them.
        dropped.add("views.mixed")
        notes.append("the recipe's views.mixed is left aside: a teacher that is trained along is shown whole images")
    if asked & {"budget", "preset"}:
        timed = {
            "training.joint_steps",
            "training.quantization_steps",
            "views.count",
            "views.mixed",
        } & found - dropped
        dropped |= timed
        if timed:
            notes.append(
                f"the recipe's {_listed(timed)} are left aside: what a budget of {recipe.budget} allows is found "
                "out anew"
            )
    left_out = {
        section: getattr(recipe, section).model_copy(
            update={key.partition(".")[2]: None for key in dropped if key.startswith(f"{section}.")}
        )
        for section in ("training", "views")
    }
    return recipe.model_copy(update=left_out), tuple(notes)


def _listed(keys: set[str]) -> str:
    return ", ".join(sorted(keys))
