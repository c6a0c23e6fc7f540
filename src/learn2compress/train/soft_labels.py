"""Soft labels: the teacher's outputs on the fixed views, computed once and kept on disk for this run and the next."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.cache import alone, trim, used
from learn2compress.core.chunks import at_once
from learn2compress.core.dataset import ImageSplit, Predictor, Probabilities
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.core.whole_files import naming, write_whole
from learn2compress.train.views import Views

FORMAT = 2
# Two runs on one teacher: the second finds the labels there.
_WAITING = (
    "another run is labelling the same images with the same teacher: waiting until it is done, to take its labels"
)
# With many classes nearly all of the teacher's probability sits in a few of them.
LARGEST_FULL = 64
TOP_K = 32
SMALLEST_PROBABILITY = 1e-7
CHUNK = 250
# How often the place is kept: as much work is lost at most when a run is killed.
KEPT_EVERY_SECONDS = 10.0


def _record(classes: int) -> np.dtype[np.void]:
    """What is kept of one view of one image."""
    if classes <= LARGEST_FULL:
        return np.dtype([("values", "<f2", (classes,))])
    return np.dtype([("values", "<f2", (TOP_K,)), ("classes", "<u2", (TOP_K,))])


def _records(probabilities: Probabilities) -> NDArray[np.void]:
    """Log-probabilities (n, classes) as records (n,)."""
    logs = np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)).astype(np.float16)
    records = np.empty(len(logs), _record(logs.shape[1]))
    if logs.shape[1] > LARGEST_FULL:
        top = np.argpartition(-logs, TOP_K, axis=1)[:, :TOP_K]
        records["classes"], logs = top, np.take_along_axis(logs, top, axis=1)
    records["values"] = logs
    return records


class SoftLabels:
    """Log-probabilities of the teacher for every view of every training image.

    On disk: one folder for a combination of teacher, data and kind of views; in it a file for each view, the shards,
    of one record for each image: float16 of every class or, above 64 classes, of the 32 most probable and which they
    are.
    """

    def __init__(self, shards: Sequence[Path], classes: int) -> None:
        self.classes, self.count = classes, len(shards)
        self.paths = tuple(map(str, shards))
        self._shards = [np.memmap(shard, _record(classes), "r") for shard in shards]

    def batch(self, view: int, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Log-probabilities, float32 (len(indices), classes)."""
        records = self._shards[view][indices]
        values = np.asarray(records["values"], np.float32)
        if self.classes <= LARGEST_FULL:
            return values
        kept = np.exp(values)
        rest = np.maximum(1 - kept.sum(1, keepdims=True), SMALLEST_PROBABILITY) / (self.classes - TOP_K)
        full = np.repeat(np.log(rest), self.classes, axis=1)
        np.put_along_axis(full, records["classes"].astype(np.int64), values, axis=1)
        return full


class _Shard:
    """The file of one view: `NAME-CHECKSUM.bin` when whole, `NAME.part` with `NAME.json` before.

    Its name says what its content must add up to: a file that was damaged is found out and made anew.
    """

    def __init__(self, folder: Path, name: str, images: int, record: np.dtype[np.void]) -> None:
        self._folder, self._name, self._bytes = folder, name, images * record.itemsize
        self._record = record
        self._part, self._place = folder / f"{name}.part", folder / f"{name}.json"

    def whole(self) -> Path | None:
        """The file, if it is complete and undamaged."""
        for path in self._folder.glob(f"{self._name}-*.bin"):
            content = path.read_bytes()
            if len(content) == self._bytes and path.stem.endswith(f"-{zlib.crc32(content):08x}"):
                return path
            path.unlink()
        return None

    def begun(self) -> tuple[int, int]:
        """(images, checksum) of what is there of it and undamaged."""
        try:
            place = json.loads(self._place.read_text())
            size = place["images"] * self._record.itemsize
            with self._part.open("rb") as file:
                content = file.read(size)
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0
        fits = len(content) == size and zlib.crc32(content) == place["checksum"]
        return (place["images"], place["checksum"]) if fits else (0, 0)

    def fill(self, records: Iterator[NDArray[np.void]], images: int, checksum: int) -> Path:
        """Writes what is missing behind the first images, and keeps the place now and then."""
        # It may lie on another disk than the run.
        with naming(self._part), self._part.open("r+b" if images else "wb") as file:
            file.seek(images * self._record.itemsize)
            last = time.monotonic()
            for some in records:
                content = some.tobytes()
                file.write(content)
                images, checksum = images + len(some), zlib.crc32(content, checksum)
                if time.monotonic() - last >= KEPT_EVERY_SECONDS:
                    self._keep(file, images, checksum)
                    last = time.monotonic()
            self._keep(file, images, checksum)
            file.truncate()
        whole = self._folder / f"{self._name}-{checksum:08x}.bin"
        self._part.replace(whole)
        self._place.unlink()
        return whole

    def _keep(self, file: BinaryIO, images: int, checksum: int) -> None:
        file.flush()
        os.fsync(file.fileno())
        write_whole(self._place, json.dumps({"images": images, "checksum": checksum}).encode())


