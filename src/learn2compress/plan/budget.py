"""How the time asked for is spent: soft labels, joint training, quantization-aware training, and the finish."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Shares of the budget. Chosen on CIFAR-10 and the clothing photos, see docs/decisions/.
SOFT_LABEL_SHARE = 0.12
# Of the budget, for each source of members that is tried; building its training step takes up to half a minute of it.
# As much as gives the default budget of 20 minutes a trial that tells something.
TRIAL_SHARE = 1 / 16
LEAST_TRIAL_SECONDS = 75.0
# To cut out and judge a member that was not trained; building it takes the most. All of them get their share.
SEARCH_SECONDS = 6.0
SEARCH_SHARE = 0.15
# To write and time an untrained member's file; and the share that may go into doing so with members that are beyond a
# bound on latency or memory by what is interpolated of them, up to so many times.
REHEARSAL_SECONDS = 3.0
REHEARSAL_SHARE = 0.02
MOST_DOUBTFUL = 12
# To write and time a member's file, and for each of its layers to compile it a few times and to convert it.
EXPORT_SECONDS, LAYER_SECONDS = 1.5, 0.45
VERIFIED_IMAGES = 1000
MOST_VIEWS = 12
# More epochs than this bring next to nothing; a small data set ends before its budget.
MOST_EPOCHS = 300
FEWEST_STEPS = 30
# A training step costs an image forward and backward, about three times what running the model on it does.
STEP_PASSES = 3
# What a budget takes may be so many times the budget before it is worth a warning: all of it is estimated.
SHORT_BUDGET = 1.2
# With less of the budget than this, training is as good as none.
LEAST_TRAINING_SHARE = 0.1


@dataclass(frozen=True)
class Phases:
    """Seconds for what remains after the soft labels."""

    joint_seconds: float
    quantization_seconds: float


def trial_seconds(budget_seconds: float) -> float:
    """How long each source of members is tried; 0 where the budget is too short for a trial that tells anything."""
    seconds = TRIAL_SHARE * budget_seconds
    return seconds if seconds >= LEAST_TRIAL_SECONDS else 0.0


def affordable_spares(budget_seconds: float) -> int:
    """How many members that are not trained can be looked at after joint training, at least one."""
    return max(1, int(SEARCH_SHARE * budget_seconds / SEARCH_SECONDS))


def affordable_doubtful(budget_seconds: float) -> int:
    """How often a plan can measure members that break a bound only by what is interpolated of them; may be 0."""
    return min(MOST_DOUBTFUL, int(REHEARSAL_SHARE * budget_seconds / REHEARSAL_SECONDS))


def affordable_views(
    budget_seconds: float, images: int, images_per_second: float, copying_seconds: float = 0.0
) -> int:
    """How many views of the training set can be made and labelled within their share of the budget (at least one).

    Args:
        images: in the training set.
        images_per_second: that are decoded, made views of and labelled.
        copying_seconds: of that share, what copies of large photos take before.
    """
    seconds, seconds_per_view = SOFT_LABEL_SHARE * budget_seconds - copying_seconds, images / images_per_second
    return max(1, min(MOST_VIEWS, math.floor(seconds / seconds_per_view)))


def phases(remaining_seconds: float, finish_seconds: float, quantization_share: float) -> Phases:
    """Splits what remains between joint and quantization-aware training.

    Args:
        remaining_seconds: of the budget.
        finish_seconds: what export, verification and measurement will take, estimated.
        quantization_share: of what is left for training.
    """
    training = max(1.0, remaining_seconds - finish_seconds)
    quantization = quantization_share * training
    return Phases(training - quantization, quantization)


def affordable_steps(seconds: float, step_seconds: float, steps_per_epoch: int) -> int:
    """Training steps that fit into the seconds, between a floor that can learn and a ceiling that suffices."""
    return max(FEWEST_STEPS, min(int(seconds / step_seconds), MOST_EPOCHS * steps_per_epoch))


def fewest_steps_seconds(batch_size: int, labeller_rate: float, share: float) -> float:
    """What the shortest training takes, estimated.

    Args:
        batch_size: images of a step.
        labeller_rate: images per second that are decoded and run through the teacher.
        share: of the teacher's time that running the widest member on an image takes.
    """
    return FEWEST_STEPS * batch_size * STEP_PASSES * share / labeller_rate


def is_short(budget_seconds: float, needed_seconds: float) -> bool:
    """Whether what is needed at the least goes far beyond the budget."""
    return needed_seconds > SHORT_BUDGET * budget_seconds


def is_spent(budget_seconds: float, training_seconds: float) -> bool:
    """Whether what is left of a budget for training is next to nothing."""
    return training_seconds < LEAST_TRAINING_SHARE * budget_seconds


def steps_planner(fixed: int | None) -> Callable[[float, float, int], int]:
    """`affordable_steps`, or a function that gives the number of steps that is asked for."""
    return affordable_steps if fixed is None else lambda seconds, step_seconds, steps_per_epoch: fixed


def finish_seconds(images: int, labeller_rate: float, shares: Sequence[float], depths: Sequence[int]) -> float:
    """What export, verification and measurement will take.

    Args:
        images: in the validation and the test split together.
        labeller_rate: images per second that are decoded and run through the teacher, as a float32 file.
        shares: for each file of a member, what running it on an image takes, as a share of what the teacher takes.
        depths: for each of these, the number of its weight layers: compiling and converting a graph takes the longer,
            the more there is of it.
    """
    # Beside the float32 teacher, its int8 form takes about a third of that time. Each member is run before
    # quantization, in Keras, and after, in LiteRT; and both ways again on the images that it is verified on.
    passes = 1.35 + 1.3 * sum(shares)
    verified = 1.4 * VERIFIED_IMAGES * sum(shares)
    compiled = sum(EXPORT_SECONDS + LAYER_SECONDS * depth for depth in depths)
    return (images * passes + verified) / labeller_rate + 10 + compiled
