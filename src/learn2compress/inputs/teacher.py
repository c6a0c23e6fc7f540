"""The teacher: the user's trained model, checked, its preprocessing known, ready to give probabilities."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.chunks import chunks
from learn2compress.core.dataset import Dataset, Images, ImageSplit, Labels, Probabilities
from learn2compress.core.errors import InputError
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.inputs.classifier import kept_outputs
from learn2compress.inputs.framing import advise_framing
from learn2compress.inputs.label_order import find_order
from learn2compress.inputs.model_files.black_box import BlackBox, Names, OwnWords
from learn2compress.inputs.outputs import Outputs, as_probabilities, outputs_kind
from learn2compress.inputs.preprocessing import RAW, Preprocessing, parse_preprocess
from learn2compress.inputs.preprocessing_search import (
    IMAGES_FOR_ORDER,
    Found,
    TeacherOutputs,
    choose_preprocessing,
    rescaling_layer,
)
from learn2compress.inputs.runnable import Runnable, open_model
from learn2compress.inputs.single_score import telling_two_apart
from learn2compress.inputs.splits import balanced_sample, sample_of
from learn2compress.inputs.taken_at_word import outputs_by_label, preferring_own

SAMPLE_IMAGES = 256
_LARGE_PIXELS = 128 * 128  # half as many images of this size and more: the teacher takes its time on them
_EVIDENCE_IMAGES = 64  # enough to tell probabilities from logits
_BLIND_IMAGES = 4  # made-up images to try a model on when there is no data


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
    _model: Runnable = field(repr=False, compare=False)
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
        return as_probabilities(self._model.scores(images, self.preprocess), self.outputs)


def load_teacher(
    model: Any,
    *,
    dataset: Dataset | None = None,
    preprocess: str = "auto",
    input_size: tuple[int, int] | None = None,
    names: Names = Names(),  # noqa: B008 - frozen
    said: OwnWords = OwnWords(),  # noqa: B008 - frozen
    progress: Progress = SILENT,
) -> Teacher:
    """Loads a teacher and finds out how to use it.

    Args:
        model: path of a model file (see `inputs.model_files.kinds`); a live `keras.Model`; or a callable that takes
            images (n, height, width, 3) or (n, 3, height, width), float32 or uint8, and returns scores (n, classes).
            One score (n, 1) tells two classes apart, and is that of the second.
        dataset: used to find the preprocessing, and the input size where the model takes any. Without it
            `auto` means `raw`.
        preprocess: `auto`, a name of `preprocessing.NAMED`, or `MEAN,STD`.
        input_size: (height, width), where the model itself takes any.
        names: of the input and output to use, where the model has several.
        said: what the model's file says of itself; heeded where the user says nothing and images don't contradict.
        progress: gets the steps and a note on the preprocessing.

    Raises:
        InputError: with a code `teacher.…` or `preprocess.…`.
    """
    heard: list[Event] = []
    progress = progress.with_listener(heard.append)
    wanted = parse_preprocess(preprocess)
    opened = telling_two_apart(open_model(model, names, dataset, input_size, progress), dataset, progress)
    named = outputs_by_label(said.labels, opened.classes, dataset, opened.name, progress)
    known = _with_known_classes(opened, dataset, named, progress)
    sample = _sample(dataset, known.size)
    found = _preprocessing(known, wanted, dataset, sample, progress)
    if wanted is None and sample.labels is not None:
        found = preferring_own(
            found, said.preprocess, lambda own: known.scores(sample.images, own), sample.labels, progress
        )
    settled = named is None and known is not opened
    ordered = known if settled else _in_order_of_data(known, found, dataset, sample, progress)
    if wanted is None and dataset is not None:
        advise_framing(
            lambda some: ordered.says(some, found.preprocess), dataset.train, ordered.size, ordered.name, progress
        )
    scores = _evidence(ordered, sample, found.preprocess)
    _refuse_broken(scores, ordered.name)
    return Teacher(
        name=ordered.name,
        input_size=ordered.size,
        classes=ordered.classes,
        fingerprint=_fingerprint(ordered, scores, found.preprocess),
        preprocess=found.preprocess,
        outputs=outputs_kind(ordered.keras_model, scores),
        parameters=ordered.parameters,
        source=ordered.source,
        keras_model=ordered.keras_model,
        channels=ordered.channels,
        _model=ordered,
        findings=tuple(event.message for event in heard if event.kind in ("note", "warning")),
        preprocess_accuracies=found.accuracies,
        box=ordered.box,
    )


@dataclass(frozen=True)
class _Sample:
    """Training images (n, height, width, 3), and their labels (n,) where there is a dataset."""

    images: Images
    labels: Labels | None


def _sample(dataset: Dataset | None, size: tuple[int, int]) -> _Sample:
    """As evenly over the classes as can be; without a dataset, noise."""
    if dataset is None:
        return _Sample(np.random.default_rng(0).integers(0, 256, (_BLIND_IMAGES, *size, 3), np.uint8), None)
    count = SAMPLE_IMAGES // 2 if size[0] * size[1] >= _LARGE_PIXELS else SAMPLE_IMAGES
    indices = balanced_sample(dataset.train.labels, count)
    return _Sample(dataset.train.batch(indices, size), dataset.train.labels[indices])


def _sample_of_few_classes(dataset: Dataset, size: tuple[int, int], count: int) -> tuple[Images, Labels]:
    """At most `count` training images and their labels, of so few classes that each has enough to find its output."""
    labels = dataset.train.labels
    enough = np.minimum(np.bincount(labels, minlength=dataset.classes), IMAGES_FOR_ORDER)
    # In a disorder, as neighbours by name may look alike; those with enough images first.
    order = np.random.default_rng(0).permutation(dataset.classes)
    order = order[np.argsort(-enough[order], kind="stable")]
    indices = sample_of(labels, order[: max(2, count // IMAGES_FOR_ORDER)], count)
    return dataset.train.batch(indices, size), labels[indices]


def _with_known_classes(
    model: Runnable, dataset: Dataset | None, named: NDArray[np.int64] | None, progress: Progress
) -> Runnable:
    """With the outputs that names say are the data's classes, the file's own first; the same where they don't say."""
    kept = named
    if named is None and dataset is not None:
        kept = kept_outputs(model.classes, dataset, model.name, progress)
    elif named is not None and np.array_equal(named, np.arange(model.classes)):
        kept = None
    return model if kept is None else model.taking(kept, progress)


