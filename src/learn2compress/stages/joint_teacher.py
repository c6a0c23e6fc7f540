"""A teacher that is trained along with its students (`--teacher joint`), and what it has become."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.graph.trunk import build_whole, own_layers
from learn2compress.inputs.teacher import Teacher, load_teacher
from learn2compress.stages.baselines import direct_accuracy
from learn2compress.train.trainable import plain, with_pixels

FILE = "teacher.keras"


def trainable_teacher(teacher: Teacher) -> keras.Model:
    """A copy of the teacher to train, `(pixels - 128) / 128` to logits (n, classes).

    Raises:
        InputError: `teacher.not_trainable`.
    """
    own = own_layers(teacher.keras_model, teacher.input_size)
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
        teacher: its file, loaded.
        sentence: how right it is beside what it was, for people.
        better: whether it is at least as right on the validation split.
    """

    teacher: Teacher
    sentence: str
    better: bool


def improved_teacher(
    trained: keras.Model, before: Teacher, dataset: Dataset, folder: Path, progress: Progress
) -> Improved:
    """Writes the trained teacher, and holds it against what it was.

    `teacher.keras` takes pixels 0..255 and gives probabilities, whatever the original took.
    """
    with_pixels(plain(trained), "teacher").save(folder / FILE)
    # Its outputs are the data's classes in the data's order, whatever the original's were.
    known = replace(dataset, output_names=dataset.class_names)
    teacher = load_teacher(folder / FILE, dataset=known, preprocess="raw")
    after, was = direct_accuracy(teacher, dataset), direct_accuracy(before, dataset)
    sentence = (
        f"The jointly trained teacher, {FILE}, is right on {after.test:.2%} of the test images "
        f"({was.test:.2%} before) and on {after.validation:.2%} of the validation images "
        f"({was.validation:.2%} before)."
    )
    progress.note(sentence)
    return Improved(teacher, sentence, after.validation >= was.validation)
