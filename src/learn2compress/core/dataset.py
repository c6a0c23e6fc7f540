"""What every stage knows of the user's examples: splits of labelled images that are read when needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.framing import Framing

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Probabilities = NDArray[np.float32]

# Shares of red, green and blue in grey (ITU-R BT.601), as Pillow and TensorFlow compute it.
LUMA = (0.299, 0.587, 0.114)


class ImageSplit(Protocol):
    """Labelled RGB images, held in memory or read from disk one by one."""

    @property
    def labels(self) -> Labels:
        """Class indices, shape (examples,)."""

    @property
    def stacked(self) -> Images | None:
        """All images as one array (examples, height, width, 3), where they are in memory at one size; else None."""

    @property
    def fingerprint(self) -> str:
        """Hex digest that changes when the examples do."""

    @property
    def framing(self) -> Framing:
        """How `batch` brings images to a size: `crop` or `squeeze`."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(height, width) of each image as it is stored, shape (examples, 2)."""

    def __len__(self) -> int: ...

    def image(self, index: int, at_least: int | None = None) -> Images:
        """One decoded image (height, width, 3) at the size it is stored in.

        Args:
            at_least: pixels a side that the caller needs no more than: the image may come smaller, in proportion,
                where that is the faster way.
        """

    def batch(self, indices: NDArray[np.int64], size: tuple[int, int]) -> Images:
        """Images (len(indices), *size, 3), fitted for evaluation as `framing` says."""

    def framed(self, framing: Framing) -> ImageSplit:
        """The same images, brought to a size in another way."""


@dataclass(frozen=True)
class Dataset:
    """The user's examples in three splits.

    Attributes:
        train, validation, test: the splits. The test split is used once, at the end.
        class_names: one name per class index.
        source: where it came from, for people (a path, or `arrays`).
        image_size: the typical stored (height, width).
        notes: what was done on the way (splits made, files skipped).
        output_names: the classes that the teacher's outputs stand for, in their order, where the user names them
            (they may be more than the data's); empty otherwise.
        display_names: locale, such as `de` -> the class names in that language.
        licence: of the data, as the user states it; empty where not stated.
    """

    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit
    class_names: tuple[str, ...]
    source: str
    image_size: tuple[int, int]
    notes: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    display_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    licence: str = ""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def framing(self) -> Framing:
        """How images are brought to a model's input, in every split."""
        return self.train.framing


class Predictor(Protocol):
    """A teacher, as far as training needs to know it."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the images it takes."""

    @property
    def fingerprint(self) -> str:
        """Hex digest of the model and its preprocessing."""

    def predict(self, images: Images) -> Probabilities:
        """Class probabilities (n, classes) for uint8 RGB images (n, height, width, 3)."""
