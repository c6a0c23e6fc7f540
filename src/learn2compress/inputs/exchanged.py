"""Classes whose outputs are exchanged among them, while the others are in their places.

The usual cause: two lines of a list of names changed places, or the data's folders are sorted in another way than
those that the model was trained on. The accuracy over all hardly shows so few classes: each is looked at by itself.
What is found is a closed cycle: the images of cat go to the output of dog, and those of dog to that of cat. A weak
teacher that takes cats for dogs takes dogs for dogs too, and gives no such cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Labels
from learn2compress.inputs.confusion import FEWEST_IMAGES, beyond_doubt, confusion, every_other, images_to_look_at
from learn2compress.inputs.splits import balanced_sample, sample_of
from learn2compress.inputs.wording import listed

_MOST_CLASSES = 2000  # a table of all outputs and classes is made
_SUSPICIOUS_IMAGES = 2  # of a class: a first look only says where a second is worth it
_WANTED_IMAGES, _MOST_WANTED = 3, 1000  # of a class for that first look, and of all: more are not asked for
_SURE = 3.5  # deviations by which images must speak for the exchange, as in `preprocessing_search.surely_ahead`


@dataclass(frozen=True)
class Exchange:
    """Classes that are exchanged.

    Attributes:
        outputs: for each class the index of the output that stands for it, shape (classes,); its own where it is not
            exchanged.
        images: how many images of the exchanged classes were looked at.
        right: how many of these are right under `outputs`.
        as_given: how many are right where output i stands for class i.
    """

    outputs: NDArray[np.int64]
    images: int
    right: int
    as_given: int

    @property
    def moved(self) -> NDArray[np.int64]:
        """The exchanged classes."""
        return np.flatnonzero(self.outputs != np.arange(len(self.outputs)))

    def pairs(self, class_names: tuple[str, ...]) -> str:
        """`images of cat go to the output of dog, images of dog to that of cat`."""
        first, *others = [(class_names[label], class_names[self.outputs[label]]) for label in self.moved]
        said = [f"images of {first[0]} go to the output of {first[1]}"]
        return listed([*said, *(f"images of {label} to that of {output}" for label, output in others)], 10)

    @property
    def share_words(self) -> str:
        """`of 50 images of these classes 96.0% are right so, 2.0% in the order as given`."""
        return (
            f"of {self.images} images of these classes {self.right / self.images:.1%} are right so, "
            f"{self.as_given / self.images:.1%} in the order as given"
        )


def find_exchange(
    predict: Callable[[NDArray[np.int64]], Labels],
    labels: Labels,
    sampled: Labels,
    sampled_labels: Labels,
    classes: int,
) -> Exchange | None:
    """Looks for classes whose images go clearly to one another's outputs.

    Beyond doubt is an exchange that the rule of `confusion.beyond_doubt` shows for each of its classes, on all images
    of a closer look (25 a class) and on either half of them alone, and that these images speak for by more than
    chance (a sign test): where a teacher can't tell two classes apart, luck must not look like an exchange.

    Args:
        predict: the output that the teacher says on training images of given indices, shape (len(indices),), -1 where
            it says none; asked for classes that the sample makes suspicious, and where it has too few of some.
        labels: of all training images.
        sampled: what it says on a sample, of training or other images.
        sampled_labels: of the sample.
        classes: of the data; the teacher has as many outputs.

    Returns:
        None where no classes are exchanged beyond doubt.
    """
    if classes > _MOST_CLASSES:
        return None
    wanted = np.minimum(np.bincount(labels, minlength=classes), _WANTED_IMAGES)
    if (np.bincount(sampled_labels, minlength=classes) < wanted).any() and wanted.sum() <= _MOST_WANTED:
        indices = balanced_sample(labels, int(wanted.sum()))
        sampled, sampled_labels = predict(indices), labels[indices]
    first = _going(sampled, sampled_labels, classes, _SUSPICIOUS_IMAGES)
    suspects = np.flatnonzero(first != np.arange(classes))
    if not len(suspects):
        return None
    indices = sample_of(labels, suspects, images_to_look_at(len(suspects)))
    return _confirmed(predict(indices), labels[indices], classes)


def _confirmed(predicted: Labels, labels: Labels, classes: int) -> Exchange | None:
    """The exchange that images, shape (examples,), put beyond doubt."""
    going = _going(predicted, labels, classes, FEWEST_IMAGES)
    half = every_other(labels)
    by_half = [_going(predicted[some], labels[some], classes, FEWEST_IMAGES // 2) for some in (half, ~half)]
    outputs = np.arange(classes)
    for cycle in _cycles(going):
        some = np.isin(labels, cycle)
        right, given = _hits(predicted[some], labels[some], going)
        halves_agree = all((part[cycle] == going[cycle]).all() for part in by_half)
        if halves_agree and right - given > _SURE * np.sqrt(right + given):
            outputs[cycle] = going[cycle]
    some = outputs[labels] != labels
    if not some.any():
        return None
    return Exchange(outputs, int(some.sum()), *_hits(predicted[some], labels[some], outputs))


def _hits(predicted: Labels, labels: Labels, outputs: NDArray[np.int64]) -> tuple[int, int]:
    """How many are right under `outputs`, and in the order as given."""
    return int((predicted == outputs[labels]).sum()), int((predicted == labels).sum())


def _going(predicted: Labels, labels: Labels, classes: int, fewest: int) -> NDArray[np.int64]:
    """The output that the images of each class in a closed cycle clearly go to; for all others their own."""
    together = confusion(predicted, labels, classes, classes)
    going = together.argmax(axis=0)
    inside = beyond_doubt(together, np.bincount(labels, minlength=classes), going, fewest)
    inside &= going != np.arange(classes)
    while True:  # who goes where nobody leaves, or leaves what nobody goes to, is in no closed cycle
        closed = inside & inside[going]
        closed &= np.bincount(going[closed], minlength=classes) == 1
        if (closed == inside).all():
            return np.where(inside, going, np.arange(classes))
        inside = closed


def _cycles(going: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The classes of each cycle of a permutation, but for those that stay."""
    cycles, left = [], set(np.flatnonzero(going != np.arange(len(going))).tolist())
    while left:
        cycle = [min(left)]
        while (following := int(going[cycle[-1]])) != cycle[0]:
            cycle.append(following)
        left -= set(cycle)
        cycles.append(np.array(cycle, np.int64))
    return cycles
