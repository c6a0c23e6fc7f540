"""Finding a teacher's preprocessing by trying the candidates on labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Labels
from learn2compress.core.progress import Progress
from learn2compress.inputs.label_order import REORDERED_GAIN, reordered_accuracy
from learn2compress.inputs.preprocessing import NAMED, USUAL, Preprocessing, alike, candidates

_CLOSE = 0.02  # accuracies nearer than this are worth a word of doubt
# Rounds: so many images, after which candidates that are so far behind would not catch up on the others.
_ROUNDS = ((24, 0.35), (64, 0.2))
_SURE = 2.5  # deviations by which an unusual candidate must be ahead of the best usual one
_OUTPUTS_SEEN = 2000  # beyond this, another label order is not looked for
# With fewer images a class an order can hardly be found, and a permutation would leave all candidates at chance.
IMAGES_FOR_ORDER = 8
_AT_CHANCE = 0.1  # of that many classes; what knows them is right more often

# The teacher's outputs (indices, outputs) under a candidate, for some of the images.
TeacherOutputs = Callable[[Preprocessing, NDArray[np.int64]], NDArray[Any]]


@dataclass(frozen=True)
class Found:
    """What trying gave.

    Attributes:
        preprocess: the winner.
        accuracies: of every candidate, on the images that it was tried on.
        predicted: the outputs that the model says with the winner's, shape (examples,); -1 where it says none. None
            where nothing was tried.
    """

    preprocess: Preprocessing
    accuracies: dict[str, float] = field(default_factory=dict)
    predicted: Labels | None = None


def predictions(scores: NDArray[Any]) -> Labels:
    """The output that is highest, shape (examples,), of scores (examples, outputs); -1 where some are no numbers."""
    return np.where(np.isfinite(scores).all(axis=1), scores.argmax(axis=1), -1).astype(np.int64)


def choose_preprocessing(
    outputs: TeacherOutputs,
    labels: Labels,
    channels: int,
    progress: Progress,
    rescales: str = "",
    of_few_classes: Callable[[], tuple[TeacherOutputs, Labels]] | None = None,
) -> Found:
    """Tries the candidates on labelled images and takes the most accurate.

    Some images go first; candidates that are far behind on those are not tried on the rest. `raw` wins ties, and an
    unusual candidate (BGR of what is usually RGB, and the like) only wins where chance can't have put it ahead of the
    usual ones. Where the model is right far more often under another order of the labels, that is what counts: a
    permutation must not hide the preprocessing, however many classes there are.

    Args:
        outputs: the teacher's outputs (indices, outputs) under a candidate, for some of the images.
        labels: class indices of the images, shape (examples,).
        channels: of the teacher's input; the candidates that differ by channel are left out when it is 1.
        progress: gets a note that names the winner and the runner-up.
        rescales: name of a layer of the model that rescales the pixels itself, so that `raw` is to be expected.
        of_few_classes: gives outputs and labels of other images, which are of so few classes that there are
            `IMAGES_FOR_ORDER` of each. Asked only where all candidates are about at chance and the images are too few
            of each class to find another order on.
    """
    names = candidates(channels)
    rounds = _rounds(len(labels))
    seen: list[NDArray[np.int64]] = []
    said: dict[str, list[Labels]] = {name: [] for name in names}
    running, accuracies, count = names, dict.fromkeys(names, 0.0), 0
    with progress.stage("find preprocessing", total=len(rounds) * len(names)) as stage:
        for indices, far in rounds:
            seen.append(indices)
            for name in stage.track(names):
                if name in running:
                    scores = outputs(NAMED[name], indices)
                    count = scores.shape[1]
                    said[name].append(predictions(scores))
            images = np.concatenate(seen)
            judged, reordered = _judged({name: np.concatenate(said[name]) for name in running}, labels[images], count)
            accuracies |= judged
            leader = max(judged.values())
            if far:
                running = tuple(name for name in running if judged[name] >= leader - far)
    tried, classes = len(images), int(labels.max()) + 1
    few = not reordered and len(labels) < IMAGES_FOR_ORDER * classes
    if few and of_few_classes is not None and max(accuracies.values()) <= _AT_CHANCE:
        others = of_few_classes()
        judged = _under_any_order(*others, running)
        if max(judged.values()) >= max(accuracies.values()) + REORDERED_GAIN:
            accuracies |= judged
            reordered, tried = True, len(others[1])
    hits = {name: np.concatenate(said[name]) == labels[images] for name in running}
    usual = ("raw",) if rescales else USUAL
    best = max(running, key=lambda name: accuracies[name])
    common = max((name for name in running if name in usual), key=lambda name: accuracies[name], default=best)
    if best not in usual and not reordered and not surely_ahead(hits[best], hits[common]):
        best = common
    found = NAMED[best]
    second = max((name for name in names if not alike(NAMED[name], found)), key=lambda name: accuracies[name])
    doubt = ""
    if accuracies[best] - accuracies[second] < _CLOSE and not (rescales and best == "raw"):
        doubt = "; that is close: if you know what the model was trained with, say so with --preprocess"
    progress.note(
        f"The teacher's preprocessing: {best} ({accuracies[best]:.1%} right on {tried} training "
        f"images{', under another order of the labels' if reordered else ''}; next is {second} with "
        f"{accuracies[second]:.1%}){_own_rescaling(rescales, best)}{doubt}",
        "find preprocessing",
        accuracies=accuracies,
    )
    predicted = np.empty(len(labels), np.int64)
    predicted[images] = np.concatenate(said[best])
    return Found(found, accuracies, predicted)


def _rounds(examples: int) -> list[tuple[NDArray[np.int64], float]]:
    """Indices of the images of each round, from all over them, with how far behind is too far after it."""
    # Steps through a fixed disorder: images lie ordered by class or in any other way.
    order = np.random.default_rng(0).permutation(examples)
    rounds, start = [], 0
    for end, far in (*_ROUNDS, (examples, 0.0)):
        if start < min(end, examples):
            rounds.append((np.sort(order[start:end]), far))
            start = end
    return rounds


def _judged(predicted: dict[str, Labels], labels: Labels, outputs: int) -> tuple[dict[str, float], bool]:
    """The accuracy of each candidate, and whether it is that under another order of the labels."""
    given = {name: float((some == labels).mean()) for name, some in predicted.items()}
    if outputs > _OUTPUTS_SEEN or len(labels) < 2 * (classes := int(labels.max()) + 1):
        return given, False
    reordered = {
        name: reordered_accuracy(some, labels, classes, max(outputs, classes)) or 0.0
        for name, some in predicted.items()
    }
    if max(reordered.values()) >= max(given.values()) + REORDERED_GAIN:
        return reordered, True
    return given, False


def _under_any_order(outputs: TeacherOutputs, labels: Labels, names: tuple[str, ...]) -> dict[str, float]:
    """The accuracy of each candidate under its best order of the outputs, on images of some classes."""
    classes, among = np.unique(labels, return_inverse=True)
    judged = {}
    for name in names:
        scores = outputs(NAMED[name], np.arange(len(labels)))
        judged[name] = reordered_accuracy(predictions(scores), among, len(classes), scores.shape[1]) or 0.0
    return judged


def surely_ahead(one: NDArray[np.bool_], other: NDArray[np.bool_], deviations: float = _SURE) -> bool:
    """Whether the images that tell two candidates apart speak for the first by more than chance (a sign test).

    Args:
        one, other: which images each is right on, shape (examples,).
        deviations: how far beyond an even split it must be.
    """
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    return wins - losses > deviations * np.sqrt(wins + losses)


def _own_rescaling(layer: str, best: str) -> str:
    if not layer:
        return ""
    if best == "raw":
        return f": the model rescales pixels itself, in its layer {layer}"
    return f", though the model rescales pixels itself, in its layer {layer}"


def rescaling_layer(model: Any) -> str:
    """Name of the layer in which a Keras model rescales the pixels before anything else; empty where it has none.

    Args:
        model: a `keras.Model`, or None.
    """
    for layer in _flat_layers(model):
        kind = type(layer).__name__
        if kind in ("Rescaling", "Normalization"):
            return str(layer.name)
        if getattr(layer, "weights", None):
            return ""
    return ""


def _flat_layers(model: Any) -> list[Any]:
    """The layers in order, those of nested models in place of these."""
    found = []
    for layer in getattr(model, "layers", ()):
        found.extend(_flat_layers(layer) if hasattr(layer, "layers") else [layer])
    return found
