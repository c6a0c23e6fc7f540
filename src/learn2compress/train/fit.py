"""The training loop: batches of views with their soft labels, a one-cycle schedule, kept to a time budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from learn2compress.core.progress import Progress
from learn2compress.train.joint import SharedFamily
from learn2compress.train.soft_labels import SoftLabels
from learn2compress.train.views import Views

TIMED_STEPS = 12
WARM_STEPS = 4
# How far the measured pace may be off the planned one before the plan is corrected.
PACE_TOLERANCE = 0.04


class LabelledViews(keras.utils.PyDataset):
    """Batches `(pixels, (labels, soft labels))`; epoch e shows view e modulo the number of views."""

    def __init__(self, views: Views, soft: SoftLabels, batch_size: int, seed: int) -> None:
        super().__init__(workers=1, max_queue_size=8)
        self.views, self.soft, self.seed = views, soft, seed
        self.batch_size = min(batch_size, len(views))
        self.epoch = -1
        self.on_epoch_begin()

    def __len__(self) -> int:
        return len(self.views) // self.batch_size

    def on_epoch_begin(self) -> None:
        """Shuffles for the next epoch."""
        self.epoch += 1
        self._order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.views))

    def __getitem__(self, number: int) -> tuple[Any, tuple[Any, Any]]:
        # Sorted, so that reading from disk goes forward; the batch itself has no order.
        indices = np.sort(self._order[number * self.batch_size : (number + 1) * self.batch_size])
        view = self.epoch % self.views.spec.count
        labels = self.views.split.labels[indices]
        return self.views.batch(view, indices), (labels, self.soft.batch(view, indices))


@dataclass(frozen=True)
class Schedule:
    """One cycle: a linear warm-up over `warmup` of the steps, then linear to zero.

    Called with the share of the training done (0 to 1); returns the factor on the peak learning rate.
    """

    warmup: float = 0.2

    def __call__(self, done: float) -> float:
        """The factor at this point."""
        return max(0.0, min(done / self.warmup if self.warmup else 1.0, (1 - done) / (1 - self.warmup)))


class _Conductor(keras.callbacks.Callback):
    """Sets the learning rate, reports progress, and corrects the number of steps to the measured pace."""

    def __init__(
        self,
        stage: Any,
        schedule: Schedule,
        peak: float,
        steps: int,
        seconds: float | None,
        on_share: Callable[[float], None] | None,
    ) -> None:
        super().__init__()
        self.stage, self.schedule, self.peak = stage, schedule, peak
        self.planned = self.steps = steps
        self.seconds, self.on_share = seconds, on_share
        self.done = 0
        self.share = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        self.started = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = self.peak * self.schedule(self.share)
        if self.on_share:
            self.on_share(self.share)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.done += 1
        self.share += (1 - self.share) / max(1, self.steps - self.done + 1)
        if self.done % 10 == 0 or self.done == self.steps:
            self._correct()
            accuracies = [v for k, v in sorted((logs or {}).items()) if k.startswith("accuracy")]
            shown = " ".join(f"{100 * float(a):.1f}" for a in accuracies)
            self.stage.at(self.share * self.stage.total, f"training accuracy % {shown}" if shown else None)
        if self.done >= self.steps:
            self.model.stop_training = True

    def _correct(self) -> None:
        """A machine that slows down must not break the promise; the schedule just reaches its end sooner."""
        elapsed = time.perf_counter() - self.started
        if self.seconds is None or self.done < 20 or elapsed < 5:
            return
        expected = elapsed / self.done * self.steps
        if abs(expected / self.seconds - 1) > PACE_TOLERANCE:
            affordable = int(self.seconds * self.done / elapsed)
            self.steps = max(self.done + 1, min(affordable, 2 * self.planned))


@dataclass(frozen=True)
class Trained:
    """What a training run was."""

    steps: int
    epochs: float
    seconds: float
    history: dict[str, float]

    def summary(self, batch_size: int) -> dict[str, float]:
        """For the manifest."""
        return {
            "steps": self.steps,
            "batch size": batch_size,
            "epochs": round(self.epochs, 2),
            "seconds": round(self.seconds, 1),
            "images per second": round(self.steps * batch_size / self.seconds, 1),
        }


def compile_family(family: SharedFamily, optimizer: keras.optimizers.Optimizer) -> None:
    """Compiles for `fit`. XLA on a CPU is slower than oneDNN for convolutions; on JAX it is all there is."""
    family.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")


def time_step(family: SharedFamily, batches: LabelledViews) -> float:
    """Seconds of one training step with its data, the median of a few; the weights do not move."""
    family.optimizer.learning_rate = 0.0
    seconds = []
    for number in range(TIMED_STEPS):
        started = time.perf_counter()
        family.train_on_batch(*batches[number % len(batches)])
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[WARM_STEPS:]))


def fit(
    family: SharedFamily,
    batches: LabelledViews,
    progress: Progress,
    *,
    stage_name: str,
    steps: int,
    peak: float,
    schedule: Schedule,
    seconds: float | None = None,
    on_share: Callable[[float], None] | None = None,
) -> Trained:
    """Trains for `steps` steps, corrected on the way so as to take `seconds`."""
    per_epoch = len(batches)
    with progress.stage(stage_name, steps) as stage:
        conductor = _Conductor(stage, schedule, peak, steps, seconds, on_share)
        started = time.perf_counter()
        family.fit(
            batches,
            epochs=math.ceil(2 * steps / per_epoch) + 1,
            verbose=0,
            callbacks=[conductor],
        )
    elapsed = time.perf_counter() - started
    history = {k: float(v[-1]) for k, v in family.history.history.items()} if family.history else {}
    return Trained(conductor.done, conductor.done / per_epoch, elapsed, history)
