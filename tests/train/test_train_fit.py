"""The training loop keeps to its time, between a floor and a ceiling, and tells of weights that are lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.train.batches import LabelledViews
from learn2compress.train.checkpoint import Reached
from learn2compress.train.fit import Schedule, fit
from learn2compress.train.losses import NO_LABEL
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.views import Views, ViewSpec

FLOOR, CEILING = 30, 45


@pytest.fixture
def batches(split: Callable[..., Any], counting_teacher: Callable[..., Any], tmp_path: Path) -> LabelledViews:
    views = Views(split(90), ViewSpec(2, (12, 12), 0))
    soft, _ = soft_labels(counting_teacher(), views, 3, tmp_path, SILENT)
    return LabelledViews(views, soft, 32, 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes only where `now` is moved."""
    hands = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "perf_counter", lambda: hands.now)
    return hands


class Timed:
    """A family of which only the time of its steps matters, and what they make of loss and weights."""

    narrow, narrow_share, judged = True, 1.0, ("accuracy_0",)

    def __init__(self, clock: SimpleNamespace, seconds: Callable[[int], float] = lambda number: 1.0) -> None:
        self._clock, self._seconds = clock, seconds
        self.optimizer = SimpleNamespace(learning_rate=0.0)
        self.weights = np.zeros(3, np.float32)
        self.models = [SimpleNamespace(variables=[self.weights])]
        self.rates: list[float] = []
        self.lost_loss = self.lost_weights = -1

    def train_on_batch(self, pixels: Any, labels: Any, return_dict: bool) -> dict[str, float]:
        self._clock.now += self._seconds(len(self.rates))
        self.rates.append(self.optimizer.learning_rate)
        if len(self.rates) == self.lost_weights:
            self.weights[1] = np.nan
        return {"accuracy_0": 0.5, "loss": np.nan if len(self.rates) == self.lost_loss else 1.0}


def planned(seconds: float, step_seconds: float, steps_per_epoch: int) -> int:
    return max(FLOOR, min(int(seconds / step_seconds), CEILING))


def run(family: Timed, batches: LabelledViews, progress: Progress = SILENT, **options: Any) -> Any:
    options = {"steps": FLOOR, "seconds": 0.0, "plan_steps": planned, **options}
    return fit(family, batches, progress, stage_name="training", peak=1.0, schedule=Schedule(0.1), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "steps"), [(1e6, CEILING), (38.0, 38), (1.0, FLOOR)], ids=["ceiling", "time", "floor"]
)
@pytest.mark.parametrize("done", [0, 25], ids=["at once", "in a later process"])
def test_steps_are_corrected_between_the_floor_and_the_ceiling_that_they_were_planned_with(
    batches: LabelledViews, clock: SimpleNamespace, seconds: float, steps: int, done: int
) -> None:
    family = Timed(clock)
    # One second more: the first step of a process that goes on is not counted.
    begun = Reached(done, 33, done / 33, done + 1.0) if done else None
    trained = run(family, batches, steps=33, seconds=seconds, begun=begun)
    assert trained.steps == steps
    assert len(family.rates) == steps - done
    # The schedule was brought to its end.
    assert family.rates[-1] < 0.15 < max(family.rates)


def test_a_number_of_steps_that_is_asked_for_stands_whatever_the_time(
    batches: LabelledViews, clock: SimpleNamespace
) -> None:
    for seconds in (1.0, 1e6):
        assert run(Timed(clock), batches, steps=37, seconds=seconds, plan_steps=lambda *_: 37).steps == 37


def test_building_the_step_once_more_takes_nothing_from_a_training_that_goes_on(
    batches: LabelledViews, clock: SimpleNamespace
) -> None:
    family = Timed(clock, lambda number: 50.0 if number == 0 else 1.0)
    trained = run(family, batches, steps=40, seconds=40.0, begun=Reached(20, 40, 0.5, 20.0))
    assert trained.steps == 40
    assert trained.seconds == pytest.approx(39.0)


def test_a_training_that_goes_on_has_the_time_that_the_first_process_had_left_for_it(
    batches: LabelledViews, clock: SimpleNamespace
) -> None:
    saved: list[Reached] = []
    checkpoint = SimpleNamespace(
        save=lambda family, reached: saved.append(reached), save_now_and_then=lambda family, reached: None
    )

    def interrupted(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Timed(clock), batches, steps=38, seconds=38.0, checkpoint=checkpoint, on_share=interrupted)
    # Of its minute, the process that goes on would take off nothing for what went before the first step.
    trained = run(Timed(clock), batches, steps=38, seconds=60.0, begun=saved[-1])
    assert trained.steps == pytest.approx(38, abs=1)


