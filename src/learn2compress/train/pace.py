"""How many steps a training takes, so as to keep to its time."""

from __future__ import annotations

import time
from collections.abc import Callable

# How far the measured pace may be off the planned one before the plan is corrected.
PACE_TOLERANCE = 0.04
# The first steps are no measure.
LEAST_MEASURED = 20
# (seconds, seconds of a step, steps of an epoch) -> steps.
PlanSteps = Callable[[float, float, int], int]


def as_many_as_fit(seconds: float, step_seconds: float, steps_per_epoch: int) -> int:
    """Steps that fit into the seconds, whatever they make of an epoch."""
    return max(1, int(seconds / step_seconds))


class Pace:
    """How many steps there will be: as planned, and planned again where the measured pace is another.

    A machine that slows down must not break the promise of the budget; the schedule just reaches its end sooner. As
    the same function plans again, its floor and its ceiling hold to the end, and in every process.

    Args:
        steps: as planned.
        seconds: that they may take; 0 where the number of steps stands.
        elapsed: seconds of training in an earlier process.
        plan_steps: what planned the steps.
        steps_per_epoch: that it is asked with.
    """

    def __init__(
        self,
        steps: int,
        seconds: float,
        elapsed: float = 0.0,
        *,
        plan_steps: PlanSteps = as_many_as_fit,
        steps_per_epoch: int = 1,
    ) -> None:
        self.steps, self.seconds = steps, seconds
        self._plan_steps, self._steps_per_epoch = plan_steps, steps_per_epoch
        self._started = time.perf_counter() - elapsed

    @property
    def elapsed(self) -> float:
        """Seconds of training so far."""
        return time.perf_counter() - self._started

    def leave_out(self, seconds: float) -> None:
        """Does not count so many of the last seconds as training."""
        self._started += seconds

    def correct(self, done: int) -> None:
        """Sets `steps` to what fits into the seconds, never less than what is done."""
        if done < LEAST_MEASURED or self.seconds <= 0:
            return
        pace = self.elapsed / done
        if abs(pace * self.steps / self.seconds - 1) > PACE_TOLERANCE:
            self.steps = max(done, self._plan_steps(self.seconds, pace, self._steps_per_epoch))
