"""Soft labels: the teacher's outputs on the fixed views, computed once and kept on disk for this run and the next."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Predictor
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.train.views import Views

FORMAT = 1
# With many classes nearly all of the teacher's probability sits in a few of them.
LARGEST_FULL = 64
TOP_K = 32
SMALLEST_PROBABILITY = 1e-7
CHUNK = 250


class SoftLabels:
    """Log-probabilities of the teacher for every view of every training image.

    On disk: one folder a (teacher, data, views) combination, in it one `view-K.npy` a view, float16, shape
    (images, classes) or, above 64 classes, the 32 largest with their class indices beside them.
    """

    def __init__(self, folder: Path, classes: int, count: int) -> None:
        self.folder, self.classes, self.count = folder, classes, count
        self._values = [np.load(folder / f"view-{k}.npy", mmap_mode="r") for k in range(count)]
        self._indices = None
        if classes > LARGEST_FULL:
            self._indices = [np.load(folder / f"view-{k}-classes.npy", mmap_mode="r") for k in range(count)]

    def batch(self, view: int, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Log-probabilities, float32 (len(indices), classes)."""
        values = np.asarray(self._values[view][indices], np.float32)
        if self._indices is None:
            return values
        kept = np.exp(values)
        rest = np.maximum(1 - kept.sum(1, keepdims=True), SMALLEST_PROBABILITY) / (self.classes - TOP_K)
        full = np.repeat(np.log(rest), self.classes, axis=1)
        np.put_along_axis(full, self._indices[view][indices].astype(np.int64), values, axis=1)
        return full


def _key(teacher: Predictor, views: Views, classes: int) -> str:
    parts = {
        "format": FORMAT,
        "teacher": teacher.fingerprint,
        "data": views.split.fingerprint,
        # Views are seeded one by one: more views of the same kind extend what is there.
        "views": views.recipe,
        "classes": classes,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def disk_bytes(images: int, classes: int, count: int) -> int:
    """How much disk the soft labels will take."""
    per_image = 2 * classes if classes <= LARGEST_FULL else TOP_K * (2 + 2)
    return images * per_image * count


def soft_labels(
    teacher: Predictor, views: Views, classes: int, cache: Path, progress: Progress
) -> tuple[SoftLabels, int]:
    """Computes the soft labels that the cache does not hold yet.

    Returns:
        The labels, and how many views had to be computed.

    Raises:
        InputError: `disk.full` when they would not fit.
    """
    folder = cache / _key(teacher, views, classes)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [k for k in range(views.spec.count) if not (folder / f"view-{k}.npy").exists()]
    needed = disk_bytes(len(views), classes, len(missing))
    if shutil.disk_usage(folder).free < needed + 50_000_000:
        raise InputError(
            "disk.full",
            f"The teacher's soft labels need {needed / 1e6:.0f} MB in {cache}, which are not free.",
            "free some disk, or point the environment variable L2C_CACHE to another disk.",
        )
    with progress.stage("soft labels", len(missing) * len(views)) as stage:
        for view in missing:
            outputs = np.empty((len(views), classes), np.float16)
            for start in range(0, len(views), CHUNK):
                indices = np.arange(start, min(start + CHUNK, len(views)))
                probabilities = teacher.predict(views.batch(view, indices))
                outputs[indices] = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
                stage.advance(len(indices))
            if classes > LARGEST_FULL:
                top = np.argpartition(-outputs, TOP_K, axis=1)[:, :TOP_K].astype(np.uint16)
                _save(folder / f"view-{view}-classes.npy", top)
                outputs = np.take_along_axis(outputs, top.astype(np.int64), axis=1)
            _save(folder / f"view-{view}.npy", outputs)
        reused = views.spec.count - len(missing)
        stage.message = f"{len(missing)} views computed, {reused} taken from the cache"
    return SoftLabels(folder, classes, views.spec.count), len(missing)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, array)
    part.replace(path)
