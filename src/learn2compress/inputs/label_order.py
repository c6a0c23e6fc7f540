"""Which output stands for which class, where the images say that it is not the one of the same number.

The usual cause: the model was trained with its classes in another order than that of the data's folders (by the
alphabet), or with a background class before them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Labels
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs.splits import balanced_sample
from learn2compress.inputs.wording import listed

REORDERED_GAIN = 0.25  # so much more would have to be right under another label order to call it the cause
IMAGES_PER_CLASS = 25
MOST_IMAGES = 3000
# Beyond doubt is an order in which each class has so many images, of which its output takes at least this share and
# so many times what any other takes, while few are right in the data's order.
_FEWEST_IMAGES = 8
_LEAST_SHARE = 0.5
_DOMINANCE = 2
_MOST_IDENTITY = 0.4


@dataclass(frozen=True)
class LabelOrder:
    """What images say of the order of the outputs.

    Attributes:
        outputs: for each class the index of the output that stands for it, shape (classes,).
        accuracy: share of the images that is right so; an order found on one half of them is tried on the other.
        as_given: share that is right where output i stands for class i.
        images: how many were looked at.
        clear: whether each class' output is beyond doubt.
    """

    outputs: NDArray[np.int64]
    accuracy: float
    as_given: float
    images: int
    clear: bool

    @property
    def better(self) -> bool:
        """Whether it fits so much better than the order as given that this must be wrong."""
        return self.accuracy >= self.as_given + REORDERED_GAIN

    @property
    def share_words(self) -> str:
        """`9.8% of 250 training images are right in the data's order of classes, 91.2% in another`."""
        return (
            f"{self.as_given:.1%} of {self.images} training images are right in the data's order of classes, "
            f"{self.accuracy:.1%} in another"
        )


def confusion(predicted: Labels, labels: Labels, outputs: int, classes: int) -> NDArray[np.int64]:
    """How often each output (row) meets each class (column); predictions below 0 are none."""
    together = np.zeros((outputs, classes), np.int64)
    some = predicted >= 0
    np.add.at(together, (predicted[some], labels[some]), 1)
    return together


def best_order(predicted: Labels, labels: Labels, classes: int, outputs: int | None = None) -> NDArray[np.int64]:
    """For each output index, the class it most likely stands for, each class once; -1 for outputs left over.

    Pairs are taken greedily by how often they occur together: where that is not the best assignment, the images leave
    a doubt which keeps it from being used.
    """
    outputs = outputs or classes
    together = confusion(predicted, labels, outputs, classes)
    order = np.full(outputs, -1, np.int64)
    free = set(range(classes))
    for flat in np.argsort(-together, axis=None, kind="stable"):
        output, label = divmod(int(flat), classes)
        if order[output] < 0 and label in free:
            order[output] = label
            free.discard(label)
    return order


def reordered_accuracy(predicted: Labels, labels: Labels, classes: int, outputs: int | None = None) -> float | None:
    """Share that is right in the best order, found on one half of the images and tried on the other.

    Returns:
        None where a half holds fewer images than there are classes: too few to find an order on.
    """
    half = np.zeros(len(labels), bool)
    for label in np.unique(labels):  # of each class every other image
        half[np.flatnonzero(labels == label)[::2]] = True
    if min(half.sum(), (~half).sum()) < classes:
        return None
    hits = 0
    for fit, test in ((half, ~half), (~half, half)):
        order = np.append(best_order(predicted[fit], labels[fit], classes, outputs), -1)  # for predictions of -1
        hits += int((order[predicted[test]] == labels[test]).sum())
    return hits / len(labels)


def judged_order(predicted: Labels, labels: Labels, classes: int, outputs: int) -> LabelOrder | None:
    """What predictions, shape (examples,), say of the order of `outputs` outputs; None where they are too few."""
    accuracy = reordered_accuracy(predicted, labels, classes, outputs)
    if accuracy is None:
        return None
    order = best_order(predicted, labels, classes, outputs)
    standing = np.array([int(np.flatnonzero(order == label)[0]) for label in range(classes)], np.int64)
    together = confusion(predicted, labels, outputs, classes)
    own = together[standing, np.arange(classes)]
    others = together.copy()
    others[standing, np.arange(classes)] = 0
    images = np.bincount(labels, minlength=classes)
    as_given = float((predicted == labels).mean())
    dominant = (own >= _LEAST_SHARE * images) & (own >= _DOMINANCE * others.max(axis=0))
    exclusive = own >= _DOMINANCE * others[standing].max(axis=1)
    clear = bool((dominant & exclusive & (images >= _FEWEST_IMAGES)).all() and as_given <= _MOST_IDENTITY)
    return LabelOrder(standing, accuracy, as_given, len(labels), clear)


def find_order(
    predict: Callable[[NDArray[np.int64]], Labels],
    labels: Labels,
    sampled: Labels,
    sampled_labels: Labels,
    outputs: int,
    class_names: tuple[str, ...],
    name: str,
    progress: Progress,
) -> NDArray[np.int64] | None:
    """Finds out whether the outputs come in another order than the data's classes.

    Args:
        predict: the output that the teacher says on training images of given indices, shape (len(indices),), -1 where
            it says none; asked only where the sample leaves a doubt.
        labels: of all training images.
        sampled: what it says on a sample.
        sampled_labels: of the sample.
        outputs: how many outputs the teacher has: as many as classes, or one more.
        class_names: of the data.
        name: of the teacher, for people.
        progress: gets a warning that names the order, where another is used.

    Returns:
        For each class the index of the output that stands for it; None where output i stands for class i.

    Raises:
        InputError: `teacher.label_order` where another order fits far better but is not beyond doubt;
            `teacher.class_count` where there is one output more and images don't tell which.
    """
    classes = len(class_names)
    more = outputs > classes
    found = judged_order(sampled, sampled_labels, classes, outputs)
    if not more and (found is None or not found.better):
        as_given = float((sampled == sampled_labels).mean())
        if found is not None or as_given > _MOST_IDENTITY:
            return None
    indices = balanced_sample(labels, min(IMAGES_PER_CLASS * classes, MOST_IMAGES))
    predicted = predict(indices)
    found = judged_order(predicted, labels[indices], classes, outputs)
    if more:
        return _with_background(found, predicted, labels[indices], outputs, class_names, name, progress)
    if found is None or not found.better:
        return None
    if not found.clear:
        order = np.argsort(found.outputs)
        raise order_error(f"Of {name}, {found.share_words}", order, class_names, "training images leave a doubt")
    progress.warn(
        f"The outputs of {name} come in another order than the data's classes: {found.share_words}. They are taken "
        f"for, in turn: {in_words(np.argsort(found.outputs), class_names)}. If that is wrong, give --labels FILE "
        "with the class names in the order of the model's outputs, one a line.",
        "find label order",
        outputs=found.outputs.tolist(),
    )
    return found.outputs


def _with_background(
    found: LabelOrder | None,
    predicted: Labels,
    labels: Labels,
    outputs: int,
    class_names: tuple[str, ...],
    name: str,
    progress: Progress,
) -> NDArray[np.int64]:
    """The outputs of a teacher that has one more than there are classes."""
    classes = len(class_names)
    first, last = (float((predicted - offset == labels).mean()) for offset in (1, 0))
    best = max(first, last)
    if abs(first - last) >= REORDERED_GAIN and (found is None or best >= found.accuracy - REORDERED_GAIN):
        offset = int(first > last)
        end = "first" if offset else "last"
        progress.warn(
            f"{name} has one output more than the data has classes. The {end} stands for none of them (a background "
            f"class): so {best:.1%} of {len(labels)} training images are right, {min(first, last):.1%} if it were "
            f"the {'last' if offset else 'first'}. It is left out."
        )
        return np.arange(classes) + offset
    if found is not None and found.clear:
        (spare,) = np.setdiff1d(np.arange(outputs), found.outputs)
        order = [class_names[np.flatnonzero(found.outputs == i)[0]] for i in range(outputs) if i != spare]
        progress.warn(
            f"{name} has one output more than the data has classes: output {spare} stands for none of them and is "
            f"left out. The others are taken for, in turn: {listed(order, 20)} ({found.share_words}). If that is "
            "wrong, give --labels FILE with a name for each output, one a line."
        )
        return found.outputs
    raise InputError(
        "teacher.class_count",
        f"{name} tells {outputs} classes apart, but the data has {classes}; which output stands for none of them "
        f"can't be told from {len(labels)} training images ({first:.1%} are right if it is the first, {last:.1%} if "
        "it is the last).",
        "name with --labels FILE the class of each output of the model, one a line, in their order.",
    )


def in_words(order: NDArray[np.int64], class_names: tuple[str, ...]) -> str:
    """The class of each output, `order` giving its index: `truck, cat and 8 more`."""
    return listed([class_names[i] for i in order], 20)


def order_error(said: str, order: NDArray[np.int64], class_names: tuple[str, ...], doubt: str = "") -> InputError:
    """The error on outputs that stand for the classes in the order `order`, told from `said`."""
    return InputError(
        "teacher.label_order",
        f"{said}: the label order of the model seems to differ from that of the data "
        f"({listed(class_names, 10)})" + (f", but {doubt}." if doubt else "."),
        "give --labels FILE with the class names in the order of the model's outputs, one a line; "
        f"by the look of it: {in_words(order, class_names)}.",
    )
