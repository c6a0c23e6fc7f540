"""A teacher that is trained along with its students (`--teacher joint`), and what it has become."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.dataset import Dataset, Predictor
from learn2compress.core.errors import ConversionError, InputError
from learn2compress.core.progress import Progress
from learn2compress.core.whole_files import write_whole
from learn2compress.export.convert import to_float32
from learn2compress.graph.trunk import build_whole, own_layers
from learn2compress.inputs.symbolic import pixels_to_probabilities
from learn2compress.inputs.teacher import Teacher, load_teacher
from learn2compress.measure.labeller import fastest_labeller
from learn2compress.stages.baselines import direct_accuracy
from learn2compress.train.trainable import plain, with_pixels

FILE = "teacher.keras"
_KEY = "improved teacher"


def trainable_teacher(teacher: Teacher) -> keras.Model:
    """A copy of the teacher to train, `(pixels - 128) / 128` to logits (n, classes).

    Raises:
        InputError: `teacher.not_trainable`.
    """
    own = own_layers(teacher.keras_model, teacher.input_size, teacher.outputs)
    if own.unpruned:
        raise InputError(
            "teacher.not_trainable",
            f"The teacher can't be trained along with its students: {own.unpruned}.",
            "leave out --teacher joint: a teacher that stays as it is may be anything.",
        )
    preprocess = teacher.preprocess
    scale, offset = np.asarray(preprocess.scale, float), np.asarray(preprocess.offset, float)
    return build_whole(own.model, "teacher", scale, offset, preprocess.bgr)


@dataclass(frozen=True)
class Improved:
    """What a jointly trained teacher has become.

    Attributes:
        labeller: what labels as it does, the faster of its file and LiteRT.
        sentence: how right it is beside what it was, for people.
        better: whether it is at least as right on the validation split.
    """

    labeller: Predictor
    sentence: str
    better: bool


def improved_teacher(
    trained: keras.Model, before: Teacher, dataset: Dataset, run: Checkpoints, progress: Progress
) -> Improved:
    """Writes the trained teacher, and holds it against what it was; once a run.

    `teacher.keras` takes pixels 0..255 and gives probabilities, whatever the original took.
    """
    path = run.staging / FILE
    if not run.knows(_KEY):  # written again it would be another file, whose labels nobody has
        with_pixels(plain(trained), "teacher").save(path)
    # Its outputs are the data's classes in the data's order, whatever the original's were.
    known = replace(dataset, output_names=dataset.class_names)
    teacher = load_teacher(path, dataset=known, preprocess="raw")

    def judged() -> list[list[float]]:
        return [[found.validation, found.test] for found in (direct_accuracy(t, dataset) for t in (before, teacher))]

    (was_validation, was_test), (validation, test) = run.recall(_KEY, judged)
    sentence = (
        f"The jointly trained teacher, {FILE}, is right on {test:.2%} of the test images ({was_test:.2%} before) and "
        f"on {validation:.2%} of the validation images ({was_validation:.2%} before)."
    )
    progress.note(sentence)
    return Improved(_labeller(teacher, dataset, run.folder), sentence, validation >= was_validation)


def _labeller(teacher: Teacher, dataset: Dataset, folder: Path) -> Predictor:
    file: Path | None = folder / "improved.tflite"
    try:
        content = to_float32(pixels_to_probabilities(teacher), teacher.input_size)
        write_whole(folder / "improved.tflite", content)
    except ConversionError:
        file = None
    labeller, _, _ = fastest_labeller(teacher, file, dataset.validation)
    return labeller
