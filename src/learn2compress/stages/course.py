"""How the members of a family came about: what the manifest says of it, and the recipe that makes them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from learn2compress.core.dataset import Dataset
from learn2compress.core.family import Member
from learn2compress.core.options import Options
from learn2compress.core.recipe import Recipe, TrainingRecipe, ViewsRecipe
from learn2compress.inputs.teacher import Teacher
from learn2compress.stages.planning import Plan
from learn2compress.stages.settled import plan_recipe
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
            "sparsity": options.recipe.sparsity,
            "teacher": options.recipe.teacher,
            **({"search": self.plan.search} if self.plan.search else {}),
        }

    def recipe(self, options: Options, teacher: Teacher, dataset: Dataset, members: Sequence[Member]) -> Recipe:
        """What was asked for, with all that was found out on the way: it makes the same family again.

        Args:
            options: of the run.
            teacher, dataset: of the run.
            members: of the finished family.
        """
        training = {
            **asdict(self.plan.settings),
            "dtype": self.joint.dtype,
            # A run by the recipe has nothing to try: what the trial gave the members is part of their training.
            "joint_steps": self.plan.trial_steps + self.joint.steps,
            "quantization_steps": self.tuning.steps if self.tuning else None,
        }
        found = options.recipe.model_copy(
            update={
                "route": {"students": "fresh"}.get(self.plan.kind, self.plan.kind),
                "preprocess": teacher.preprocess.name,
                "views": ViewsRecipe(count=self.views.count, mirrored=self.views.flip, mixed=self.views.mixed),
                "training": TrainingRecipe.model_validate(training),
            }
        )
        plan = plan_recipe(self.plan, found, options.formats, teacher, dataset, members)
        return found.model_copy(update={"plan": plan})
