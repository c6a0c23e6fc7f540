"""Scaled-down copies of large photos: made once and kept on disk, and what views are then cut from.

To decode a photo of 12 megapixels takes several times as long as to train students on a view of it, and each view
needs but a small part of its pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from learn2compress.core.cache import LOCK, alone, trim, used
from learn2compress.core.cores import usable_cores
from learn2compress.core.dataset import Images, ImageSplit
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.core.whole_files import naming

FORMAT = 1
# What these are chosen by is in docs/decisions/0022-scaled-down-copies.md. Pixels a side that the smallest crop of a
# copy has, for each of the view: with fewer, views are blurred; more take longer to decode, and more disk.
LEFT = 1.25
QUALITY = 95
# A photo gets a copy whose shorter side has so many times the copy's, and which has so many pixels: others are
# decoded nearly as fast as a copy of them would be.
PAYS = 1.5
LEAST_PIXELS = 500_000
# A JPEG may be decoded at a part of its size that has so many times the copy's pixels a side: half the work, and
# hardly another copy.
LEFT_TO_SCALE = 1.5
# Of a copy, estimated: photos take 0.3 to 0.6, and noise more.
BYTES_PER_PIXEL = 0.6
_CHECKSUM_BYTES = 4


def copies_of(split: ImageSplit, needed: NDArray[np.float64], cache: Path) -> Copies | None:
    """The copies of the large images of a split; None where there are none, or all are in memory as one array.

    Which images have one, and what it shows, follows from the images alone, never from what is on disk already.

    Args:
        needed: pixels that the shorter side of each image needs for what is cut out of it, shape (examples,).
        cache: the folder that they are kept in, with soft labels.
    """
    if split.stacked is not None:
        return None
    sides, stored = np.ceil(LEFT * needed).astype(np.int64), split.sizes
    large = (stored.min(axis=1) >= PAYS * sides) & (stored.prod(axis=1) >= LEAST_PIXELS)
    return Copies(split, np.where(large, sides, 0), cache) if large.any() else None


class Copies:
    """The images of a split, some of them as scaled-down copies.

    On disk: one folder for a combination of images and kind of copies; in it a file for each copy: a JPEG, upright
    and in RGB, with the checksum of its bytes behind it, which decoders do not look at. A copy that is missing or
    damaged is made again when it is asked for.

    Args:
        split: the images.
        sides: pixels of the shorter side of each image's copy, shape (examples,); 0 where it has none.
        cache: the folder that the copies' folder is in.
    """

    def __init__(self, split: ImageSplit, sides: NDArray[np.int64], cache: Path) -> None:
        self._split, self._sizes, self._sides, self._cache = split, split.sizes, sides, cache
        parts = {"format": FORMAT, "data": split.fingerprint, "copies": self.recipe, "sides": sides.tolist()}
        self.folder = cache / hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]

    @property
    def recipe(self) -> dict[str, object]:
        """Everything that determines copies, and which images have one, beside the images and what is cut out."""
        kind = {"left": LEFT, "quality": QUALITY, "left to scale": LEFT_TO_SCALE, "scaled by": "lanczos"}
        return {**kind, "pays": PAYS, "least pixels": LEAST_PIXELS}

    @property
    def count(self) -> int:
        """How many images have a copy."""
        return int(np.count_nonzero(self._sides))

    def image(self, index: int, at_least: int | None = None) -> Images:
        """The copy of an image, (height, width, 3); of an image that has none see `core.dataset.ImageSplit.image`.

        Raises:
            InputError: `dataset.image_lost` where a copy has to be made, and the image can't be read any more.
            OSError: the copy can't be written.
        """
        if not self._sides[index]:
            return self._split.image(index, at_least)
        pixels = _read(self._path(index))
        return _decoded(self._made(index)) if pixels is None else pixels

    def make(self, progress: Progress) -> int:
        """Makes the copies that the cache does not hold, and returns how many these were.

        Raises:
            InputError: `disk.full` when they would not fit, `dataset.image_lost`.
            OSError: one can't be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(self.folder, progress, "another run is making scaled-down copies of the same images: waiting"):
            used(self.folder)
            trim(self._cache)
            there = {path.name for path in self.folder.iterdir()}
            for part in (name for name in there if name.endswith(".part")):  # of a process that was killed
                (self.folder / part).unlink(missing_ok=True)
            missing = [int(n) for n in np.flatnonzero(self._sides) if self._path(int(n)).name not in there]
            if missing:
                self._make(missing, progress)
        return len(missing)

    def _make(self, missing: list[int], progress: Progress) -> None:
        pixels = sum(int(np.prod(self._shape(index))) for index in missing)
        needed = f"{BYTES_PER_PIXEL * pixels / 1e6:.0f} MB"
        if shutil.disk_usage(self.folder).free < BYTES_PER_PIXEL * pixels + 50_000_000:
            raise InputError(
                "disk.full",
                f"Scaled-down copies of {len(missing)} large photos need about {needed} in {self._cache}, which are "
                "not free.",
                "free some disk, or point the environment variable L2C_CACHE to another disk.",
            )
        progress.note(f"scaled-down copies of {len(missing)} large photos, for training: about {needed} more on disk")

        def one(index: int) -> None:  # what it makes is not held until all the images before it are done
            self._made(index)

        pool = ThreadPoolExecutor(usable_cores())
        try:
            with progress.stage("scaled-down copies", len(missing)) as stage:
                for _ in stage.track(pool.map(one, missing)):
                    pass
        finally:  # who interrupts it need not wait for those that were not begun
            pool.shutdown(cancel_futures=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index}.jpg"

    def _shape(self, index: int) -> tuple[int, int]:
        """(height, width) of a copy."""
        height, width = map(int, self._sizes[index])
        scale = int(self._sides[index]) / min(height, width)
        return round(scale * height), round(scale * width)

    def _made(self, index: int) -> bytes:
        """A copy as JPEG, new and kept."""
        photo = Image.fromarray(self._split.image(index, ceil(LEFT_TO_SCALE * self._sides[index])))
        copy, content = photo.resize(self._shape(index)[::-1], Image.Resampling.LANCZOS), BytesIO()
        copy.save(content, "JPEG", quality=QUALITY, subsampling=0)
        self._keep(index, content.getvalue())
        return content.getvalue()

    def _keep(self, index: int, content: bytes) -> None:
        # A name of its own: another thread or process may be making the same. What a crash of the machine leaves is
        # told by its checksum, so that nothing has to wait for the disk here.
        part = self.folder / f"{index}-{os.getpid()}-{threading.get_ident()}.part"
        if not (self.folder / LOCK).exists():  # by which `core.cache.trim` tells an entry
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / LOCK).touch()
        try:
            with naming(part):
                part.write_bytes(content + _checksum(content))
            part.replace(self._path(index))
        except FileNotFoundError:  # another process has tidied up: who wants it next makes it again
            return
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "little")


def _read(path: Path) -> Images | None:
    """The pixels of a copy, (height, width, 3); None where it is missing or damaged."""
    try:
        stored = path.read_bytes()
        content = stored[:-_CHECKSUM_BYTES]
        return _decoded(content) if stored[-_CHECKSUM_BYTES:] == _checksum(content) else None
    except Exception:  # noqa: BLE001 - decoders raise anything on damaged bytes
        return None


def _decoded(content: bytes) -> Images:
    with Image.open(BytesIO(content)) as image:
        return np.asarray(image)
