"""What is done to the trained members: they are written, verified, and held against the teacher."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.dataset import Dataset, ImageSplit
from learn2compress.core.errors import ConversionError, VerificationError
from learn2compress.core.family import Accuracy, Member, Model
from learn2compress.core.member import MemberSpec
from learn2compress.core.progress import Progress
from learn2compress.export.verify import verify
from learn2compress.export.write import write_baselines, write_member
from learn2compress.inputs.symbolic import can_be_traced, pixels_to_probabilities
from learn2compress.inputs.teacher import Teacher
from learn2compress.manifest import WrittenMember
from learn2compress.measure.accuracy import accuracy_record, score, tflite_probabilities
from learn2compress.measure.graph import describe
from learn2compress.plan.budget import VERIFIED_IMAGES
from learn2compress.plan.outcome import collapses
from learn2compress.stages.metadata import metadata
from learn2compress.stages.planning import Plan
from learn2compress.tasks import Task
from learn2compress.train.quantize import folded, predict, unquantized, with_probabilities
from learn2compress.train.sparsity import zero_share
from learn2compress.train.trainable import with_pixels

CALIBRATION_IMAGES = 100


def teacher_files(teacher: Teacher, dataset: Dataset, run: Checkpoints, progress: Progress) -> list[Path]:
    """The teacher as float32 and as post-training int8, or the `.tflite` file that it is.

    Nothing, with a warning, where it can't be written; nothing where it is no graph.
    """
    folder = run.staging / "baseline"
    names = run.recall(
        "baselines", lambda: [path.name for path in _written_baselines(teacher, dataset, folder, progress)]
    )
    return [folder / name for name in names]


def _written_baselines(teacher: Teacher, dataset: Dataset, folder: Path, progress: Progress) -> list[Path]:
    if teacher.given_file is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copyfile(teacher.given_file, folder / "teacher.tflite"))]
    if not can_be_traced(teacher):
        return []
    indices = np.linspace(0, len(dataset.train) - 1, min(CALIBRATION_IMAGES, len(dataset.train))).astype(int)
    samples = dataset.train.batch(indices, teacher.input_size)
    with progress.stage("baselines"):
        try:
            return list(write_baselines(pixels_to_probabilities(teacher), teacher.input_size, samples, folder))
        except ConversionError as error:
            progress.warn(f"the teacher can't be written as a baseline: {error.what}")
            return []


def export_members(
    plan: Plan,
    trained: Sequence[keras.Model],
    quantized: Sequence[keras.Model],
    task: Task,
    teacher: Teacher,
    dataset: Dataset,
    run: Checkpoints,
    progress: Progress,
    *,
    sparse: bool,
) -> tuple[list[WrittenMember], list[str]]:
    """Writes the members that pass verification; says of the others why they are left out.

    Members that an earlier process of the run has written are taken as they are.

    Args:
        sparse: whether zeros among the weights were asked for.

    Raises:
        ConversionError: one can't be written.
        VerificationError: none passed.
    """
    written, refused = [], []
    with progress.stage("export", len(plan.specs)) as stage:
        for spec, before, after in stage.track(zip(plan.specs, trained, quantized, strict=True)):

            def export(spec: MemberSpec = spec, before: Any = before, after: Any = after) -> dict[str, Any]:
                try:
                    member = export_member(spec, before, after, task, teacher, dataset, run.staging, sparse=sparse)
                except VerificationError as error:
                    return {"refused": f"{spec.name} is left out. {error.what}"}
                return member.record()

            found = run.recall(f"export of {spec.name}", export)
            if "refused" in found:
                refused.append(found["refused"])
                progress.warn(refused[-1])
            else:
                written.append(WrittenMember.of(spec, run.staging / "models", found))
    if not written:
        raise VerificationError("verify.none", f"No member passed verification. {' '.join(refused)}")
    return written, refused


def export_member(
    spec: MemberSpec,
    trained: keras.Model,
    quantized: keras.Model,
    task: Task,
    teacher: Teacher,
    dataset: Dataset,
    staging: Path,
    *,
    sparse: bool,
) -> WrittenMember:
    """Writes a trained member and verifies the file against the fake-quantized model on real images.

    The files are put into `models/` of the staging folder only after that.

    Raises:
        ConversionError: it can't be written.
        VerificationError: the file does not behave like the model, or is not fully int8.
    """
    size, classes = spec.input_size, dataset.classes
    before = folded(trained)
    validation = score(predict(before, dataset.validation, size), dataset.validation.labels).accuracy
    test = score(predict(before, dataset.test, size), dataset.test.labels).accuracy
    complete = with_probabilities(quantized, spec.name.replace("-", "_"))
    kept = with_pixels(unquantized(quantized, before), spec.name.replace("-", "_"))
    unverified = staging / "unverified"
    path = write_member(complete, kept, unverified, spec.name, size, metadata(task, spec, teacher, dataset))
    # A small validation split is made up for by training images: one tie among 60 is no disagreement.
    count = min(VERIFIED_IMAGES, len(dataset.validation))
    more = min(VERIFIED_IMAGES - count, len(dataset.train))
    parts = [(dataset.validation, count), (dataset.train, more)]
    from_file = np.concatenate([tflite_probabilities(path, part, np.arange(n)) for part, n in parts if n])
    from_model = np.concatenate([predict(complete, part, size, most=n) for part, n in parts if n])
    assert from_model.shape[1] == classes  # the head was built for the data's classes
    verification = verify(spec.name, from_file, from_model, describe(path).float_ops)
    models = staging / "models"
    models.mkdir(exist_ok=True)
    (unverified / f"{spec.name}.keras").replace(models / f"{spec.name}.keras")
    return WrittenMember(
        spec, path.replace(models / path.name), validation, test, verification, zero_share(kept) if sparse else 0.0
    )


def warn_of_collapses(
    members: Sequence[Member], teacher: Model, dataset: Dataset, progress: Progress
) -> Sequence[str]:
    """Says of which members too little is left; returns what it said."""
    sentences = collapses(members, teacher, dataset.classes)
    for sentence in sentences:
        progress.warn(sentence)
    return sentences


def direct_accuracy(teacher: Teacher, dataset: Dataset) -> Accuracy:
    """Accuracy of a teacher, asked itself: of one that has no file, or none yet."""
    validation, test = (score(_ask(teacher, split), split.labels) for split in (dataset.validation, dataset.test))
    return accuracy_record(validation, test)


def _ask(teacher: Teacher, split: ImageSplit) -> Any:
    chunks = [np.arange(a, min(a + 250, len(split))) for a in range(0, len(split), 250)]
    return np.concatenate([teacher.predict(split.batch(chunk, teacher.input_size)) for chunk in chunks])
