"""Images held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from learn2compress.core.dataset import Images, Labels
from learn2compress.core.framing import CROP, Framing
from learn2compress.inputs.geometry import fitted, pool
from learn2compress.inputs.looks import looks_of


class ArraySplit:
    """Labelled images in memory; satisfies `inputs.splits.SourceSplit`.

    Args:
        images: one uint8 array (examples, height, width, 3), or a list of (height, width, 3).
        labels: class indices, shape (examples,).
        framing: how `batch` brings images to a size.
    """

    def __init__(self, images: Images | Sequence[Images], labels: Labels, framing: Framing = CROP) -> None:
        self._images = images
        self._labels = labels
        self.framing: Framing = framing

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labels(self) -> Labels:
        """Class indices, shape (examples,)."""
        return self._labels

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(height, width) of each image, shape (examples, 2)."""
        if isinstance(self._images, np.ndarray):
            return np.tile(np.array(self._images.shape[1:3], dtype=np.int64), (len(self), 1))
        return np.array([image.shape[:2] for image in self._images], dtype=np.int64).reshape(-1, 2)

    @cached_property
    def looks(self) -> Images:
        """Thumbnails of `inputs.looks`, shape (examples, 9, 9, 3)."""
        return looks_of(self._images)

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """(format, mode) of each image: arrays are `array`, `RGB`."""
        return (("array", "RGB"),) * len(self)

    def told(self, index: int) -> str:
        """The name of an image, for people."""
        return f"image {index}"

    @property
    def stacked(self) -> Images | None:
        """All images as one array, where they have one size; else None."""
        return self._images if isinstance(self._images, np.ndarray) else None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shapes, pixels and labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self._labels, dtype=np.int64).tobytes())
        whole = isinstance(self._images, np.ndarray)
        for image in (self._images,) if whole else self._images:
            digest.update(repr(np.shape(image)).encode())
            digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()

    def image(self, index: int, at_least: int | None = None) -> Images:
        """One image (height, width, 3), always at the size it is stored in."""
        return self._images[index]

    def batch(self, indices: NDArray[np.int64], size: tuple[int, int]) -> Images:
        """Images (len(indices), *size, 3), fitted for evaluation as `framing` says."""
        indices = np.asarray(indices, dtype=np.int64)
        if isinstance(self._images, np.ndarray) and self._images.shape[1:3] == tuple(size):
            return self._images[indices]
        out = np.empty((len(indices), *size, 3), np.uint8)

        def place(row: int) -> None:
            out[row] = fitted(Image.fromarray(self._images[int(indices[row])]), size, self.framing)

        for _ in pool().map(place, range(len(indices))):
            pass
        return out

    def subset(self, indices: NDArray[np.int64]) -> ArraySplit:
        """The split that holds only these examples."""
        if isinstance(self._images, np.ndarray):
            return ArraySplit(self._images[indices], self._labels[indices], self.framing)
        return ArraySplit([self._images[i] for i in indices], self._labels[indices], self.framing)

    def with_labels(self, labels: Labels) -> ArraySplit:
        """The same images under other class indices."""
        return ArraySplit(self._images, labels, self.framing)

    def framed(self, framing: Framing) -> ArraySplit:
        """The same images, brought to a size in another way."""
        return ArraySplit(self._images, self._labels, framing)
