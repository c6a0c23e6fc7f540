"""What the members are held against: the teacher, asked itself and as files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.chunks import chunks
from learn2compress.core.dataset import Dataset, ImageSplit
from learn2compress.core.errors import ConversionError
from learn2compress.core.family import Accuracy, Member, Model
from learn2compress.core.precision import FileFormat
from learn2compress.core.progress import Progress
from learn2compress.export.write import write_baselines
from learn2compress.inputs.symbolic import can_be_traced, pixels_to_probabilities
from learn2compress.inputs.teacher import Teacher
from learn2compress.measure.accuracy import accuracy_record, score
from learn2compress.plan.outcome import collapses
from learn2compress.stages.files import calibration_images
from learn2compress.stages.metadata import said_by_every_file, takes
from learn2compress.tasks import Task

_WRITTEN_AS = {"float32": "float32", "int8": "post-training int8"}


def teacher_files(task: Task, teacher: Teacher, dataset: Dataset, run: Checkpoints, progress: Progress) -> list[Path]:
    """The teacher as float32 and as post-training int8, or the `.tflite` file that it is, as it was given.

    The files that are written say what members' files say of themselves: class names, normalization, framing. What
    can't be written is left out, with a warning; there is nothing where the teacher is no graph.
    """
    folder = run.staging / "baseline"
    names = run.recall(
        "baselines", lambda: [path.name for path in _written_baselines(task, teacher, dataset, folder, progress)]
    )
    return [folder / name for name in names]


def _written_baselines(
    task: Task, teacher: Teacher, dataset: Dataset, folder: Path, progress: Progress
) -> Sequence[Path]:
    if teacher.given_file is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copyfile(teacher.given_file, folder / "teacher.tflite"))]
    if not can_be_traced(teacher):
        return []
    samples = calibration_images(dataset, teacher.input_size)

    def refused(error: ConversionError) -> None:
        progress.warn(f"the teacher can't be written as a post-training int8 baseline: {error.what}")

    with progress.stage("baselines"):
        try:
            return write_baselines(
                pixels_to_probabilities(teacher),
                teacher.input_size,
                samples,
                folder,
                add_metadata=_metadata(task, teacher, dataset, progress),
                refused=refused,
            )
        except ConversionError as error:
            progress.warn(f"the teacher can't be written as a baseline: {error.what}")
            return []


def _metadata(
    task: Task, teacher: Teacher, dataset: Dataset, progress: Progress
) -> Callable[[bytes, FileFormat], bytes]:
    """The function that puts into a baseline what apps and `l2c evaluate` need to know of it."""

    def add(model: bytes, written: FileFormat) -> bytes:
        how = _WRITTEN_AS[written.precision]
        try:
            return task.add_metadata(
                model,
                name=f"{teacher.name} {how}",
                description=(
                    f"{teacher.name} as {how}, an image classifier with {dataset.classes} classes: what the models "
                    f"are compared with that learn2compress made of it. {takes(written, teacher.input_size, dataset)}"
                ),
                **said_by_every_file(written, teacher, dataset),
            )
        except ConversionError as error:  # a graph with loops in it, say, is more than one to the schema
            progress.note(f"the {how} baseline carries no class names: {error.what}")
            return model

    return add


def warn_of_collapses(
    members: Sequence[Member], teacher: Model, dataset: Dataset, progress: Progress, larger: str = ""
) -> tuple[Member, ...]:
    """Says of which members too little is left; returns all, these with what was said.

    Args:
        larger: see `plan.outcome.collapses`.
    """
    sentences = collapses(members, teacher, dataset.classes, larger)
    for sentence in filter(None, sentences):
        progress.warn(sentence)
    return tuple(
        member.model_copy(update={"collapsed": sentence}) for member, sentence in zip(members, sentences, strict=True)
    )


def direct_accuracy(teacher: Teacher, dataset: Dataset) -> Accuracy:
    """Accuracy of a teacher, asked itself: of one that has no file, or none yet."""
    validation, test = (score(_ask(teacher, split), split.labels) for split in (dataset.validation, dataset.test))
    return accuracy_record(validation, test)


def _ask(teacher: Teacher, split: ImageSplit) -> Any:
    size = teacher.input_size
    return np.concatenate([teacher.predict(split.batch(some, size)) for some in chunks(np.arange(len(split)), size)])
