"""What a teacher wants done to pixels 0..255 before it sees them: the conventions by name, or numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import LUMA, Images
from learn2compress.core.errors import InputError


@dataclass(frozen=True)
class Preprocessing:
    """An affine map per channel: `pixel * scale + offset`, after the channels are turned to BGR if so.

    Attributes:
        name: one of `NAMED`, or the numbers that were given.
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
            grey = np.rint(images.astype(np.float32) @ np.array(LUMA, np.float32))[..., None]
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
    # EfficientNet-Lite's; next to the same as `signed`.
    "lite": _from_mean_std("lite", (127.0,) * 3, (128.0,) * 3),
    # What comes out where images were read with OpenCV (`cv2.imread` gives BGR), or means were taken off RGB.
    "raw-bgr": Preprocessing("raw-bgr", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), bgr=True),
    "unit-bgr": Preprocessing("unit-bgr", (1 / 255,) * 3, (0.0, 0.0, 0.0), bgr=True),
    "signed-bgr": Preprocessing("signed-bgr", (1 / 127.5,) * 3, (-1.0, -1.0, -1.0), bgr=True),
    "caffe-rgb": _from_mean_std("caffe-rgb", (123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    # The mean and deviation of MNIST's grey pixels.
    "mnist": _from_mean_std("mnist", (0.1307 * 255,) * 3, (0.3081 * 255,) * 3),
}
USUAL = ("raw", "unit", "signed", "torch", "caffe")
GREY = ("raw", "unit", "signed", "lite", "mnist")


def candidates(channels: int) -> tuple[str, ...]:
    """Names of what is tried on a model of 3 or 1 channels, the usual first."""
    return GREY if channels == 1 else tuple(name for name in NAMED if name != "mnist")


def alike(one: Preprocessing, other: Preprocessing) -> bool:
    """Whether two differ by so little (under 2 % of the range) that no model could tell."""
    if one.bgr != other.bgr:
        return False
    a, b = np.array([one.scale, one.offset]), np.array([other.scale, other.offset])
    span = 255 * np.abs(a[0])
    return bool((np.abs(a[1] - b[1]) <= 0.02 * span).all() and (np.abs(a[0] - b[0]) * 255 <= 0.02 * span).all())


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
