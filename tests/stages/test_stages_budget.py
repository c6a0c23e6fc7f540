"""Who asks for less time than the run can do with is told so, with the figures."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.options import Options
from learn2compress.core.progress import Event, Progress
from learn2compress.core.recipe import Recipe, TrainingRecipe, ViewsRecipe
from learn2compress.core.units import duration_seconds

IMAGES = 50_000


@pytest.fixture
def run(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path)


def warnings_of(run: Checkpoints, budget: str, rate: float, plans: int = 1, **asked: Any) -> list[str]:
    """What is said of a budget, where the teacher labels so many images a second."""
    from learn2compress.stages.budget import warn_of_short_budget

    events: list[Event] = []
    plan: Any = SimpleNamespace(
        settings=SimpleNamespace(batch_size=64),
        specs=[SimpleNamespace(depth=10)] * 3,
        costs=[SimpleNamespace(macs=10**6)] * 3,
        spares=(),
    )
    dataset: Any = SimpleNamespace(train=range(IMAGES), validation=range(2000), test=Split(2000))
    options = Options.of(Recipe(budget=budget, **asked))
    warn_of_short_budget(run, [plan] * plans, dataset, [], rate, options, Progress(events.append))
    assert all(event.kind == "warning" for event in events)
    return [event.message for event in events]


class Split:
    """Images on disk."""

    stacked = None

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


def test_a_budget_that_one_view_alone_breaks_is_warned_of_once_with_the_one_that_would_do(
    run: Checkpoints, tmp_path: Path
) -> None:
    (said,) = warnings_of(run, "20m", 10.0)
    assert "The budget of 20m 00s is too short" in said
    assert "1h 23m" in said  # for the labels
    assert "10 images per second" in said
    found = re.search(r"--budget (\d+m)", said)
    assert found
    least = found.group(1)
    # Neither in this process nor in one that goes on.
    assert warnings_of(run, "20m", 10.0) == []
    assert warnings_of(Checkpoints(tmp_path), "20m", 10.0) == []
    (tmp_path / "other").mkdir()
    (tmp_path / "less").mkdir()
    assert warnings_of(Checkpoints(tmp_path / "other"), least, 10.0) == []
    shorter = f"{duration_seconds(least) / 1.3:.0f}s"
    assert len(warnings_of(Checkpoints(tmp_path / "less"), shorter, 10.0)) == 1


@pytest.mark.parametrize(("budget", "rate"), [("20m", 1000.0), ("5h", 10.0)])
def test_a_budget_that_does_is_not_warned_of(run: Checkpoints, budget: str, rate: float) -> None:
    assert warnings_of(run, budget, rate) == []


def test_views_that_are_asked_for_and_a_teacher_that_learns_take_their_time_too(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = [{}, {"views": ViewsRecipe(count=12)}, {"teacher": "joint"}]
    said = []
    for number, options in enumerate(asked):
        (tmp_path / str(number)).mkdir()
        said.append(warnings_of(Checkpoints(tmp_path / str(number)), "20m", 65.0, **options))
    assert said[0] == []
    assert "12 times" in said[1][0]
    assert len(said[2]) == 1


def test_nothing_is_said_where_the_steps_are_given_or_a_plan_is_chosen_already(
    run: Checkpoints, tmp_path: Path
) -> None:
    assert warnings_of(run, "20m", 10.0, training=TrainingRecipe(joint_steps=100)) == []
    (tmp_path / "late").mkdir()
    assert warnings_of(Checkpoints(tmp_path / "late"), "20m", 10.0, plans=0) == []


@pytest.mark.parametrize(
    ("budget", "kinds", "asked", "count", "mixed"),
    [
        ("60m", ["students"], {}, 8, True),
        ("60m", ["prunings", "students"], {}, 8, True),
        ("60m", ["prunings"], {}, 8, False),
        # So few views are few epochs: none is learnt by heart.
        ("20m", ["students"], {}, 2, False),
        ("60m", ["students"], {"mixed": False}, 8, False),
        ("20m", ["cuts"], {"mixed": True, "count": 3}, 3, True),
    ],
)
def test_students_that_train_for_long_are_shown_mixed_views(
    run: Checkpoints, budget: str, kinds: list[str], asked: dict[str, Any], count: int, mixed: bool
) -> None:
    from learn2compress.stages.budget import decided_views
    from learn2compress.train.views import ViewSpec

    teacher: Any = SimpleNamespace(input_size=(32, 32))
    dataset: Any = SimpleNamespace(train=range(IMAGES))
    options = Options.of(Recipe(budget=budget, views=ViewsRecipe(mirrored=True, **asked)))
    plans: Any = [SimpleNamespace(kind=kind) for kind in kinds]
    expected = ViewSpec(count, (32, 32), 0, True, mixed)
    assert decided_views(run, plans, teacher, dataset, 1000.0, options) == expected
    # A run that goes on has chosen among its plans, and reads no other.
    assert decided_views(run, [], teacher, dataset, 1.0, options) == expected


def test_a_teacher_that_is_trained_along_is_shown_no_images_without_a_label(run: Checkpoints) -> None:
    from learn2compress.core.errors import InputError
    from learn2compress.stages.budget import decided_views

    nothing: Any = SimpleNamespace(input_size=(32, 32))
    plans: Any = [SimpleNamespace(kind="students")]
    options = Options.of(Recipe(budget="60m", teacher="joint", views=ViewsRecipe(count=8, mirrored=True)))
    assert not decided_views(run, plans, nothing, nothing, 1000.0, options).mixed
    with pytest.raises(InputError) as caught:
        Options.of(Recipe(teacher="joint", views=ViewsRecipe(mixed=True)))
    assert caught.value.code == "option.mixed_views"


@pytest.mark.parametrize(
    ("kind", "asked", "shown"), [("students", None, True), ("cuts", None, False), ("cuts", True, True)]
)
def test_what_is_cut_out_of_a_teacher_sees_mixed_views_only_where_they_are_asked_for(
    kind: str, asked: bool | None, shown: bool
) -> None:
    from learn2compress.stages.training import labelled
    from learn2compress.train.views import Views, ViewSpec

    plan: Any = SimpleNamespace(kind=kind, settings=SimpleNamespace(batch_size=4))
    views: Any = Views(Split(8), ViewSpec(4, (32, 32), 0, mixed=True))  # type: ignore[arg-type]
    nothing: Any = None
    assert labelled(plan, views, nothing, Options.of(Recipe(views=ViewsRecipe(mixed=asked)))).mixed is shown
