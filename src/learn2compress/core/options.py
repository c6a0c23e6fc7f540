"""What a run was asked to do, checked before anything heavy is done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from learn2compress.core.errors import InputError
from learn2compress.core.recipe import DEFAULT_PRESET, PRESETS, Recipe, TrainingRecipe, ViewsRecipe
from learn2compress.core.target import Target
from learn2compress.core.units import duration_seconds

DEFAULT_BUDGET: str = PRESETS[DEFAULT_PRESET]["budget"]
SHORTEST_BUDGET_SECONDS = 30
# `teacher` is one of the last two: the teacher cut at a depth, or pruned.
ROUTES = ("auto", "fresh", "teacher", "cuts", "prunings")
MOST_STUDENTS = 8
AUTOMATIC_VIEWS = ViewsRecipe()
AUTOMATIC_TRAINING = TrainingRecipe()
MOST_SPARSITY = 0.95


@dataclass(frozen=True)
class Options:
    """The checked options of a run; see `learn2compress.compress` for what they mean."""

    students: int
    targets: tuple[Target, ...]
    budget_seconds: float
    route: str
    preprocess: str
    seed: int
    sparsity: float = 0.0
    teacher: str = "fixed"
    views: ViewsRecipe = AUTOMATIC_VIEWS
    training: TrainingRecipe = AUTOMATIC_TRAINING

    @staticmethod
    def of(recipe: Recipe) -> Options:
        """Reads and checks what a recipe asks for.

        Raises:
            InputError: as for `check`.
        """
        return Options.check(
            students=recipe.students,
            targets=recipe.targets,
            budget=recipe.budget,
            route=recipe.route,
            preprocess=recipe.preprocess,
            seed=recipe.seed,
            sparsity=recipe.sparsity,
            teacher=recipe.teacher,
            views=recipe.views,
            training=recipe.training,
        )

    @staticmethod
    def check(
        *,
        students: int = 3,
        targets: Sequence[str] = (),
        budget: str | float = DEFAULT_BUDGET,
        route: str = "auto",
        preprocess: str = "auto",
        seed: int = 0,
        sparsity: float = 0.0,
        teacher: str = "fixed",
        views: ViewsRecipe = AUTOMATIC_VIEWS,
        training: TrainingRecipe = AUTOMATIC_TRAINING,
    ) -> Options:
        """Reads and checks the options.

        Raises:
            InputError: `option.*`, `target.*` or `units.*`.
        """
        if not isinstance(students, int) or not 1 <= students <= MOST_STUDENTS:
            raise InputError(
                "option.students",
                f"The number of students is {students!r}; it must be between 1 and {MOST_STUDENTS}.",
                "give for example --students 3.",
            )
        seconds = float(budget) if isinstance(budget, int | float) else duration_seconds(budget)
        if not SHORTEST_BUDGET_SECONDS <= seconds < math.inf:
            raise InputError(
                "option.budget",
                f"A budget of {seconds:.0f} seconds can't be kept: that is too short to train anything, or endless.",
                f"give at least {SHORTEST_BUDGET_SECONDS}s; 10m to 1h is usual.",
            )
        if route not in ROUTES:
            raise InputError("option.route", f"--from {route!r} is not known.", f"use one of {', '.join(ROUTES)}.")
        if not isinstance(seed, int) or seed < 0:
            raise InputError("option.seed", f"The seed {seed!r} is no whole number from 0 up.", "give --seed 0.")
        if not isinstance(sparsity, int | float) or not 0 <= sparsity <= MOST_SPARSITY:
            raise InputError(
                "option.sparsity",
                f"A sparsity of {sparsity!r} can't be reached; it is the share of weights that become zero.",
                f"give a number from 0 to {MOST_SPARSITY}, such as --sparsity 0.5.",
            )
        parsed = tuple(Target.parse(text) for text in targets)
        return Options(students, parsed, seconds, route, preprocess, seed, float(sparsity), teacher, views, training)
