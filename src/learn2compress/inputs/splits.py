"""Splits: the ones a source has, and the ones made where it lacks them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Images, ImageSplit, Labels
from learn2compress.core.errors import InputError
from learn2compress.core.framing import Framing
from learn2compress.inputs.grouping import taken_whole
from learn2compress.inputs.wording import counted, listed

FRACTION = 0.1
# More validation images than this tell little more about a model, and are missed in training.
MOST_VALIDATION = 2500
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


# Each made split draws from a random stream of its own.
_STREAMS = {"test": 1, "validation": 2}


class SourceSplit(ImageSplit, Protocol):
    """An image split that can be cut up and relabelled."""

    @property
    def looks(self) -> Images:
        """Thumbnails of `inputs.looks`, shape (examples, 9, 9, 3)."""

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """(format, mode) of each image, as in `inputs.decode.Facts`."""

    def told(self, index: int) -> str:
        """The name of an image, for people."""

    def subset(self, indices: NDArray[np.int64]) -> SourceSplit:
        """The split that holds only these examples."""

    def with_labels(self, labels: Labels) -> SourceSplit:
        """The same images under other class indices."""

    def framed(self, framing: Framing) -> SourceSplit:
        """The same images, brought to a size in another way."""


@dataclass(frozen=True)
class Source:
    """What a reader found, before classes are aligned and missing splits are made.

    Attributes:
        parts: splits by name (`train`, `validation`, `test`); a source that is not split has only `train`.
        names: class names of each part by its own class indices; None where the source names no classes.
        description: where it came from, for people.
        notes: what was done on the way.
        broken: name and reason of each image that can't be decoded.
    """

    parts: dict[str, SourceSplit]
    names: dict[str, tuple[str, ...]] | None
    description: str
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def stratified(
    labels: Labels, fraction: float, seed: int | tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Takes `fraction` of each class (rounded, at least one example of each class present).

    Args:
        labels: class indices, shape (examples,).
        fraction: of each class, in (0, 1).
        seed: the same seed and labels give the same split.

    Returns:
        Indices of (the rest, the taken), each in ascending order; together they are all examples.
    """
    chosen = taken_whole(labels, np.arange(len(labels)), _counts(labels, fraction), seed, 0)
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def _counts(labels: Labels, fraction: float) -> dict[int, int]:
    """How many examples of each class `fraction` of it is."""
    present, sizes = np.unique(labels, return_counts=True)
    return {int(c): max(1, round(fraction * int(n))) for c, n in zip(present, sizes, strict=True)}


def balanced_sample(labels: Labels, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Indices of at most `count` examples, as evenly over the classes as those allow, in ascending order."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    # The k-th example of every class comes before the (k+1)-th of any.
    rank = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels[order] == label)
        rank[members] = np.arange(len(members))
    return np.sort(order[np.argsort(rank, kind="stable")[:count]])


def sample_of(labels: Labels, classes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices of at most `count` examples of these classes, as evenly over them as they allow, in ascending order."""
    members = np.flatnonzero(np.isin(labels, classes))
    return members[balanced_sample(labels[members], count)]


def with_missing_splits(
    source: Source, class_names: tuple[str, ...], seed: int, groups: NDArray[np.int64] | None = None
) -> Source:
    """Takes a validation and a test split out of the training split where the source has none.

    Each gets 10 % of what the training split had, but validation no more than about 2,500 examples; stratified by
    class, at least one example a class.

    Args:
        source: with a training split.
        class_names: by class index.
        seed: the same seed and data give the same splits.
        groups: a number for each training example; those with the same number stay together. None: each for itself.

    Raises:
        InputError: `dataset.class_too_small` when a class has too few images for that.
    """
    parts = dict(source.parts)
    train = parts["train"]
    missing = [name for name in ("test", "validation") if name not in parts]
    if not missing:
        return source
    _refuse_small_classes(train.labels, class_names, len(missing))
    notes = list(source.notes)
    left = np.arange(len(train))
    groups = left if groups is None else groups
    fractions = {"test": FRACTION, "validation": min(FRACTION, MOST_VALIDATION / len(train))}
    for after, name in enumerate(missing, start=1):
        counts = _counts(train.labels, fractions[name])
        spare = len(missing) + 1 - after
        chosen = taken_whole(train.labels[left], groups[left], counts, (seed, _STREAMS[name]), spare)
        parts[name] = train.subset(left[chosen])
        notes.append(
            f"{name} split: made of {counted(len(chosen), 'training example')}, "
            f"stratified by class, seed {seed}, because the data has none"
        )
        left = np.delete(left, chosen)
    parts["train"] = train.subset(left)
    return replace(source, parts=parts, notes=tuple(notes))


def _refuse_small_classes(labels: Labels, class_names: tuple[str, ...], made: int) -> None:
    counts = np.bincount(labels, minlength=len(class_names))
    # Those without any are refused for that.
    small = [f"{class_names[i]} ({counts[i]})" for i in np.flatnonzero((counts > 0) & (counts <= made))]
    if small:
        raise InputError(
            "dataset.class_too_small",
            f"These classes have too few images to make {counted(made, 'split')} out of the training data: "
            f"{listed(small)}.",
            f"give each class at least {made + 1} images (better hundreds), or give the splits yourself.",
        )
