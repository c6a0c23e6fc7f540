"""Images on disk: read when they are needed, nothing big kept in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from learn2compress.core.dataset import Images, Labels
from learn2compress.core.errors import InputError
from learn2compress.core.framing import CROP, Framing
from learn2compress.inputs.decode import Facts, StoredImage
from learn2compress.inputs.geometry import fitted, pool
from learn2compress.inputs.looks import SIDE
from learn2compress.inputs.wording import shortened

STACK_LIMIT_BYTES = 512 * 10**6
_HASH_LIMIT_BYTES = 256 * 10**6


class FolderSplit:
    """Labelled images on disk; satisfies `inputs.splits.SourceSplit`.

    Args:
        root: the folder that paths are told relative to in the fingerprint.
        files: decodable images.
        labels: class indices, shape (files,).
        framing: how `batch` brings images to a size.
    """

    def __init__(self, root: Path, files: Sequence[StoredImage], labels: Labels, framing: Framing = CROP) -> None:
        self._root = root
        self._files = tuple(files)
        self._labels = labels
        self.framing: Framing = framing

    def __len__(self) -> int:
        return len(self._files)

    @property
    def labels(self) -> Labels:
        """Class indices, shape (examples,)."""
        return self._labels

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(height, width) of each image, shape (examples, 2)."""
        return np.array([(f.facts.height, f.facts.width) for f in self._files], dtype=np.int64).reshape(-1, 2)

    @property
    def looks(self) -> Images:
        """Thumbnails of `inputs.looks`, shape (examples, 9, 9, 3)."""
        looks = b"".join(file.facts.look for file in self._files)
        return np.frombuffer(looks, np.uint8).reshape(-1, SIDE, SIDE, 3)

    @property
    def kinds(self) -> tuple[tuple[str, str], ...]:
        """(format, mode) of each image, as in `inputs.decode.Facts`."""
        return tuple((file.facts.format, file.facts.mode) for file in self._files)

    def told(self, index: int) -> str:
        """The name of an image, for people."""
        return self._files[index].told(self._root)

    @cached_property
    def stacked(self) -> Images | None:
        """All images as one array where they have one size and fit into 512 MB; decoded on first use."""
        sizes = {(file.facts.height, file.facts.width) for file in self._files}
        if len(sizes) != 1:
            return None
        height, width = next(iter(sizes))
        if len(self) * height * width * 3 > STACK_LIMIT_BYTES:
            return None
        return self._gathered(np.arange(len(self)), (height, width))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, labels and contents; in large sets, the looks of the images stand for contents.

        Never the times of files: data that was lost and copied back is the same data.
        """
        digest = hashlib.sha256()
        by_content = sum(file.size_bytes for file in self._files) <= _HASH_LIMIT_BYTES
        for file, label in zip(self._files, self._labels, strict=True):
            name = file.told(self._root)
            digest.update(f"{name}\0{label}\0{file.size_bytes}\0".encode("utf-8", "surrogateescape"))
            digest.update(file.content() if by_content else _seen(file.facts))
            if file.facts.brightest is not None:
                digest.update(b"\0/257")  # dark ones became 8 bits in another way once: what is kept of that is void
        return digest.hexdigest()

    def image(self, index: int, at_least: int | None = None) -> Images:
        """See `core.dataset.ImageSplit`; a JPEG is what may come smaller."""
        if "stacked" in self.__dict__ and self.stacked is not None:
            return np.asarray(self.stacked[index])
        return np.asarray(self._decoded(index, at_least))

    def batch(self, indices: NDArray[np.int64], size: tuple[int, int]) -> Images:
        """Images (len(indices), *size, 3), fitted for evaluation as `framing` says."""
        stacked = self.__dict__.get("stacked")
        if stacked is not None and stacked.shape[1:3] == tuple(size):
            return np.asarray(stacked[np.asarray(indices)])
        return self._gathered(indices, size)

    def subset(self, indices: NDArray[np.int64]) -> FolderSplit:
        """The split that holds only these examples."""
        return FolderSplit(self._root, [self._files[i] for i in indices], self._labels[indices], self.framing)

    def with_labels(self, labels: Labels) -> FolderSplit:
        """The same images under other class indices."""
        return FolderSplit(self._root, self._files, labels, self.framing)

    def framed(self, framing: Framing) -> FolderSplit:
        """The same images, brought to a size in another way."""
        return FolderSplit(self._root, self._files, self._labels, framing)

    def _gathered(self, indices: NDArray[np.int64], size: tuple[int, int]) -> Images:
        out = np.empty((len(indices), *size, 3), np.uint8)

        def place(row: int) -> None:
            out[row] = self._fitted(int(indices[row]), size)

        for _ in pool().map(place, range(len(indices))):
            pass
        return out

    def _fitted(self, index: int, size: tuple[int, int]) -> Images:
        # Twice the target leaves the antialiasing filter enough to work with after a JPEG's reduced decode.
        facts = self._files[index].facts
        reduced = None if (facts.height, facts.width) == tuple(size) else 2 * max(size)
        return fitted(self._decoded(index, reduced), size, self.framing)

    def _decoded(self, index: int, at_least: int | None) -> Image.Image:
        try:
            return self._files[index].decoded(at_least)
        except Exception as error:
            raise InputError(
                "dataset.image_lost",
                f"{self.told(index)} could be read when the run began and can't be read now ({shortened(error)}).",
                "leave the images in place while a run is under way, then run the command again.",
            ) from error


def _seen(facts: Facts) -> bytes:
    """What was found out of an image when it was checked, which costs no second look at a large file."""
    return f"{facts.height}x{facts.width} {facts.format} {facts.mode}\0".encode() + facts.look
