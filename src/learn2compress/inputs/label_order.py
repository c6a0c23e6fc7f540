"""Which output stands for which class, where the images say that it is not the one of the same number.

The usual cause: the model was trained with its classes in another order than that of the data's folders (by the
alphabet), with a background class before them, or with a class more than the data has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Labels
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs.confusion import FEWEST_IMAGES, beyond_doubt, confusion, every_other, images_to_look_at
from learn2compress.inputs.exchanged import Exchange, find_exchange
from learn2compress.inputs.splits import balanced_sample
from learn2compress.inputs.wording import listed

REORDERED_GAIN = 0.25  # so much more would have to be right under another label order to call it the cause
_MOST_IDENTITY = 0.4  # where more are right as given, few images of many classes are no reason to look further
_LOOKS_LIKE = 0.5  # with fewer right, the best order is not worth telling
_NO_CLASS = "(none of the data's)"
_IF_WRONG = (
    "If that is wrong, give --labels FILE with the class names in the order of the model's outputs, one a line."
)


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
    half = every_other(labels)
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
    images = np.bincount(labels, minlength=classes)
    clear = bool(beyond_doubt(together, images, standing).all())
    return LabelOrder(standing, accuracy, float((predicted == labels).mean()), len(labels), clear)


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

    def looked_at(indices: NDArray[np.int64]) -> tuple[Labels, Labels]:
        return predict(indices), labels[indices]

    if outputs > classes:
        predicted, seen = looked_at(balanced_sample(labels, images_to_look_at(classes)))
        return _without_spare(predicted, seen, outputs, class_names, name, progress)
    found = judged_order(sampled, sampled_labels, classes, outputs)
    few = found is None or len(sampled) < FEWEST_IMAGES * classes
    if (found is not None and found.better) or (few and (sampled == sampled_labels).mean() <= _MOST_IDENTITY):
        sampled, sampled_labels = looked_at(balanced_sample(labels, images_to_look_at(classes)))
        found = judged_order(sampled, sampled_labels, classes, outputs)
        if found is not None and found.better:
            return _in_another_order(found, class_names, name, progress)
    exchange = find_exchange(predict, labels, sampled, sampled_labels, classes)
    return None if exchange is None else _exchanged(exchange, class_names, name, progress)


def _in_another_order(
    found: LabelOrder, class_names: tuple[str, ...], name: str, progress: Progress
) -> NDArray[np.int64]:
    """The outputs of a teacher that does far better in another order, which must be beyond doubt."""
    order = np.argsort(found.outputs)
    if not found.clear:
        raise order_error(f"Of {name}, {found.share_words}", order, class_names, "training images leave a doubt")
    progress.warn(
        f"The outputs of {name} come in another order than the data's classes: {found.share_words}. They are taken "
        f"for, in turn: {in_words(order, class_names)}. {_IF_WRONG}",
        "find label order",
        outputs=found.outputs.tolist(),
    )
    return found.outputs


def _exchanged(exchange: Exchange, class_names: tuple[str, ...], name: str, progress: Progress) -> NDArray[np.int64]:
    """The outputs of a teacher of which a few are exchanged."""
    progress.warn(
        f"Some outputs of {name} come in another order than the data's classes: {exchange.pairs(class_names)} "
        f"({exchange.share_words}). They are taken so, all others in the data's order. {_IF_WRONG}",
        "find label order",
        outputs=exchange.outputs.tolist(),
    )
    return exchange.outputs


def _without_spare(
    predicted: Labels,
    labels: Labels,
    outputs: int,
    class_names: tuple[str, ...],
    name: str,
    progress: Progress,
) -> NDArray[np.int64]:
    """The outputs of a teacher that has one more than there are classes: all but the one that stands for none."""
    classes = len(class_names)
    found = judged_order(predicted, labels, classes, outputs)
    first, last = (float((predicted - offset == labels).mean()) for offset in (1, 0))
    at_ends = {0: f"{first:.1%} if it is the first", classes: f"{last:.1%} if it is the last"}
    if found is None or not found.clear:
        # Not the end that fits better: where a class is missing among them, all but a few are right under either.
        look = ""
        if found is not None and found.accuracy >= _LOOKS_LIKE:
            look = f"; by the look of it: {listed(_names_of_outputs(found.outputs, outputs, class_names), 20)}"
        raise InputError(
            "teacher.class_count",
            f"{name} tells {outputs} classes apart, but the data has {classes}; which output stands for none of them "
            f"can't be told from {len(labels)} training images (of which are right {', '.join(at_ends.values())}).",
            f"name with --labels FILE the class of each output of the model, one a line, in their order{look}.",
        )
    spare = int(np.setdiff1d(np.arange(outputs), found.outputs)[0])
    end = {0: "The first", classes: "The last"}.get(spare)
    which = f"{end or f'Output {spare}'} stands for none of them" + (" (a background class)" if end else "")
    right = float((predicted == found.outputs[labels]).mean())
    against = ", ".join(words for place, words in at_ends.items() if place != spare)
    turn = ""
    if (np.diff(found.outputs) < 0).any():
        names = [one for one in _names_of_outputs(found.outputs, outputs, class_names) if one != _NO_CLASS]
        turn = f" The others are taken for, in turn: {listed(names, 20)}."
    progress.warn(
        f"{name} has one output more than the data has classes. {which}: so {right:.1%} of {len(labels)} training "
        f"images are right; {against}. It is left out.{turn} If that is wrong, give --labels FILE with a name for "
        "each output, one a line.",
        "find label order",
        outputs=found.outputs.tolist(),
    )
    return found.outputs


def _names_of_outputs(standing: NDArray[np.int64], outputs: int, class_names: tuple[str, ...]) -> list[str]:
    """The class that each output stands for."""
    names = [_NO_CLASS] * outputs
    for name, output in zip(class_names, standing, strict=True):
        names[output] = name
    return names


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


def exchange_error(said: str, exchange: Exchange, class_names: tuple[str, ...]) -> InputError:
    """The error on outputs that are exchanged, told from `said`."""
    instead = [f"{class_names[label]} instead of {class_names[exchange.outputs[label]]}" for label in exchange.moved]
    return InputError(
        "teacher.label_order",
        f"{said}, but {exchange.pairs(class_names)} ({exchange.share_words}): the label order of the model seems to "
        "differ from that of the data.",
        "name with --labels FILE, one a line, what the model's outputs stand for; by the look of it: "
        f"{listed(instead, 10)}. If it is the data's folders that are named wrongly, rename these.",
    )
