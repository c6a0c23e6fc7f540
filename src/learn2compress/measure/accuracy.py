"""How right a file is: LiteRT runs it on every image of a split."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.cores import usable_cores
from learn2compress.core.dataset import Images, ImageSplit, Labels, Probabilities
from learn2compress.core.errors import InputError
from learn2compress.core.family import Accuracy
from learn2compress.core.progress import Stage
from learn2compress.measure.graph import gives_logits
from learn2compress.measure.runtime import Port, open_interpreter, ports

Preprocess = Callable[[Images], NDArray[np.float32]]

CHUNK_BYTES = 8 << 20  # of images in the memory of one thread at a time
CHUNK_IMAGES = 64


@dataclass(frozen=True)
class Score:
    """Top-1 accuracy, as a fraction of 1.

    Attributes:
        accuracy: over all examples.
        per_class: of each class's own examples; None where a class has none.
        examples: how many there were.
    """

    accuracy: float
    per_class: tuple[float | None, ...]
    examples: int


def tflite_probabilities(
    path: str | Path,
    split: ImageSplit,
    indices: NDArray[np.int64] | None = None,
    *,
    threads: int | None = None,
    preprocess: Preprocess | None = None,
    stage: Stage | None = None,
) -> Probabilities:
    """The file's probabilities, shape (n, classes), dequantized, for the images at `indices`, in that order.

    Where the file gives logits, the softmax is applied here (of a single score: the sigmoid).

    Images are fetched at the file's input size. Without `preprocess`, a uint8 input takes the pixels as they
    are, an int8 input takes them shifted by -128, a float32 input takes 0.0 to 255.0.

    Args:
        path: the file.
        split: the images. `split.batch` is called from several threads at once.
        indices: which images (default: all).
        threads: interpreters at work at the same time, each single-threaded (default: the cores that may be used,
            at most 16). The outputs do not depend on it.
        preprocess: uint8 (n, height, width, 3) to the real values that the model was trained on, same shape;
            an integer input gets these quantized with its own scale. For the teacher's baselines.
        stage: advanced by the number of images done.

    Raises:
        InputError: `tflite.*` when the file can't be read or takes no single RGB image.
    """
    order = np.arange(len(split), dtype=np.int64) if indices is None else np.asarray(indices, dtype=np.int64)
    image_in, out = _image_ports(path)
    size = (image_in.shape[1], image_in.shape[2])
    result = np.empty((len(order), int(np.prod(out.shape))), np.float32)
    per_chunk = int(np.clip(CHUNK_BYTES // (size[0] * size[1] * 3), 1, CHUNK_IMAGES))
    own = threading.local()

    def run(start: int) -> int:
        # An interpreter holds one set of tensors, so each thread has its own; invoke() gives up the GIL.
        if not hasattr(own, "interpreter"):
            own.interpreter = open_interpreter(path)
        images = split.batch(order[start : start + per_chunk], size)
        stored = _stored(images, image_in, preprocess)
        for row, one in enumerate(stored, start):
            own.interpreter.set_tensor(image_in.index, one[None])
            own.interpreter.invoke()
            result[row] = out.dequantize(own.interpreter.get_tensor(out.index)).reshape(-1)
        return len(stored)

    pool = ThreadPoolExecutor(threads or usable_cores())
    try:
        for done in pool.map(run, range(0, len(order), per_chunk)):
            if stage is not None:
                stage.advance(done)
    finally:
        # Not `with`: that would run all waiting chunks before Ctrl-C or an error is heard.
        pool.shutdown(cancel_futures=True)
    return softmax(result) if gives_logits(path) else result


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of logits (n, classes); of a single score (n, 1) the sigmoid, the second of two classes' own."""
    if not logits.size:
        return logits
    if logits.shape[1] == 1:  # the first class' logit is 0, and not given
        return softmax(np.concatenate([0 * logits, logits], axis=1))[:, 1:]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def score(probabilities: Probabilities, labels: Labels) -> Score:
    """Top-1 accuracy of outputs (n, classes) against labels (n,). Of equal outputs the first class counts.

    Raises:
        InputError: `accuracy.shapes` when there is not one label per row, or a label is no column.
    """
    count, classes = probabilities.shape
    if labels.shape != (count,) or (count and not 0 <= labels.min() <= labels.max() < classes):
        raise InputError(
            "accuracy.shapes",
            f"Outputs of shape {probabilities.shape} do not fit labels of shape {labels.shape}"
            + (f" from {labels.min()} to {labels.max()}." if labels.size else "."),
            "use the data that the model was trained for: one label per image, one output per class.",
        )
    right = probabilities.argmax(axis=1) == labels
    totals = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[right], minlength=classes)
    per_class = tuple(float(h / n) if n else None for h, n in zip(hits, totals, strict=True))
    return Score(float(right.mean()) if count else 0.0, per_class, count)


def accuracy_record(validation: Score, test: Score) -> Accuracy:
    """What the manifest keeps of a model's scores on the two splits."""
    return Accuracy(
        validation=validation.accuracy,
        test=test.accuracy,
        validation_examples=validation.examples,
        test_examples=test.examples,
        per_class_test=test.per_class,
    )


def accuracy_of(
    path: str | Path,
    split: ImageSplit,
    *,
    threads: int | None = None,
    preprocess: Preprocess | None = None,
    stage: Stage | None = None,
) -> Score:
    """Top-1 accuracy of the file on the whole split; arguments as for `tflite_probabilities`."""
    outputs = tflite_probabilities(path, split, threads=threads, preprocess=preprocess, stage=stage)
    return score(outputs, split.labels)


def _image_ports(path: str | Path) -> tuple[Port, Port]:
    image_in, out = ports(open_interpreter(path), path)
    shape = image_in.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or min(shape) < 1:
        raise InputError(
            "tflite.input_shape",
            f"{path} takes an input of shape {shape}; an RGB image is (1, height, width, 3).",
            "convert the model with a batch of 1 and a fixed image size.",
        )
    if image_in.dtype not in (np.uint8, np.int8, np.float32):
        raise InputError(
            "tflite.input_type",
            f"{path} takes {image_in.dtype}; an image is uint8, int8 or float32.",
            "convert the model with one of these as its input type.",
        )
    return image_in, out


def _stored(images: Images, image_in: Port, preprocess: Preprocess | None) -> NDArray[Any]:
    if preprocess is not None:
        return image_in.quantize(preprocess(images))
    if image_in.dtype == np.int8:
        return (images ^ np.uint8(128)).view(np.int8)  # flipping the top bit is subtracting 128
    return images.astype(image_in.dtype, copy=False)
