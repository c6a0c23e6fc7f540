"""What labels the views: the teacher itself, or its float32 file, which LiteRT often runs faster on a CPU."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from learn2compress.core.cores import usable_cores
from learn2compress.core.dataset import Images, ImageSplit, Predictor, Probabilities
from learn2compress.measure.runtime import open_interpreter, ports

TIMED_IMAGES = 128
# The same arithmetic in another order: anything beyond this is another model.
LARGEST_DIFFERENCE = 1e-3


class FileTeacher:
    """Runs a float32 file that takes pixels 0..255; stands in for the teacher that it was converted from."""

    def __init__(self, teacher: Predictor, path: Path) -> None:
        self.input_size = teacher.input_size
        self.fingerprint = teacher.fingerprint
        self._path = path
        self._threads = usable_cores()
        self._pool = ThreadPoolExecutor(self._threads)
        self._own = threading.local()

    def predict(self, images: Images) -> Probabilities:
        """Class probabilities (n, classes) for uint8 images (n, height, width, 3)."""
        return np.concatenate(list(self._pool.map(self._run, np.array_split(images, self._threads))))

    def _run(self, images: Images) -> Probabilities:
        if not hasattr(self._own, "interpreter"):
            # One interpreter a thread: it holds one set of tensors.
            self._own.interpreter = open_interpreter(self._path)
            self._own.ports = ports(self._own.interpreter, self._path)
        interpreter, (image_in, out) = self._own.interpreter, self._own.ports
        outputs = np.empty((len(images), out.shape[-1]), np.float32)
        for row, image in enumerate(images):
            interpreter.set_tensor(image_in.index, image[None].astype(np.float32))
            interpreter.invoke()
            outputs[row] = interpreter.get_tensor(out.index).reshape(-1)
        return outputs


def fastest_labeller(teacher: Predictor, path: Path | None, split: ImageSplit) -> tuple[Predictor, float, str]:
    """The faster of the teacher and its float32 file, if the file computes the same.

    Returns:
        What to label with, how many images per second it labels once they are in memory, and its name (`LiteRT` or
        `the teacher itself`).
    """
    images = split.batch(np.arange(min(TIMED_IMAGES, len(split))), teacher.input_size)
    expected, own_rate = _timed(teacher, images)
    if path is None:
        return teacher, own_rate, "the teacher itself"
    of_file = FileTeacher(teacher, path)
    got, file_rate = _timed(of_file, images)
    if file_rate <= own_rate or np.abs(got - expected).max() > LARGEST_DIFFERENCE:
        return teacher, own_rate, "the teacher itself"
    return of_file, file_rate, "LiteRT"


def _timed(predictor: Predictor, images: Images) -> tuple[Probabilities, float]:
    predictor.predict(images)  # compiles, loads, warms the caches
    started = time.perf_counter()
    outputs = predictor.predict(images)
    return outputs, len(images) / (time.perf_counter() - started)
