"""How the members of a family came about: what the manifest says of it, and the recipe that makes them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from learn2compress.core.options import Options
from learn2compress.core.recipe import Recipe, TrainingRecipe, ViewsRecipe
from learn2compress.inputs.teacher import Teacher
from learn2compress.stages.planning import Plan
from learn2compress.train.fit import Trained
from learn2compress.train.views import ViewSpec


@dataclass(frozen=True)
class Course:
    """The course that a run took.

    Attributes:
        plan: what was trained.
        views: what was shown of what the teacher labelled.
        cached: how many of the views an earlier run had labelled.
        labelled_by: what the teacher was run in.
        joint, tuning: joint and quantization-aware training; None for the latter where no file needed it.
    """

    plan: Plan
    views: ViewSpec
    cached: int
    labelled_by: str
    joint: Trained
    tuning: Trained | None

    def summary(self, options: Options, teacher: Teacher) -> dict[str, Any]:
        """For the manifest."""
        return {
            "members": self.plan.words,
            "reason": self.plan.reason,
            "views": self.views.count,
            "views from the cache": self.cached,
            "mirrored views": self.views.flip,
            "mixed views": self.views.mixed,
            "labelled by": self.labelled_by,
            "joint training": self.joint.summary(),
            "quantization-aware training": self.tuning.summary() if self.tuning else "none",
            "preprocessing of the teacher": teacher.preprocess.name,
            "right by preprocessing": {
                name: round(right, 3) for name, right in teacher.preprocess_accuracies.items()
            },
            "found out of the teacher": list(teacher.findings),
            "sparsity": options.sparsity,
            "teacher": options.teacher,
        }

    def recipe(self, asked: Recipe, teacher: Teacher) -> Recipe:
        """What was asked for, with all that was found out on the way: it makes the same family again."""
        training = {
            **asdict(self.plan.settings),
            # A run by the recipe has nothing to try: what the trial gave the members is part of their training.
            "joint_steps": self.plan.trial_steps + self.joint.steps,
            "quantization_steps": self.tuning.steps if self.tuning else None,
        }
        return asked.model_copy(
            update={
                "route": {"students": "fresh"}.get(self.plan.kind, self.plan.kind),
                "preprocess": teacher.preprocess.name,
                "views": ViewsRecipe(count=self.views.count, mirrored=self.views.flip, mixed=self.views.mixed),
                "training": TrainingRecipe.model_validate(training),
            }
        )


def without_findings(
    recipe: Recipe, file: Mapping[str, Any], given: Mapping[str, Any], settings: Sequence[str] = ()
) -> tuple[Recipe, tuple[str, ...]]:
    """A recipe without what an earlier run found out for another budget or route than is asked for beside its file.

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