def test_a_step_counts_as_soon_as_it_was_taken(batches: LabelledViews, clock: SimpleNamespace) -> None:
    saved: list[Reached] = []
    checkpoint = SimpleNamespace(
        save=lambda family, reached: saved.append(reached), save_now_and_then=lambda family, reached: None
    )
    family = Timed(clock)

    def interrupted(share: float) -> None:
        if len(family.rates) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(family, batches, checkpoint=checkpoint, on_share=interrupted)
    assert [reached.done for reached in saved] == [7]


@pytest.mark.parametrize(("lost", "told_at"), [("loss", 20), ("weights", 13)])
def test_training_that_diverged_ends_before_lost_weights_are_kept(
    batches: LabelledViews, clock: SimpleNamespace, lost: str, told_at: int
) -> None:
    kept: list[int] = []
    family = Timed(clock)
    checkpoint = SimpleNamespace(
        save=lambda family, reached: kept.append(-1),
        save_now_and_then=lambda family, reached: kept.append(reached.done),
    )
    family.lost_loss, family.lost_weights = (20, -1) if lost == "loss" else (-1, 13)
    events: list[Event] = []
    with pytest.raises(InputError) as caught:
        run(
            family, batches, Progress(events.append), checkpoint=checkpoint, peak_setting="training.quantization_peak"
        )
    assert caught.value.code == "training.diverged"
    assert f"step {told_at} " in caught.value.what
    assert "--set training.quantization_peak=0.25" in caught.value.fix
    assert kept == list(range(1, told_at))
    assert events[-1].kind == "stopped"


def test_weights_that_the_last_step_lost_are_not_handed_on(batches: LabelledViews, clock: SimpleNamespace) -> None:
    family = Timed(clock)
    family.lost_weights = FLOOR
    with pytest.raises(InputError, match="diverged"):
        run(family, batches)


def test_a_user_who_stops_a_diverged_training_loses_no_place(batches: LabelledViews, clock: SimpleNamespace) -> None:
    kept: list[int] = []
    checkpoint = SimpleNamespace(save=lambda *_: kept.append(1), save_now_and_then=lambda *_: None)
    family = Timed(clock)
    family.lost_weights = 5

    def interrupted(share: float) -> None:
        if len(family.rates) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(family, batches, checkpoint=checkpoint, on_share=interrupted)
    assert kept == []


def test_a_data_set_is_shuffled_once_an_epoch(batches: LabelledViews, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = np.random.default_rng

    def counted(seed: Any) -> Any:
        if len(seed) == 2:  # of an epoch; that of a step's jitter has three numbers
            made.append(tuple(seed))
        return real(seed)

    batches.batch(0)  # what views need once is there
    monkeypatch.setattr(np.random, "default_rng", counted)
    for step in range(3 * len(batches)):
        batches.batch(step)
    assert [seed for seed in made if seed != (0, 1 << 16)] == [(0, 1), (0, 2)]


def test_batches_are_the_same_in_whatever_order_and_from_however_many_threads(batches: LabelledViews) -> None:
    steps = [5, 0, 3, 1, 4, 2] * 20
    alone = {step: LabelledViews(batches.views, batches.soft, 32, 0).batch(step) for step in set(steps)}
    with ThreadPoolExecutor(4) as pool:
        for step, (pixels, (labels, soft)) in zip(steps, pool.map(batches.batch, steps), strict=True):
            for one, other in zip((pixels, labels, soft), (alone[step][0], *alone[step][1]), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("done", [0, 20, 90], ids=["at once", "in a later process", "at the end, in a later process"])
def test_towards_the_end_no_images_are_mixed(
    split: Callable[..., Any],
    counting_teacher: Callable[..., Any],
    tmp_path: Path,
    clock: SimpleNamespace,
    done: int,
) -> None:
    views = Views(split(90), ViewSpec(3, (12, 12), 0, mixed=True))
    soft, _ = soft_labels(counting_teacher(), views, 3, tmp_path, SILENT)
    batches = LabelledViews(views, soft, 30, 0)
    mixed: list[bool] = []

    class Watching(Timed):
        def train_on_batch(self, pixels: Any, labels: Any, return_dict: bool) -> dict[str, float]:
            mixed.append(bool((labels[0] == NO_LABEL).all()))
            return super().train_on_batch(pixels, labels, return_dict)

    begun = Reached(done, 100, done / 100, done) if done else None
    run(Watching(clock), batches, steps=100, plan_steps=lambda *_: 100, begun=begun)
    expected = [(step // 3) % 3 == 1 and step < 80 for step in range(done, 100)]
    # Shares are sums of fractions: at the very border either will do.
    differ = [step for step, (one, other) in enumerate(zip(mixed, expected, strict=True), done) if one != other]
    assert set(differ) <= {80}
