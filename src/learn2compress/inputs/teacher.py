"""The teacher: the user's trained model, checked, its preprocessing known, ready to give probabilities."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Dataset, Images, Labels, Probabilities
from learn2compress.core.errors import InputError
from learn2compress.core.progress import SILENT, Progress
from learn2compress.inputs.classifier import (
    ClassifierShape,
    class_count,
    classifier_shape,
    kept_outputs,
)
from learn2compress.inputs.keras_file import load_keras_file
from learn2compress.inputs.outputs import Outputs, as_probabilities, outputs_kind
from learn2compress.inputs.preprocessing import RAW, Preprocessing, choose_preprocessing, parse_preprocess
from learn2compress.inputs.runner import Runner, callable_runner, keras_runner, run_all
from learn2compress.inputs.splits import balanced_sample

SAMPLE_IMAGES = 256
_LARGE_PIXELS = 128 * 128  # half as many images of this size and more: the teacher takes its time on them
_EVIDENCE_IMAGES = 64  # enough to tell probabilities from logits
_BLIND_IMAGES = 16  # made-up images to try a model on when there is no data


@dataclass(frozen=True)
class Teacher:
    """A trained classifier; satisfies `core.dataset.Predictor`.

    Attributes:
        name: for people.
        input_size: (height, width) of the images it takes.
        classes: number of classes.
        fingerprint: hex digest of weights, architecture and preprocessing.
        preprocess: what is done to the pixels before the model sees them.
        outputs: what the model gives: `probabilities`; `scores` (in 0..1, but not summing to 1, as sigmoids
            give; they are divided by their sum); or `logits` (softmax is applied).
        parameters: number of weights; None for a callable.
        source: path of the file, `live model` or `callable`.
        keras_model: the model, or None for a callable.
        channels: 3, or 1 where it takes grey images.
        licence: as the user states it; empty where not stated.
    """

    name: str
    input_size: tuple[int, int]
    classes: int
    fingerprint: str
    preprocess: Preprocessing
    outputs: Outputs
    parameters: int | None
    source: str
    keras_model: Any = field(repr=False)
    channels: int
    _run: Runner = field(repr=False, compare=False)
    licence: str = ""

    def predict(self, images: Images) -> Probabilities:
        """Class probabilities (n, classes) for uint8 RGB images (n, height, width, 3) of `input_size`."""
        expected = (*self.input_size, 3)
        if images.dtype != np.uint8 or images.shape[1:] != expected:
            raise ValueError(f"got {images.dtype} {images.shape}, expected uint8 (n, *{expected})")
        return as_probabilities(run_all(self._run, self.preprocess, images, self.channels), self.outputs)


def load_teacher(
    model: Any,
    *,
    dataset: Dataset | None = None,
    preprocess: str = "auto",
    input_size: tuple[int, int] | None = None,
    progress: Progress = SILENT,
) -> Teacher:
    """Loads a teacher and finds out how to use it.

    Args:
        model: path of a `.keras` or `.h5` file; a live `keras.Model`; or a callable that takes images
            (n, height, width, 3), float32 or uint8, and returns scores (n, classes).
        dataset: used to find the preprocessing, and the input size where the model takes any. Without it
            `auto` means `raw`.
        preprocess: `auto`, `raw`, `unit`, `signed`, `torch`, `caffe`, `MEAN,STD`.
        input_size: (height, width), where the model itself takes any.
        progress: gets the steps and a note on the preprocessing.

    Raises:
        InputError: with a code `teacher.…` or `preprocess.…`.
    """
    wanted = parse_preprocess(preprocess)
    name, source, keras_model = _resolve(model)
    shape = classifier_shape(keras_model, name) if keras_model is not None else None
    kept = kept_outputs(shape.classes, dataset, name, progress) if shape and dataset else None
    if kept is not None and shape is not None:
        keras_model = _narrowed(keras_model, kept, name, progress)
        shape = replace(shape, classes=len(kept))
    size = (shape.size if shape else None) or input_size or _size_of(dataset, name)
    if input_size is not None and input_size != size:
        raise InputError(
            "teacher.input_size",
            f"{name} takes images of {size}, not of {input_size}.",
            "leave out the input size.",
        )
    channels = shape.channels if shape else 3
    if keras_model is not None:
        run = keras_runner(keras_model, (*size, channels), name)
    else:
        run = callable_runner(model, size, name)
    images, labels = _sample(dataset, size)
    probe = run_all(run, RAW, images[:2], channels)
    if shape is None:
        classes = class_count((None, *probe.shape[1:]), name)
        kept = kept_outputs(classes, dataset, name, progress) if dataset else None
        if kept is not None:
            # A model whose graph can't be read is from here on the function that it is.
            run, keras_model = _selecting(run, kept), None
            classes = len(kept)
        shape = ClassifierShape(None, channels, classes)
    chosen = wanted
    if chosen is None and labels is not None:
        chosen = choose_preprocessing(
            lambda candidate, indices: run_all(run, candidate, images[indices], channels),
            labels,
            channels,
            progress,
        )
    chosen = chosen or RAW
    scores = run_all(run, chosen, images[:: max(1, len(images) // _EVIDENCE_IMAGES)], channels)
    broken = int((~np.isfinite(scores).all(axis=1)).sum())
    if broken:
        raise InputError(
            "teacher.nan",
            f"{name} gives NaN or infinite outputs on {broken} of {len(scores)} images.",
            "its weights may be damaged (look for NaN in model.get_weights()), or --preprocess is wrong.",
        )
    return Teacher(
        name=name,
        input_size=size,
        classes=shape.classes,
        fingerprint=_fingerprint(keras_model, scores, chosen, size),
        preprocess=chosen,
        outputs=outputs_kind(keras_model, scores),
        parameters=int(keras_model.count_params()) if keras_model is not None else None,
        source=source,
        keras_model=keras_model,
        channels=channels,
        _run=run,
    )


def _narrowed(model: Any, kept: NDArray[np.int64], name: str, progress: Progress) -> Any:
    """The teacher without the outputs that are not kept."""
    from learn2compress.graph.calls import UnreadableGraphError
    from learn2compress.graph.outputs import with_outputs

    try:
        narrowed = with_outputs(model, kept)
    except (UnreadableGraphError, ValueError) as error:
        raise InputError(
            "teacher.outputs",
            f"Outputs of {name} can't be left out: {error}.",
            "give a function that calls the model and returns the scores of the data's classes.",
        ) from error
    before, after = model.count_params(), narrowed.count_params()
    progress.note(f"without them {name} has {after:,} weights instead of {before:,} ({1 - after / before:.0%} fewer)")
    return narrowed


def _selecting(run: Runner, kept: NDArray[np.int64]) -> Runner:
    return lambda images: run(images)[:, kept]


def _resolve(model: Any) -> tuple[str, str, Any]:
    """(name, source, Keras model or None) of whatever was given."""
    if isinstance(model, (str, Path)):
        path = Path(model).expanduser()
        return path.stem, str(path), load_keras_file(path)
    keras = sys.modules.get("keras")  # a live Keras model can't exist where Keras is not imported
    if keras is not None and isinstance(model, keras.Model):
        return str(model.name), "live model", model
    if callable(model):
        return getattr(model, "__name__", type(model).__name__), "callable", None
    raise InputError(
        "teacher.unknown_kind",
        f"A {type(model).__name__} is no model that can teach.",
        "give the path of a .keras or .h5 file, a keras.Model, or a function from images to scores.",
    )


def _size_of(dataset: Dataset | None, name: str) -> tuple[int, int]:
    """The images' own size, for a model that takes any: as stored; where sizes differ, their short side."""
    if dataset is None:
        raise InputError(
            "teacher.size_unknown",
            f"{name} takes images of any size, and nothing says which.",
            "give the data too (--data), or the input size.",
        )
    some = {dataset.train.image(i).shape for i in range(min(8, len(dataset.train)))}
    height, width = dataset.image_size
    return (height, width) if len(some) == 1 else (min(height, width),) * 2


