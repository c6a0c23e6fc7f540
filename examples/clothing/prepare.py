"""Makes the embedded example from the full set: fewer photos, and the teacher's weights as float16.

    python prepare.py CLOTHING_FOLDER TEACHER.keras

CLOTHING_FOLDER holds `train/ val/ test/` of class folders with 96x96 photos of the "clothing dataset (small)" (CC0).
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
# Photos a class at most; the test split is kept whole, so that its accuracies compare with the full set's.
MOST = {"train": 120, "val": 20, "test": 10_000}
QUALITY = 72


def copy_photos(source: Path, destination: Path) -> int:
    """Copies evenly spaced photos of each class, re-encoded; returns the bytes written."""
    shutil.rmtree(destination, ignore_errors=True)
    total = 0
    for split, most in MOST.items():
        for folder in sorted((source / split).iterdir()):
            photos = sorted(folder.glob("*.jpg"))
            kept = np.unique(np.linspace(0, len(photos) - 1, min(most, len(photos))).astype(int))
            target = destination / split / folder.name
            target.mkdir(parents=True)
            for number in kept:
                buffer = io.BytesIO()
                Image.open(photos[number]).convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True)
                # A re-encoded photo is not always smaller.
                best = min(buffer.getvalue(), photos[number].read_bytes(), key=len)
                (target / photos[number].name).write_bytes(best)
                total += len(best)
    return total


def copy_teacher(source: Path, destination: Path) -> int:
    """Stores the weights as float16 (Keras reads them back into float32) and drops the optimizer; returns bytes."""
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(source) as archive:
        weights = Path(archive.extract("model.weights.h5", temporary))
        half = Path(temporary) / "half.h5"
        with h5py.File(weights) as full, h5py.File(half, "w") as small:

            def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
                if name.startswith("optimizer"):
                    return
                if isinstance(item, h5py.Dataset):
                    small.create_dataset(name, data=item[()].astype(np.float16), compression="gzip")
                else:
                    small.require_group(name)
                for key, value in item.attrs.items():
                    small[name].attrs[key] = value

            full.visititems(copy)
        with zipfile.ZipFile(destination, "w", zipfile.ZIP_STORED) as out:
            for name in ("metadata.json", "config.json"):
                out.writestr(name, archive.read(name))
            out.write(half, "model.weights.h5")
    return destination.stat().st_size


if __name__ == "__main__":
    print("photos", copy_photos(Path(sys.argv[1]), HERE / "photos"), "bytes")
    print("teacher", copy_teacher(Path(sys.argv[2]), HERE / "teacher.keras"), "bytes")
