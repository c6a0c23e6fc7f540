"""Who asks for less time than the run can do with is told so, with the figures."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.options import Options
from learn2compress.core.progress import Event, Progress
from learn2compress.core.recipe import Recipe, TrainingRecipe, ViewsRecipe
from learn2compress.core.units import duration_seconds, show_duration

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
def test_students_that_train_for_long_and_who_asks_for_them_are_shown_mixed_views(
    run: Checkpoints, budget: str, kinds: list[str], asked: dict[str, Any], count: int, mixed: bool
) -> None:
    from learn2compress.stages.budget import decided_views, mixed_for
    from learn2compress.train.views import ViewSpec

    teacher: Any = SimpleNamespace(input_size=(32, 32))
    dataset: Any = SimpleNamespace(train=range(IMAGES))
    options = Options.of(Recipe(budget=budget, views=ViewsRecipe(mirrored=True, **asked)))
    plans: Any = [SimpleNamespace(kind=kind) for kind in kinds]
    decided = decided_views(run, teacher, dataset, 1000.0, options)
    assert decided == ViewSpec(count, (32, 32), 0, True)
    assert mixed_for(plans, decided, options) == replace(decided, mixed=mixed)
    # A run that goes on does not ask again how fast the teacher is.
    assert decided_views(run, teacher, dataset, 1.0, options) == decided


def test_a_teacher_that_is_trained_along_is_shown_no_images_without_a_label() -> None:
    from learn2compress.core.errors import InputError
    from learn2compress.stages.budget import mixed_for
    from learn2compress.train.views import ViewSpec

    plans: Any = [SimpleNamespace(kind="students")]
    views = ViewSpec(8, (32, 32), 0)
    assert mixed_for(plans, views, Options.of(Recipe())).mixed
    assert not mixed_for(plans, views, Options.of(Recipe(teacher="joint"))).mixed
    with pytest.raises(InputError) as caught:
        Options.of(Recipe(teacher="joint", views=ViewsRecipe(mixed=True)))
    assert caught.value.code == "option.mixed_views"


class Photos:
    """Images on disk, of which each takes so many seconds to decode, on a clock of its own."""

    stacked, framing, fingerprint = None, "crop", "photos"

    def __init__(self, seconds: float, side: int = 40) -> None:
        self._seconds, self._lock, self.now = seconds, threading.Lock(), 0.0
        self.sizes = np.array([(side, side)] * 200)

    def __len__(self) -> int:
        return len(self.sizes)

    def image(self, index: int, at_least: int | None = None) -> Any:
        self.take(self._seconds)
        return np.zeros((40, 40, 3), np.uint8)

    def batch(self, indices: Any, size: tuple[int, int]) -> Any:
        return np.zeros((len(indices), *size, 3), np.uint8)

    def take(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds


class SlowTeacher:
    """Takes a hundredth of a second for an image, on the photos' clock."""

    input_size, fingerprint, given_file = (32, 32), "", None

    def __init__(self, photos: Photos) -> None:
        self._photos = photos

    def predict(self, images: Any) -> Any:
        self._photos.take(0.01 * len(images))
        return np.zeros((len(images), 2), np.float32)


@pytest.mark.parametrize(
    ("kinds", "asked", "seconds"),
    [
        (["prunings"], {}, 0.04),
        # Half of the views are made of two images.
        (["students"], {}, 0.055),
        (["students"], {"views": ViewsRecipe(mixed=False)}, 0.04),
        (["students"], {"teacher": "joint"}, 0.04),
    ],
)
def test_what_labelling_takes_is_timed_with_decoding(
    run: Checkpoints,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kinds: list[str],
    asked: dict[str, Any],
    seconds: float,
) -> None:
    from learn2compress.stages import labelling

    photos = Photos(0.03)

    monkeypatch.setattr(labelling, "perf_counter", lambda: photos.now)
    dataset: Any = SimpleNamespace(train=photos, validation=photos)
    plans: Any = [SimpleNamespace(kind=kind) for kind in kinds]
    teacher: Any = SlowTeacher(photos)
    options = Options.of(Recipe(**asked))

    def timed(of: Checkpoints) -> tuple[Any, float, str]:
        return labelling.timed_labeller(of, teacher, [], plans, dataset, options)

    labeller, rate, name = timed(run)
    assert labeller is teacher
    assert name == "the teacher itself"
    assert 1 / rate == pytest.approx(seconds)
    # A run that goes on does not time it again.
    spent = photos.now
    assert timed(Checkpoints(tmp_path))[1] == rate
    assert photos.now - spent < 0.01 * 300