def _key(teacher: Predictor, views: Views, classes: int) -> str:
    parts = {
        "format": FORMAT,
        "teacher": teacher.fingerprint,
        "data": views.split.fingerprint,
        # Views are seeded one by one: more views of the same kind, and mixed ones, extend what is there.
        "views": views.recipe,
        "classes": classes,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def soft_labels(
    teacher: Predictor, views: Views, classes: int, cache: Path, progress: Progress
) -> tuple[SoftLabels, int]:
    """Computes the soft labels that the cache does not hold yet.

    Returns:
        The labels, and how many views had to be computed.

    Raises:
        InputError: `disk.full` when they would not fit, `teacher.nan` when the teacher gives what is no number.
    """
    folder = cache / _key(teacher, views, classes)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder, progress, _WAITING):
        used(folder)
        trim(cache)
        return _soft_labels(folder, teacher, views, classes, progress)


def _refuse_broken(probabilities: Probabilities, indices: NDArray[np.int64], split: ImageSplit) -> None:
    """Raises `teacher.nan`: a single label that is no number would make every weight so in training."""
    broken = indices[~np.isfinite(probabilities).all(axis=1)]
    if len(broken):
        told = getattr(split, "told", None)  # a split from files names its images
        name = f", {told(int(broken[0]))}" if told else ""
        raise InputError(
            "teacher.nan",
            f"The teacher gives NaN or infinite outputs on {len(broken)} of the training images {indices[0]} to "
            f"{indices[-1]}, first on number {broken[0]} (counted from 0{name}); on each they must be numbers.",
            "look at what is special about that image (all of one colour, say, where the model divides by the spread "
            "of the pixels), and mend the model, or leave such images out of the data.",
        )


def _soft_labels(
    folder: Path, teacher: Predictor, views: Views, classes: int, progress: Progress
) -> tuple[SoftLabels, int]:
    images, record = len(views), _record(classes)
    shards = [_Shard(folder, views.name(view), images, record) for view in range(views.spec.count)]
    whole = [shard.whole() for shard in shards]
    begun = [(images, 0) if path else shard.begun() for shard, path in zip(shards, whole, strict=True)]
    missing = sum(images - there for there, _ in begun)
    needed = missing * record.itemsize
    if shutil.disk_usage(folder).free < needed + 50_000_000:
        raise InputError(
            "disk.full",
            f"The teacher's soft labels need {needed / 1e6:.0f} MB in {folder.parent}, which are not free.",
            "free some disk, or point the environment variable L2C_CACHE to another disk.",
        )
    if missing:
        progress.note(f"soft labels: {views.spec.count} views of {images} images, {needed / 1e6:.1f} MB more on disk")
    with progress.stage("soft labels", missing) as stage:

        def computed(view: int, first: int) -> Iterator[NDArray[np.void]]:
            chunk = at_once(views.spec.size, most_images=CHUNK)
            for start in range(first, images, chunk):
                indices = np.arange(start, min(start + chunk, images))
                probabilities = teacher.predict(views.batch(view, indices))
                _refuse_broken(probabilities, indices, views.split)
                yield _records(probabilities)
                stage.advance(len(indices))

        paths = [
            path or shard.fill(computed(view, there), there, checksum)
            for view, (shard, path, (there, checksum)) in enumerate(zip(shards, whole, begun, strict=True))
        ]
        count = sum(path is None for path in whole)
        stage.message = f"{count} views computed, {len(paths) - count} taken from the cache"
    return SoftLabels(paths, classes), count
