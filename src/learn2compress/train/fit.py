"""The training loop: labelled views, a one-cycle schedule, kept to a time budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.train import checkpoint as checkpoints
from learn2compress.train.batches import LabelledViews
from learn2compress.train.checkpoint import Reached, TrainingCheckpoint
from learn2compress.train.joint import JointFamily, trains_narrow
from learn2compress.train.pace import Pace, PlanSteps, as_many_as_fit

TIMED_STEPS = 12
WARM_STEPS = 4
# Where steps are slow, fewer tell as much, and the budget needs the time.
MOST_TIMING_SECONDS = 5.0
REPORTED_EVERY = 10
# From this share of a training on no images are mixed: what members end with, batch norm's statistics above all, is
# to be that of images as they are in use.
WHOLE_FROM = 0.8
# Looking through all weights takes milliseconds: too long for every step, but nothing once a second.
LOOKED_THROUGH_SECONDS = 1.0


@dataclass(frozen=True)
class Schedule:
    """One cycle: a linear warm-up over `warmup` of the steps, then linear to zero.

    Called with the share of the training done (0 to 1); returns the factor on the peak learning rate.
    """

    warmup: float

    def __call__(self, done: float) -> float:
        """The factor at this point."""
        return max(0.0, min(done / self.warmup if self.warmup else 1.0, (1 - done) / (1 - self.warmup)))


@dataclass(frozen=True)
class Trained:
    """What a training run was; `dtype` is the policy of the layers that were trained."""

    steps: int
    epochs: float
    seconds: float
    batch_size: int
    waited: float = 0.0
    dtype: str = "float32"

    @staticmethod
    def of(reached: Reached, batches: LabelledViews, dtype: str = "float32") -> Trained:
        """A training that an earlier process brought to its end."""
        # The run may have gone on with smaller batches since then.
        size = reached.batch_size or batches.batch_size
        epochs = reached.done / (len(batches.views) // size)
        return Trained(reached.done, epochs, reached.elapsed, size, reached.waited, dtype)

    def reached(self) -> Reached:
        """The end of this one."""
        return Reached(
            self.steps,
            self.steps,
            1.0,
            self.seconds,
            self.waited,
            finished=True,
            dtype=self.dtype,
            batch_size=self.batch_size,
        )

    def summary(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "steps": self.steps,
            "batch size": self.batch_size,
            "dtype": self.dtype,
            "epochs": round(self.epochs, 2),
            "seconds": round(self.seconds, 1),
            "images per second": round(self.steps * self.batch_size / self.seconds, 1),
            "share of the time waiting for images": round(self.waited / self.seconds, 4),
        }


def compile_family(family: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Compiles for training. XLA on a CPU is slower than oneDNN for convolutions; on JAX it is all there is."""
    family.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")


def time_step(family: keras.Model, batches: LabelledViews, on_step: Callable[[int], None] | None = None) -> float:
    """Seconds of one training step with its data, the median of a few; trained weights do not move.

    Args:
        on_step: called with the number of each step before it is taken; then all are taken, however slow they are.
    """
    family.optimizer.learning_rate = 0.0
    seconds: list[float] = []
    for number in range(TIMED_STEPS):
        if not on_step and number > WARM_STEPS and sum(seconds[1:]) > MOST_TIMING_SECONDS:
            break
        if on_step:
            on_step(number)
        started = time.perf_counter()
        family.train_on_batch(*batches.batch(number))
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[WARM_STEPS:]))


def time_joint_step(family: JointFamily, batches: LabelledViews) -> float:
    """Seconds of a joint training step: those with the narrow members and those without, as often as they come."""
    with_narrow = time_step(family, batches)
    if family.narrow_share == 1:
        return with_narrow
    family.narrow = False
    alone = time_step(family, batches)
    family.narrow = True
    return family.narrow_share * with_narrow + (1 - family.narrow_share) * alone


