"""Images in folders: read from disk when they are needed, nothing big kept in memory."""

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
from learn2compress.inputs.decode import ImageFile, decode
from learn2compress.inputs.geometry import fitted, pool
from learn2compress.inputs.wording import shortened

STACK_LIMIT_BYTES = 512 * 10**6
_HASH_LIMIT_BYTES = 256 * 10**6


class FolderSplit:
    """Labelled image files; satisfies `core.dataset.ImageSplit`.

    Args:
        root: the folder that paths are told relative to in the fingerprint.
        files: decodable image files.
        labels: class indices, shape (files,).
    """

    def __init__(self, root: Path, files: Sequence[ImageFile], labels: Labels) -> None:
        self._root = root
        self._files = tuple(files)
        self._labels = labels

    def __len__(self) -> int:
        return len(self._files)

    @property
    def labels(self) -> Labels:
        """Class indices, shape (examples,)."""
        return self._labels

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(height, width) of each image, shape (examples, 2)."""
        return np.array([(f.height, f.width) for f in self._files], dtype=np.int64).reshape(-1, 2)

    @cached_property
    def stacked(self) -> Images | None:
        """All images as one array where they have one size and fit into 512 MB; decoded on first use."""
        sizes = {(file.height, file.width) for file in self._files}
        if len(sizes) != 1:
            return None
        height, width = next(iter(sizes))
        if len(self) * height * width * 3 > STACK_LIMIT_BYTES:
            return None
        return self._gathered(np.arange(len(self)), (height, width))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, labels and contents; in large sets, modification times stand for contents."""
        digest = hashlib.sha256()
        by_content = sum(file.size_bytes for file in self._files) <= _HASH_LIMIT_BYTES
        for file, label in zip(self._files, self._labels, strict=True):
            name = file.path.relative_to(self._root).as_posix()
            digest.update(f"{name}\0{label}\0{file.size_bytes}\0".encode("utf-8", "surrogateescape"))
            digest.update(file.path.read_bytes() if by_content else str(file.mtime_ns).encode())
        return digest.hexdigest()

    def image(self, index: int) -> Images:
        """One decoded image (height, width, 3) at the size it is stored in."""
        if "stacked" in self.__dict__ and self.stacked is not None:
            return np.asarray(self.stacked[index])
        return np.asarray(self._decoded(index, None))

    def batch(self, indices: NDArray[np.int64], size: tuple[int, int]) -> Images:
        """Images (len(indices), *size, 3), fitted for evaluation: short side resized, then centre-cropped."""
        stacked = self.__dict__.get("stacked")
        if stacked is not None and stacked.shape[1:3] == tuple(size):
            return np.asarray(stacked[np.asarray(indices)])
        return self._gathered(indices, size)

    def subset(self, indices: NDArray[np.int64]) -> FolderSplit:
        """The split that holds only these examples."""
        return FolderSplit(self._root, [self._files[i] for i in indices], self._labels[indices])

    def with_labels(self, labels: Labels) -> FolderSplit:
        """The same images under other class indices."""
        return FolderSplit(self._root, self._files, labels)

    def _gathered(self, indices: NDArray[np.int64], size: tuple[int, int]) -> Images:
        out = np.empty((len(indices), *size, 3), np.uint8)

        def place(row: int) -> None:
            out[row] = self._fitted(int(indices[row]), size)

        for _ in pool().map(place, range(len(indices))):
            pass
        return out

    def _fitted(self, index: int, size: tuple[int, int]) -> Images:
        # Twice the target leaves the antialiasing filter enough to work with after a JPEG's reduced decode.
        file = self._files[index]
        reduced = None if (file.height, file.width) == tuple(size) else 2 * max(size)
        return fitted(self._decoded(index, reduced), size)

    def _decoded(self, index: int, at_least: int | None) -> Image.Image:
        path = self._files[index].path
        try:
            return decode(path, at_least)
        except Exception as error:
            raise InputError(
                "dataset.image_lost",
                f"{path} could be read when the run began and can't be read now ({shortened(error)}).",
                "leave the images in place while a run is under way, then run the command again.",
            ) from error