def _sample(dataset: Dataset | None, size: tuple[int, int]) -> tuple[Images, Labels | None]:
    """Training images as evenly over the classes as can be, with labels; without a dataset, noise."""
    if dataset is None:
        return np.random.default_rng(0).integers(0, 256, (_BLIND_IMAGES, *size, 3), np.uint8), None
    count = SAMPLE_IMAGES // 2 if size[0] * size[1] >= _LARGE_PIXELS else SAMPLE_IMAGES
    indices = balanced_sample(dataset.train.labels, count)
    return dataset.train.batch(indices, size), dataset.train.labels[indices]


def _fingerprint(
    keras_model: Any, outputs: NDArray[np.float32], preprocess: Preprocessing, size: tuple[int, int]
) -> str:
    """Of weights and architecture; of a callable, which shows neither, of what it says to the sample."""
    digest = hashlib.sha256(repr((preprocess, size)).encode())
    if keras_model is None:
        digest.update(np.round(outputs, 3).tobytes())
        return digest.hexdigest()
    try:
        digest.update(keras_model.to_json().encode())
    except (NotImplementedError, TypeError, ValueError):  # a subclassed model need not be serialisable
        digest.update(type(keras_model).__qualname__.encode())
        digest.update(np.round(outputs, 3).tobytes())
    for weight in keras_model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()
