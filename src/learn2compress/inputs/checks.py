"""Whether teacher and data belong together, before hours go into training on a misunderstanding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.chunks import chunks
from learn2compress.core.dataset import Dataset, ImageSplit, Labels
from learn2compress.core.errors import InputError
from learn2compress.core.progress import SILENT, Progress
from learn2compress.inputs.classifier import refuse_other_class_count
from learn2compress.inputs.exchanged import find_exchange
from learn2compress.inputs.label_order import (
    REORDERED_GAIN,
    best_order,
    exchange_error,
    order_error,
    reordered_accuracy,
)
from learn2compress.inputs.teacher import Teacher

CHECK_IMAGES = 500
SIGNIFICANCE = 0.001
_WEAK_SKILL = 0.4  # share of the way from chance to perfect below which the user is warned


@dataclass(frozen=True)
class Verdict:
    """How well predictions fit labels.

    Attributes:
        accuracy: share that is right.
        chance: share that would be right if the same predictions were dealt out to the images at random.
        p_value: how likely luck alone does so well (one-sided binomial test against `chance`).
        examples: how many were looked at.
    """

    accuracy: float
    chance: float
    p_value: float
    examples: int

    @property
    def is_luck(self) -> bool:
        """Whether nothing shows that the predictions know anything of the labels.

        Where there are so few examples that not even a perfect score would be significant, it is enough to be
        better than chance.
        """
        if self.accuracy <= self.chance:
            return True
        return self.p_value >= SIGNIFICANCE and self.chance**self.examples < SIGNIFICANCE


def judge(predicted: Labels, labels: Labels) -> Verdict:
    """Compares predictions with labels, both of shape (examples,).

    Chance is what the predictions' own frequencies give (as in Cohen's kappa): always saying the most common
    class scores exactly that, however common it is, and a model that knows rare classes is not taken for a
    guesser.
    """
    size = int(max(predicted.max(), labels.max())) + 1
    shares = [np.bincount(values, minlength=size) / len(labels) for values in (predicted, labels)]
    chance = float(shares[0] @ shares[1])
    hits = int((predicted == labels).sum())
    return Verdict(hits / len(labels), chance, at_least(hits, len(labels), chance), len(labels))


def at_least(hits: int, trials: int, rate: float) -> float:
    """Probability of `hits` or more successes in `trials` independent ones of probability `rate`."""
    if hits == 0 or rate >= 1:
        return 1.0
    if rate <= 0:
        return 0.0
    logs = [
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(rate) + (trials - k) * math.log1p(-rate)
        for k in range(hits, trials + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def check_teacher_fits(teacher: Teacher, dataset: Dataset, progress: Progress = SILENT) -> float:
    """Refuses a teacher that does not know the data's classes.

    Args:
        teacher: with its preprocessing found.
        dataset: at most 500 images of its validation split are looked at; and training images,
            where these show or leave open that classes are exchanged.
        progress: gets a note with the accuracy, or a warning when it is low.

    Returns:
        The accuracy on those images.

    Raises:
        InputError: `teacher.class_count`; `teacher.label_order` when another order of the labels would fit
            far better, or some classes are clearly exchanged; `teacher.at_chance` when nothing shows that the
            teacher is better than guessing.
    """
    refuse_other_class_count(teacher.classes, dataset.class_names, teacher.name)
    examples = len(dataset.validation)
    # At random, not evenly over the classes: the accuracy is then an estimate of the split's.
    indices = np.sort(np.random.default_rng(0).permutation(examples)[:CHECK_IMAGES])
    labels = dataset.validation.labels[indices]
    predicted = _said(teacher, dataset.validation, indices)
    verdict = judge(predicted, labels)
    said = f"{teacher.name} is right on {verdict.accuracy:.1%} of {len(labels)} validation images"
    _refuse_other_order(predicted, labels, verdict.accuracy, dataset.class_names, said)
    _refuse_exchanged(teacher, dataset, predicted, labels, said)
    if verdict.is_luck:
        raise InputError(
            "teacher.at_chance",
            f"{said}, no better than guessing ({verdict.chance:.1%}).",
            f"likely the preprocessing is wrong (now {teacher.preprocess.name}: try --preprocess with raw, "
            "unit, signed, torch, caffe or MEAN,STD), or the labels are in another order than the model's "
            "outputs (--labels FILE).",
        )
    skill = (verdict.accuracy - verdict.chance) / (1 - verdict.chance)
    if skill < _WEAK_SKILL:
        progress.warn(
            f"{said}: more than guessing ({verdict.chance:.1%}), but little. What it teaches can't be much "
            f"better; check its preprocessing (now {teacher.preprocess.name}) and the order of the labels.",
            "check teacher",
        )
    else:
        progress.note(f"{said}.", "check teacher", accuracy=verdict.accuracy)
    return verdict.accuracy


def _refuse_other_order(
    predicted: Labels, labels: Labels, accuracy: float, class_names: tuple[str, ...], said: str
) -> None:
    """Looks for an order of the labels that fits: found on one half of the images, tried on the other."""
    reordered = reordered_accuracy(predicted, labels, len(class_names))
    if reordered is None or reordered < accuracy + REORDERED_GAIN:
        return
    raise order_error(
        f"{said}, but on {reordered:.1%} if its outputs stand for the classes in another order",
        best_order(predicted, labels, len(class_names)),
        class_names,
    )


def _refuse_exchanged(teacher: Teacher, dataset: Dataset, predicted: Labels, labels: Labels, said: str) -> None:
    """Looks for a few classes that are exchanged, which the accuracy over all hardly shows."""
    exchange = find_exchange(
        lambda indices: _said(teacher, dataset.train, indices),
        dataset.train.labels,
        predicted,
        labels,
        dataset.classes,
    )
    if exchange is not None:
        raise exchange_error(said, exchange, dataset.class_names)


def _said(teacher: Teacher, split: ImageSplit, indices: NDArray[np.int64]) -> Labels:
    """The class that the teacher says on images of a split, shape (len(indices),)."""
    pieces = [
        teacher.predict(split.batch(some, teacher.input_size)).argmax(axis=1)
        for some in chunks(indices, teacher.input_size)
    ]
    return np.concatenate(pieces).astype(np.int64)