@pytest.mark.parametrize(("kinds", "seconds", "views"), [(["prunings"], 0.04, 8), (["students"], 0.055, 6)])
def test_of_large_photos_both_are_timed_what_they_take_and_what_their_copies_do(
    run: Checkpoints,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kinds: list[str],
    seconds: float,
    views: int,
) -> None:
    from learn2compress.stages import labelling
    from learn2compress.stages.budget import COPIED, decided_views

    monkeypatch.setenv("L2C_CACHE", str(tmp_path / "cache"))
    photos = Photos(0.03, side=1000)

    monkeypatch.setattr(labelling, "perf_counter", lambda: photos.now)
    dataset: Any = SimpleNamespace(train=photos, validation=photos)
    teacher: Any = SlowTeacher(photos)
    plans: Any = [SimpleNamespace(kind=kind) for kind in kinds]
    options = Options.of(Recipe(budget="205s", views=ViewsRecipe(mirrored=True)))
    _, rate, _ = labelling.timed_labeller(run, teacher, [], plans, dataset, options)
    # The whole family is measured on the photos as they are.
    assert 1 / rate == pytest.approx(seconds)
    # To read a copy takes no time on this clock.
    assert 1 / run.recall(COPIED, float) == pytest.approx(0.01)
    spent = photos.now
    labelling.timed_labeller(Checkpoints(tmp_path), teacher, [], plans, dataset, options)
    assert photos.now - spent < 0.01 * 300
    # Labels have 24.6 seconds: the copies take 8 or 11, a view of them 2.
    assert decided_views(run, teacher, dataset, rate, options).count == views


def test_copies_of_photos_are_labelled_and_the_other_splits_stay_what_they_are(
    run: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from learn2compress.inputs.dataset import load_dataset
    from learn2compress.stages.labelling import Labelling
    from learn2compress.train.views import Views, ViewSpec

    random = np.random.default_rng(0)
    for number in range(60):
        folder = tmp_path / "photos" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (7, 10 + number % 3, 3), np.uint8)
        Image.fromarray(pixels).resize((1000 + number, 700)).save(folder / f"{number}.jpg")
    dataset = load_dataset(tmp_path / "photos", seed=0)
    monkeypatch.setenv("L2C_CACHE", str(tmp_path / "cache"))
    asked: list[Any] = []

    class Labeller:
        input_size, fingerprint = (32, 32), "labeller"

        def predict(self, images: Any) -> Any:
            asked.append(images)
            return np.full((len(images), 2), 0.5, np.float32)

    events: list[Event] = []
    labelling = Labelling(run, Labeller(), dataset, Progress(events.append))
    views, soft = labelling.of(ViewSpec(1, (32, 32), 0))
    assert [event.stage for event in events if event.kind == "done"] == ["scaled-down copies", "soft labels"]
    count = len(dataset.train)
    (done,) = [event.done for event in events if event.kind == "done" and event.stage == "scaled-down copies"]
    assert done == count
    assert len(list((tmp_path / "cache").rglob("*.jpg"))) == count
    # What was labelled is what training shows, and it is cut from copies.
    everything = np.arange(count)
    np.testing.assert_array_equal(np.concatenate(asked), views.batch(0, everything))
    assert (views.batch(0, everything) != Views(dataset.train, views.spec).batch(0, everything)).any()
    assert soft.count == 1
    # The next run finds both.
    events.clear()
    labelling.of(ViewSpec(1, (32, 32), 0))
    assert [event.stage for event in events if event.kind == "done"] == ["soft labels"]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("spent", "asked", "said"),
    [
        (300.0, {}, False),
        # Of 20 minutes, these leave less than a tenth.
        (1100.0, {}, True),
        (5000.0, {}, True),
        (5000.0, {"training": TrainingRecipe(joint_steps=100)}, False),
    ],
)
def test_a_budget_of_which_nothing_is_left_for_training_is_warned_of_once(
    tmp_path: Path, spent: float, asked: dict[str, Any], said: bool
) -> None:
    from learn2compress.stages.budget import planned_phases

    events: list[Event] = []
    plan: Any = SimpleNamespace(
        settings=SimpleNamespace(batch_size=64, quantization_share=0.2),
        specs=[SimpleNamespace(depth=10)] * 3,
        costs=[SimpleNamespace(macs=10**6)] * 3,
        spares=(),
    )
    dataset: Any = SimpleNamespace(train=range(IMAGES), validation=range(200), test=Split(200))
    options = Options.of(Recipe(budget="20m", **asked))
    state = {"elapsed": spent, "seconds": {"inputs": 5.0, "soft labels": spent - 5}, "known": {"views": 2}}
    (tmp_path / "state.json").write_text(json.dumps(state))
    for _ in range(2):
        planned_phases(Checkpoints(tmp_path), plan, dataset, [], 1000.0, options, Progress(events.append))
    assert [event.kind for event in events] == ["warning"] * said
    for event in events:
        assert "of the budget of 20m 00s only" in event.message.lower()
        assert f"{show_duration(spent - 5)} on soft labels" in event.message
        assert "--budget" in event.message


def test_who_was_told_that_the_budget_is_too_short_is_not_told_again(run: Checkpoints) -> None:
    from learn2compress.stages.budget import planned_phases

    assert len(warnings_of(run, "20m", 10.0)) == 1
    events: list[Event] = []
    plan: Any = SimpleNamespace(
        settings=SimpleNamespace(quantization_share=0.2),
        specs=[SimpleNamespace(depth=10)],
        costs=[SimpleNamespace(macs=10**6)],
        spares=(),
    )
    dataset: Any = SimpleNamespace(train=range(IMAGES), validation=range(2000), test=Split(20_000))
    run.note("views", 1)
    planned_phases(run, plan, dataset, [], 10.0, Options.of(Recipe(budget="20m")), Progress(events.append))
    assert events == []
