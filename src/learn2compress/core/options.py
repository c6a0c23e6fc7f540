"""What a run was asked to do, checked before anything heavy is done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from learn2compress.core.errors import InputError
from learn2compress.core.precision import INTEGER, FileFormat, file_formats
from learn2compress.core.recipe import Recipe
from learn2compress.core.target import Target
from learn2compress.core.units import duration_seconds

SHORTEST_BUDGET_SECONDS = 30
# `teacher` is one of the last two: the teacher cut at a depth, or pruned.
ROUTES = ("auto", "fresh", "teacher", "cuts", "prunings")
MOST_STUDENTS = 8
MOST_SPARSITY = 0.95
# NumPy takes no larger ones.
LARGEST_SEED = 2**32 - 1
MIXED = ("auto", "off")


@dataclass(frozen=True)
class Options:
    """A recipe that was checked, and what of it has to be read before it can be used.

    Attributes:
        recipe: what is asked for; see `learn2compress.compress` for what it means.
        targets: the bounds.
        budget_seconds: for the whole run.
        input_size: (height, width) for a model that takes images of any size; None where it is to be found out.
        formats: the files that each member is written as.
    """

    recipe: Recipe
    targets: tuple[Target, ...]
    budget_seconds: float
    input_size: tuple[int, int] | None
    formats: tuple[FileFormat, ...]

    @property
    def mixed(self) -> bool:
        """Whether a member whose int8 loses more than the recipe's `mixed_loss` is looked into."""
        return self.recipe.mixed == "auto"

    @property
    def rounded_in_training(self) -> bool:
        """Whether any of the files needs quantization-aware training."""
        return any(written.kind.rounded_in_training for written in self.formats)

    @property
    def integer(self) -> bool:
        """Whether any of the files computes in integers."""
        return any(written.precision in INTEGER for written in self.formats)

    @staticmethod
    def of(recipe: Recipe) -> Options:
        """Reads and checks what a recipe asks for.

        Raises:
            InputError: `option.*`, `target.*` or `units.*`.
        """
        _check_students(recipe.students)
        seconds = _budget_seconds(recipe.budget)
        _check_known("route", "--from", recipe.route, ROUTES)
        check_seed(recipe.seed)
        _check_sparsity(recipe.sparsity)
        _check_joint_teacher(recipe)
        _check_known("mixed", "--mixed", recipe.mixed, MIXED)
        return Options(
            recipe,
            targets=tuple(Target.parse(text) for text in recipe.targets),
            budget_seconds=seconds,
            input_size=read_size(recipe.input_size),
            formats=file_formats(recipe.precision, recipe.input_type, recipe.output_type, recipe.output),
        )


def _check_students(students: object) -> None:
    if not isinstance(students, int) or not 1 <= students <= MOST_STUDENTS:
        raise InputError(
            "option.students",
            f"The number of students is {students!r}; it must be between 1 and {MOST_STUDENTS}.",
            "give for example --students 3.",
        )


def _budget_seconds(budget: str | float) -> float:
    seconds = float(budget) if isinstance(budget, int | float) else duration_seconds(budget)
    if not SHORTEST_BUDGET_SECONDS <= seconds < math.inf:
        raise InputError(
            "option.budget",
            f"A budget of {seconds:.0f} seconds can't be kept: that is too short to train anything, or endless.",
            f"give at least {SHORTEST_BUDGET_SECONDS}s; 10m to 1h is usual.",
        )
    return seconds


def _check_sparsity(sparsity: object) -> None:
    if not isinstance(sparsity, int | float) or not 0 <= sparsity <= MOST_SPARSITY:
        raise InputError(
            "option.sparsity",
            f"A sparsity of {sparsity!r} can't be reached; it is the share of weights that become zero.",
            f"give a number from 0 to {MOST_SPARSITY}, such as --sparsity 0.5.",
        )


def _check_joint_teacher(recipe: Recipe) -> None:
    """Refuses what a teacher that is trained along can't be beside."""
    if recipe.teacher != "joint":
        return
    if recipe.backend != "tensorflow":
        raise InputError(
            "option.backend",
            f"A teacher can't be trained along (--teacher joint) on {recipe.backend}.",
            "leave out one of --backend and --teacher.",
        )
    if recipe.views.mixed:
        # Nor is it harmless: by its optimizer's momentum a teacher without a loss moves on.
        raise InputError(
            "option.mixed_views",
            "A teacher that is trained along (--teacher joint) learns from labels, and a mix of two images "
            "(views.mixed) has none.",
            "leave out one of them.",
        )


def _check_known(option: str, flag: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"option.{option}", f"{flag} {value!r} is not known.", f"use one of {', '.join(known)}.")


def read_size(text: str) -> tuple[int, int] | None:
    """(height, width) of `224` or `192x256`; None of `auto`.

    Raises:
        InputError: `option.input_size`.
    """
    if text == "auto":
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and 0 < int(side) < 10**6 for side in sides):
        raise InputError(
            "option.input_size",
            f"--input-size {text!r} is no size of an image.",
            "give a side, such as 224, or height and width, such as 192x256.",
        )
    return int(sides[0]), int(sides[-1])


def check_seed(seed: object) -> None:
    """Refuses what can't be the seed of a random generator.

    Raises:
        InputError: `option.seed`.
    """
    if not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise InputError(
            "option.seed", f"The seed {seed!r} is no whole number from 0 to {LARGEST_SEED}.", "give --seed 0."
        )
