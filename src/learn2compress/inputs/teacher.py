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
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.inputs.channels_first import channels_last
from learn2compress.inputs.classifier import (
    ClassifierShape,
    class_count,
    classifier_shape,
    kept_outputs,
)
from learn2compress.inputs.framing import advise_framing
from learn2compress.inputs.label_order import find_order
from learn2compress.inputs.model_files.black_box import BlackBox, Names
from learn2compress.inputs.model_files.keras_names import named_model, no_names
from learn2compress.inputs.model_files.kinds import EXPECTED, load_model_file
from learn2compress.inputs.outputs import Outputs, as_probabilities, outputs_kind
from learn2compress.inputs.preprocessing import RAW, Preprocessing, parse_preprocess
from learn2compress.inputs.preprocessing_search import choose_preprocessing, predictions, rescaling_layer
from learn2compress.inputs.runner import Runner, callable_runner, keras_runner, run_all
from learn2compress.inputs.splits import balanced_sample

SAMPLE_IMAGES = 256
_LARGE_PIXELS = 128 * 128  # half as many images of this size and more: the teacher takes its time on them
_EVIDENCE_IMAGES = 64  # enough to tell probabilities from logits
# Students of ours have two layers at least that need room; larger images than these are not classified on devices.
SMALLEST_SIDE, LARGEST_SIDE = 4, 4096
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
        parameters: number of weights; None where it is not known, as of a callable.
        source: path of the file, `live model` or `callable`.
        keras_model: the model, or None for a callable and for files that are black boxes.
        channels: 3, or 1 where it takes grey images.
        findings: sentences on what was found out of it: preprocessing, which outputs stand for which classes.
        preprocess_accuracies: of each preprocessing that was tried; empty where it was given.
        box: what it is where it is a file without a Keras model.
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
    findings: tuple[str, ...] = field(default=(), compare=False)
    preprocess_accuracies: dict[str, float] = field(default_factory=dict, compare=False)
    box: BlackBox | None = None
    licence: str = ""

    @property
    def given_file(self) -> Path | None:
        """The `.tflite` file that it is, as it was given; None where it is anything else."""
        return self.box.file if self.box is not None else None

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
    names: Names = Names(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> Teacher:
    """Loads a teacher and finds out how to use it.

    Args:
        model: path of a model file (see `inputs.model_files.kinds`); a live `keras.Model`; or a callable that takes
            images (n, height, width, 3) or (n, 3, height, width), float32 or uint8, and returns scores (n, classes).
        dataset: used to find the preprocessing, and the input size where the model takes any. Without it
            `auto` means `raw`.
        preprocess: `auto`, a name of `preprocessing.NAMED`, or `MEAN,STD`.
        input_size: (height, width), where the model itself takes any.
        names: of the input and output to use, where the model has several.
        progress: gets the steps and a note on the preprocessing.

    Raises:
        InputError: with a code `teacher.…` or `preprocess.…`.
    """
    heard: list[Event] = []
    progress = progress.with_listener(heard.append)
    wanted = parse_preprocess(preprocess)
    name, source, keras_model, box = _resolve(model, names)
    if keras_model is not None:
        keras_model = channels_last(keras_model, name)
    shape = classifier_shape(keras_model, name) if keras_model is not None else None
    kept = kept_outputs(shape.classes, dataset, name, progress) if shape and dataset else None
    if kept is not None and shape is not None:
        keras_model = _narrowed(keras_model, kept, name, progress)
        shape = replace(shape, classes=len(kept))
    own = shape.size if shape else box.form.size if box else None
    size = own or input_size or _size_of(dataset, name)
    _refuse_strange_size(size, name)
    if input_size is not None and input_size != size:
        raise InputError(
            "teacher.input_size",
            f"{name} takes images of {size}, not of {input_size}.",
            "leave out the input size.",
        )
    channels = shape.channels if shape else box.form.channels if box else 3
    if keras_model is not None:
        run = keras_runner(keras_model, (*size, channels), name)
    elif box is not None:
        run = box.run
    else:
        run = callable_runner(model, size, name)
    images, labels = _sample(dataset, size)
    probe = run_all(run, RAW, images[:2], channels)
    if shape is None:
        classes = class_count((None, *probe.shape[1:]), name)
        kept = kept_outputs(classes, dataset, name, progress) if dataset else None
        if kept is not None:
            # A model whose graph can't be read is from here on the function that it is.
            run, keras_model, box = _selecting(run, kept), None, _narrowed_box(box, kept)
            classes = len(kept)
        shape = ClassifierShape(None, channels, classes)
    wanted = _said_by(box, wanted, name)
    chosen, accuracies = wanted or RAW, {}
    predicted: Labels | None = None
    if wanted is None and labels is not None:
        found = choose_preprocessing(
            lambda candidate, indices: run_all(run, candidate, images[indices], channels),
            labels,
            channels,
            progress,
            rescaling_layer(keras_model),
        )
        chosen, accuracies, predicted = found.preprocess, found.accuracies, found.predicted
    if dataset is not None and labels is not None and kept is None and not dataset.output_names:
        order = _order(
            run, chosen, channels, size, dataset, (images, labels, predicted), shape.classes, name, progress
        )
        if order is not None:
            keras_model, run = _taking(keras_model, run, order, (*size, channels), name, progress)
            box = _narrowed_box(box, order)
            shape = replace(shape, classes=len(order))
    if wanted is None and dataset is not None:
        advise_framing(
            lambda some: predictions(run_all(run, chosen, some, channels)), dataset.train, size, name, progress
        )
    scores = run_all(run, chosen, images[:: max(1, len(images) // _EVIDENCE_IMAGES)], channels)
    _refuse_broken(scores, name)
    return Teacher(
        name=name,
        input_size=size,
        classes=shape.classes,
        fingerprint=_fingerprint(keras_model, box, scores, chosen, size),
        preprocess=chosen,
        outputs=outputs_kind(keras_model, scores),
        parameters=int(keras_model.count_params()) if keras_model is not None else box.parameters if box else None,
        source=source,
        keras_model=keras_model,
        channels=channels,
        _run=run,
        findings=tuple(event.message for event in heard if event.kind in ("note", "warning")),
        preprocess_accuracies=accuracies,
        box=box,
    )


def _refuse_broken(scores: NDArray[np.float32], name: str) -> None:
    """Raises `teacher.nan` where outputs (images, classes) are no numbers."""
    broken = int((~np.isfinite(scores).all(axis=1)).sum())
    if broken:
        raise InputError(
            "teacher.nan",
            f"{name} gives NaN or infinite outputs on {broken} of {len(scores)} images.",
            "its weights may be damaged (look for NaN in model.get_weights()), or --preprocess is wrong.",
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
            f"Outputs of {name} can't be left out or put in the data's order: {error}.",
            "give --labels FILE in the order of the model's outputs where they are as many as the data's classes; "
            "else, in Python, a function that calls the model and returns the scores of the data's classes.",
        ) from error
    before, after = model.count_params(), narrowed.count_params()
    if before == after:
        return narrowed
    progress.note(
        f"without the other outputs {name} has {after:,} weights instead of {before:,} "
        f"({1 - after / before:.0%} fewer)"
    )
    return narrowed


def _order(
    run: Runner,
    preprocess: Preprocessing,
    channels: int,
    size: tuple[int, int],
    dataset: Dataset,
    sample: tuple[Images, Labels, Labels | None],
    outputs: int,
    name: str,
    progress: Progress,
) -> NDArray[np.int64] | None:
    """For each class the output that stands for it; None where they are in the data's order."""

    def says(images: Images) -> Labels:
        return predictions(run_all(run, preprocess, images, channels))

    images, labels, predicted = sample
    return find_order(
        lambda indices: says(dataset.train.batch(indices, size)),
        dataset.train.labels,
        says(images) if predicted is None else predicted,
        labels,
        outputs,
        dataset.class_names,
        name,
        progress,
    )


def _taking(
    model: Any,
    run: Runner,
    order: NDArray[np.int64],
    image_shape: tuple[int, int, int],
    name: str,
    progress: Progress,
) -> tuple[Any, Runner]:
    """The model, None where it is none of Keras', and its runner, with the outputs in another order."""
    if model is None:
        return None, _selecting(run, order)
    reordered = _narrowed(model, order, name, progress)
    return reordered, keras_runner(reordered, image_shape, name)


def _narrowed_box(box: BlackBox | None, kept: NDArray[np.int64]) -> BlackBox | None:
    """The same file with fewer outputs, or in another order; by itself it is no stand-in for the teacher any more."""
    if box is None:
        return None
    return replace(box, digest=f"{box.digest} {kept.tolist()}", symbolic=None, file=None)


def _said_by(box: BlackBox | None, wanted: Preprocessing | None, name: str) -> Preprocessing | None:
    """The preprocessing that is asked for, or that a file's input says; None to find it out.

    Raises:
        InputError: `preprocess.whole_numbers`.
    """
    if box is None or box.preprocess is None:
        return wanted
    if box.preprocess == RAW and wanted not in (None, RAW) and box.form.port.dtype != "int8":
        raise InputError(
            "preprocess.whole_numbers",
            f"{name} takes pixels as whole numbers ({box.form.port}): nothing can be done to them before.",
            "leave --preprocess away.",
        )
    return wanted or box.preprocess


def _selecting(run: Runner, kept: NDArray[np.int64]) -> Runner:
    return lambda images: run(images)[:, kept]


def _resolve(model: Any, names: Names) -> tuple[str, str, Any, BlackBox | None]:
    """(name, source, Keras model or None, black box or None) of whatever was given; a callable is neither."""
    if isinstance(model, (str, Path)):
        path = Path(model).expanduser()
        loaded = load_model_file(path, names)
        if isinstance(loaded, BlackBox):
            return path.stem, str(path), None, loaded
        return path.stem, str(path), loaded, None
    keras = sys.modules.get("keras")  # a live Keras model can't exist where Keras is not imported
    if keras is not None and isinstance(model, keras.Model):
        return str(model.name), "live model", named_model(model, names, str(model.name)), None
    if callable(model):
        name = getattr(model, "__name__", type(model).__name__)
        if names != Names():
            raise no_names(name)
        return name, "callable", None, None
    raise InputError(
        "teacher.unknown_kind",
        f"A {type(model).__name__} is no model that can teach.",
        f"give a keras.Model, a function from images to scores, or a path; {EXPECTED}.",
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


def _refuse_strange_size(size: tuple[int, int], name: str) -> None:
    if min(size) >= SMALLEST_SIDE and max(size) <= LARGEST_SIDE:
        return
    raise InputError(
        "teacher.input_size",
        f"{name} would take images of {size[0]:,} x {size[1]:,} pixels.",
        f"give a model for images of at least {SMALLEST_SIDE} and at most {LARGEST_SIDE:,} pixels a side.",
    )


def _sample(dataset: Dataset | None, size: tuple[int, int]) -> tuple[Images, Labels | None]:
    """Training images as evenly over the classes as can be, with labels; without a dataset, noise."""
    if dataset is None:
        return np.random.default_rng(0).integers(0, 256, (_BLIND_IMAGES, *size, 3), np.uint8), None
    count = SAMPLE_IMAGES // 2 if size[0] * size[1] >= _LARGE_PIXELS else SAMPLE_IMAGES
    indices = balanced_sample(dataset.train.labels, count)
    return dataset.train.batch(indices, size), dataset.train.labels[indices]


def _fingerprint(
    keras_model: Any,
    box: BlackBox | None,
    outputs: NDArray[np.float32],
    preprocess: Preprocessing,
    size: tuple[int, int],
) -> str:
    """Of weights and architecture; of a file; of a callable, which shows neither, of what it says to the sample."""
    digest = hashlib.sha256(repr((preprocess, size)).encode())
    if box is not None:
        digest.update(box.digest.encode())
        return digest.hexdigest()
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
