"""What a teacher wants done to pixels 0..255 before it sees them, and finding that out by trying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Images, Labels
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress

# Grey from RGB (ITU-R BT.601), as Pillow and TensorFlow compute it.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_CLOSE = 0.02  # accuracies nearer than this are worth a word of doubt
_FIRST_IMAGES = 64
_FAR = 0.2  # a candidate so far behind on the first images would not catch up on the others


@dataclass(frozen=True)
class Preprocessing:
    """An affine map per channel: `pixel * scale + offset`, after the channels are turned to BGR if so.

    Attributes:
        name: `raw`, `unit`, `signed`, `torch`, `caffe`, or the numbers that were given.
        scale, offset: per channel, in the order that the teacher sees; pixels are 0..255.
        bgr: whether the teacher wants blue, green, red.
    """

    name: str
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]
    bgr: bool = False

    def apply(self, images: Images, channels: int = 3) -> NDArray[np.float32]:
        """Maps uint8 RGB (n, height, width, 3) to what the teacher takes, (n, height, width, channels).

        With one channel, grey is computed first and the first channel's scale and offset are used.
        """
        if channels == 1:
            grey = np.rint(images.astype(np.float32) @ _LUMA)[..., None]
            return np.asarray(grey * np.float32(self.scale[0]) + np.float32(self.offset[0]), np.float32)
        pixels = images[..., ::-1] if self.bgr else images
        if self.name == "raw":
            return pixels.astype(np.float32)
        return np.asarray(pixels * np.array(self.scale, np.float32) + np.array(self.offset, np.float32), np.float32)


def _from_mean_std(name: str, mean: tuple[float, ...], std: tuple[float, ...], bgr: bool = False) -> Preprocessing:
    scale = tuple(1 / s for s in std)
    offset = tuple(-m / s for m, s in zip(mean, std, strict=True))
    return Preprocessing(name, (scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2]), bgr)


RAW = Preprocessing("raw", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))

# The conventions that published models follow; `raw` comes first and so wins ties.
NAMED: dict[str, Preprocessing] = {
    "raw": RAW,
    "unit": Preprocessing("unit", (1 / 255,) * 3, (0.0, 0.0, 0.0)),
    "signed": Preprocessing("signed", (1 / 127.5,) * 3, (-1.0, -1.0, -1.0)),
    "torch": _from_mean_std("torch", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": _from_mean_std("caffe", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), bgr=True),
}


def parse_preprocess(text: str) -> Preprocessing | None:
    """Reads the option's value: a name, or MEAN,STD in units of pixel values, or three of each.

    Returns:
        None for `auto`.

    Raises:
        InputError: `preprocess.unknown`.
    """
    word = text.strip().lower()
    if word == "auto":
        return None
    if word in NAMED:
        return NAMED[word]
    try:
        numbers = tuple(float(part) for part in word.split(","))
    except ValueError:
        numbers = ()
    half = len(numbers) // 2
    mean, std = numbers[:half], numbers[half:]
    if len(numbers) not in (2, 6) or not all(np.isfinite(numbers)) or min(std) <= 0:
        raise InputError(
            "preprocess.unknown",
            f"The preprocessing {text!r} is not known; expected is auto, {', '.join(NAMED)}, or MEAN,STD.",
            "leave it out to have it found by trying, or give two numbers for pixels 0..255: 127.5,127.5.",
        )
    return _from_mean_std(word, mean * (3 // half), std * (3 // half))


def choose_preprocessing(
    outputs: Callable[[Preprocessing, NDArray[np.int64]], NDArray[Any]],
    labels: Labels,
    channels: int,
    progress: Progress,
) -> Preprocessing:
    """Tries the named candidates on labelled images and takes the most accurate, `raw` on ties.

    Some images go first; candidates that are far behind on those are not tried on the rest.

    Args:
        outputs: the teacher's outputs (indices, classes) under a candidate, for some of the images.
        labels: class indices of the images, shape (examples,).
        channels: of the teacher's input; the candidates that differ by channel are left out when it is 1.
        progress: gets a note that names the winner and the runner-up.
    """
    names = [name for name in NAMED if channels == 3 or name in ("raw", "unit", "signed")]
    everything = np.arange(len(labels))
    first = everything[:: max(1, len(labels) // _FIRST_IMAGES)]
    right = {name: np.empty(0, bool) for name in names}
    running = names
    with progress.stage("find preprocessing", total=2 * len(names)) as stage:
        for indices in (first, np.setdiff1d(everything, first)):
            for name in stage.track(names):
                if name in running and len(indices):
                    scores = outputs(NAMED[name], indices)
                    hits = (scores.argmax(axis=1) == labels[indices]) & np.isfinite(scores).all(axis=1)
                    right[name] = np.concatenate([right[name], hits])
            leader = max(right[name].mean() for name in running)
            running = [name for name in running if right[name].mean() >= leader - _FAR]
    accuracies = {name: float(right[name].mean()) for name in names}
    best = max(running, key=lambda name: accuracies[name])
    second = max((name for name in names if name != best), key=lambda name: accuracies[name])
    doubt = ""
    if accuracies[best] - accuracies[second] < _CLOSE:
        doubt = "; that is close: if you know what the model was trained with, say so with --preprocess"
    progress.note(
        f"The teacher's preprocessing: {best} ({accuracies[best]:.1%} right on {len(right[best])} training "
        f"images; next is {second} with {accuracies[second]:.1%}){doubt}",
        "find preprocessing",
        accuracies=accuracies,
    )
    return NAMED[best]