def fit(
    family: JointFamily,
    batches: LabelledViews,
    progress: Progress,
    *,
    stage_name: str,
    steps: int,
    seconds: float,
    peak: float,
    schedule: Schedule,
    on_share: Callable[[float], None] = lambda share: None,
    checkpoint: TrainingCheckpoint | None = None,
    begun: Reached | None = None,
    plan_steps: PlanSteps = as_many_as_fit,
    peak_setting: str = "training.peak",
    dtype: str = "float32",
) -> Trained:
    """Trains for `steps` steps, corrected on the way so as to take `seconds`.

    One compiled step is called again and again (`train_on_batch`): `Model.fit` would trace it a second and a third
    time, which for deep members costs more than a minute.

    Args:
        steps: in all.
        seconds: 0 where the number of steps stands, however long they take.
        on_share: called before the first step and after each one with the share of the training that is done: what it
            does to the weights is in a checkpoint.
        checkpoint: where it is kept how far the training came.
        begun: how far it came in an earlier process; the family is already as it was then.
        plan_steps: what planned the steps, and plans them again where the measured pace is another.
        peak_setting: key of the recipe that `peak` comes from, for advice.
        dtype: policy of the layers that are trained, which is kept with the place.

    Raises:
        InputError: `training.diverged`; what the checkpoint holds is from before that.
    """
    reached = begun or Reached(0, steps, 0.0, 0.0)
    # A process that goes on builds the step once more, but has the time that was left when the first one had.
    seconds = reached.seconds or seconds
    pace = Pace(reached.steps, seconds, reached.elapsed, plan_steps=plan_steps, steps_per_epoch=len(batches))
    # A process that goes on has not timed its steps before: the first of each kind builds it, which is no training.
    unbuilt = {True, False} if begun else set()
    looked = time.perf_counter()
    share, done, waited = reached.share, reached.done, reached.waited
    accuracies: dict[str, float] = {}
    with progress.stage(stage_name, 1.0) as stage, ExitStack() as stack:
        stack.enter_context(_kept_when_interrupted(family, checkpoint, lambda: reached))
        source, whole = batches, batches.whole()
        images = stack.enter_context(closing(source.prefetched(done)))
        on_share(share)
        while done < pace.steps:
            if share >= WHOLE_FROM and source is not whole:
                source = whole
                images = stack.enter_context(closing(source.prefetched(done)))
            asked = time.perf_counter()
            pixels, labels = next(images)
            waited += time.perf_counter() - asked
            family.optimizer.learning_rate = peak * schedule(share)
            family.narrow = trains_narrow(done, share, family.narrow_share)
            stepped = time.perf_counter()
            logs = family.train_on_batch(pixels, labels, return_dict=True)
            if family.narrow in unbuilt:
                unbuilt.remove(family.narrow)
                pace.leave_out(time.perf_counter() - stepped)
            done += 1
            if done % REPORTED_EVERY == 0:
                pace.correct(done)
            # Moves to 1 in equal steps, also when their number was corrected.
            share += (1 - share) / max(1, pace.steps - done + 1)
            # At once: where the user stops the run from here on, the step that was taken counts.
            reached = Reached(done, pace.steps, share, pace.elapsed, waited, seconds=seconds, dtype=dtype)
            on_share(share)
            for key in family.judged:
                accuracies[key] = 0.97 * accuracies.get(key, logs[key]) + 0.03 * logs[key]
            if done % REPORTED_EVERY == 0 or done >= pace.steps:
                if not math.isfinite(logs["loss"]):
                    raise _diverged(stage_name, done, peak, peak_setting)
                shown = " ".join(f"{100 * value:.1f}" for _, value in sorted(accuracies.items()))
                stage.at(min(share, 1.0), f"training accuracy % {shown}")
            now = time.perf_counter()
            every = min(LOOKED_THROUGH_SECONDS, checkpoints.EVERY_SECONDS)
            if done >= pace.steps or (checkpoint and now - looked >= every):
                # The loss was that before the step: only the weights tell what would be kept.
                if not _finite(family):
                    raise _diverged(stage_name, done, peak, peak_setting)
                looked = now
                if checkpoint and done < pace.steps:
                    checkpoint.save_now_and_then(family, reached)
        stage.at(1.0)
    return Trained(done, done / len(batches), pace.elapsed, batches.batch_size, waited, dtype)


def _finite(family: JointFamily) -> bool:
    """Whether all that is kept of the models are numbers."""
    return all(np.isfinite(np.asarray(variable)).all() for model in family.models for variable in model.variables)


def _diverged(stage_name: str, done: int, peak: float, setting: str) -> InputError:
    return InputError(
        "training.diverged",
        f"The {stage_name} diverged: at step {done} the loss or the weights are no finite numbers any more, where a "
        f"falling loss was expected. A learning rate of up to {peak:g} is too high for these models and this data.",
        f"delete the folder checkpoints in --out and begin anew with a lower one: --set {setting}={peak / 4:.2g}.",
    )


@contextmanager
def _kept_when_interrupted(
    family: JointFamily, checkpoint: TrainingCheckpoint | None, reached: Callable[[], Reached]
) -> Iterator[None]:
    """Keeps the place once more when the user stops the run."""
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint and reached().done and _finite(family):
            checkpoint.save(family, reached())
        raise
