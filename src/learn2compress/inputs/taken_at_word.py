"""A file taken at its word: what it says of itself goes first, where labelled images don't speak against it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Dataset, Labels
from learn2compress.core.progress import Progress
from learn2compress.inputs.label_order import reordered_accuracy
from learn2compress.inputs.preprocessing import Preprocessing, alike
from learn2compress.inputs.preprocessing_search import Found, predictions
from learn2compress.inputs.wording import listed

# So much less may be right with what the file says than with what was found by trying: chance explains it.
_SLACK = 0.02


def outputs_by_label(
    labels: tuple[str, ...], classes: int, dataset: Dataset | None, name: str, progress: Progress
) -> NDArray[np.int64] | None:
    """The outputs that a file's own labels say are the data's classes.

    Args:
        labels: one an output; spelling counts but for capitals, underscores and spaces around.
        classes: number of outputs.
        dataset: whose classes are looked for; where its user names the outputs, nothing else counts.
        name: of the model, for people.
        progress: gets a word on what was taken.

    Returns:
        For each class of the data the index of its output; None where a class is not among the labels, or twice.
    """
    if dataset is None or dataset.output_names or len(labels) != classes:
        return None
    spelled = [plain(label) for label in labels]
    wanted = [plain(one) for one in dataset.class_names]
    if any(spelled.count(one) != 1 for one in wanted):
        return None
    gone = [label for label, one in zip(labels, spelled, strict=True) if one not in wanted]
    if gone:
        progress.warn(
            f"{len(gone)} of the {classes} outputs of {name} stand, by the labels inside the file, for classes that "
            f"the data does not have, such as {listed(gone, 5)}: they are left out, and the family won't know these."
        )
    else:
        progress.note(f"The labels inside {name} say which output stands for which class of the data")
    return np.array([spelled.index(one) for one in wanted], np.int64)


def plain(name: str) -> str:
    """The name without what spelling does not count for: capitals, underscores and spaces around."""
    return name.strip().replace("_", " ").casefold()


def preferring_own(
    found: Found,
    own: Preprocessing | None,
    outputs: Callable[[Preprocessing], NDArray[np.float32]],
    labels: Labels,
    progress: Progress,
) -> Found:
    """The preprocessing that a file names, if it does as well as the one that was found by trying; else that.

    Args:
        found: what was found by trying.
        own: what the file says.
        outputs: what the model gives (images, outputs) under a candidate, for the images that were tried.
        labels: of these images, shape (images,).
        progress: gets a note, or a warning where the file is wrong.
    """
    if own is None or found.predicted is None or alike(own, found.preprocess):
        return found
    scores = outputs(own)
    predicted = predictions(scores)
    right, best = (_right(some, labels, scores.shape[1]) for some in (predicted, found.predicted))
    told = (
        f"The file's metadata say {own.name} (mean and deviation of pixels): so {right:.1%} of {len(labels)} training"
    )
    if right < best - _SLACK:
        progress.warn(f"{told} images are right, {best:.1%} with {found.preprocess.name}, which is taken instead")
        return found
    progress.note(f"{told} images are right, and it is taken", accuracies={own.name: right})
    return Found(own, {own.name: right, **found.accuracies}, predicted)


def _right(predicted: Labels, labels: Labels, outputs: int) -> float:
    """Share that is right, in whatever order of the outputs."""
    classes = int(labels.max()) + 1
    in_order = reordered_accuracy(predicted, labels, classes, max(outputs, classes)) or 0.0
    return max(float((predicted == labels).mean()), in_order)