def _preprocessing(
    model: Runnable, wanted: Preprocessing | None, dataset: Dataset | None, sample: _Sample, progress: Progress
) -> Found:
    """What is asked for, what a file's input says, or else what does best on the sample."""
    wanted = _said_by(model.box, wanted, model.name)
    if wanted is not None or dataset is None or sample.labels is None:
        return Found(wanted or RAW)
    known, labels = dataset, sample.labels

    def outputs_on(images: Images) -> TeacherOutputs:
        return lambda candidate, indices: model.scores(images[indices], candidate)

    def of_few_classes() -> tuple[TeacherOutputs, Labels]:
        images, their_labels = _sample_of_few_classes(known, model.size, len(labels))
        return outputs_on(images), their_labels

    return choose_preprocessing(
        outputs_on(sample.images),
        labels,
        model.channels,
        progress,
        rescaling_layer(model.keras_model),
        of_few_classes,
    )


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


def _in_order_of_data(
    model: Runnable, found: Found, dataset: Dataset | None, sample: _Sample, progress: Progress
) -> Runnable:
    """With its outputs in the order of the data's classes; the same where they are, or where the user names them."""
    if dataset is None or sample.labels is None or dataset.output_names:
        return model
    order = find_order(
        lambda indices: _said(model, found.preprocess, dataset.train, indices),
        dataset.train.labels,
        model.says(sample.images, found.preprocess) if found.predicted is None else found.predicted,
        sample.labels,
        model.classes,
        dataset.class_names,
        model.name,
        progress,
    )
    return model if order is None else model.taking(order, progress)


def _said(model: Runnable, preprocess: Preprocessing, split: ImageSplit, indices: NDArray[np.int64]) -> Labels:
    """The output that the model says on images of a split, shape (len(indices),), in pieces that memory holds."""
    return np.concatenate(
        [model.says(split.batch(some, model.size), preprocess) for some in chunks(indices, model.size)]
    )


def _evidence(model: Runnable, sample: _Sample, preprocess: Preprocessing) -> NDArray[np.float32]:
    """Outputs (images, classes) on some of the sample; without data, those on the noise that it was tried on."""
    if sample.labels is None and preprocess == RAW:
        return model.tried
    return model.scores(sample.images[:: max(1, len(sample.images) // _EVIDENCE_IMAGES)], preprocess)


def _refuse_broken(scores: NDArray[np.float32], name: str) -> None:
    """Raises `teacher.nan` where outputs (images, classes) are no numbers."""
    broken = int((~np.isfinite(scores).all(axis=1)).sum())
    if broken:
        raise InputError(
            "teacher.nan",
            f"{name} gives NaN or infinite outputs on {broken} of {len(scores)} images.",
            "its weights may be damaged (look for NaN in model.get_weights()), or --preprocess is wrong.",
        )


def _fingerprint(model: Runnable, outputs: NDArray[np.float32], preprocess: Preprocessing) -> str:
    """Of weights and architecture; of a file; of a callable, which shows neither, of what it says to the sample."""
    digest = hashlib.sha256(repr((preprocess, model.size)).encode())
    if model.box is not None:
        digest.update(model.box.digest.encode())
        return digest.hexdigest()
    keras_model = model.keras_model
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
