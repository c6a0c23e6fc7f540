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
from learn2compress.core.options import Options
from learn2compress.core.precision import FileFormat
from learn2compress.core.progress import Progress
from learn2compress.export.write import write_baselines
from learn2compress.inputs.symbolic import can_be_traced, pixels_to_probabilities
from learn2compress.inputs.teacher import Teacher
from learn2compress.manifest import WrittenMember
from learn2compress.measure.accuracy import accuracy_record, score
from learn2compress.plan.outcome import collapses
from learn2compress.stages.files import (
    bounds_broken_by_widening,
    calibration_images,
    export_file,
    file_specs,
    float_weights,
)
from learn2compress.stages.mixed import Wider, kept_wider
from learn2compress.stages.planning import Plan
from learn2compress.tasks import Task


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
    samples = calibration_images(dataset, teacher.input_size)
    with progress.stage("baselines"):
        try:
            return list(write_baselines(pixels_to_probabilities(teacher), teacher.input_size, samples, folder))
        except ConversionError as error:
            progress.warn(f"the teacher can't be written as a baseline: {error.what}")
            return []


def export_members(
    plan: Plan,
    trained: Sequence[keras.Model],
    quantized: Sequence[keras.Model | None],
    task: Task,
    teacher: Teacher,
    dataset: Dataset,
    run: Checkpoints,
    progress: Progress,
    *,
    options: Options,
) -> tuple[list[WrittenMember], list[str]]:
    """Writes the members that pass verification in each precision; says of the others why they are left out.

    Files that an earlier process of the run has written are taken as they are.

    Args:
        quantized: None for each where no file needs quantization-aware training.
        options: how the files are written, and whether zeros among the weights were asked for.

    Raises:
        ConversionError: one can't be written.
        VerificationError: none passed.
    """
    written, refused = [], []
    with progress.stage("export", len(plan.specs) * len(options.formats)) as stage:
        for spec, before, after in zip(plan.specs, trained, quantized, strict=True):
            files = zip(file_specs(spec, options.formats), options.formats, strict=True)
            for file_spec, how in stage.track(list(files)):

                def export(
                    base: MemberSpec = spec,
                    spec: MemberSpec = file_spec,
                    how: FileFormat = how,
                    before: Any = before,
                    after: Any = after,
                ) -> dict[str, Any]:
                    wider = None
                    if after is not None and how.kind.rounded_in_training:
                        wider = kept_wider(base, before, after, dataset.validation, options, run, progress)
                    floats = run.recall(
                        f"float weights of {base.name}", lambda: float_weights(base, before, after, dataset)
                    )

                    def member(wider: Wider | None) -> WrittenMember:
                        return export_file(
                            spec,
                            how,
                            before,
                            after,
                            wider,
                            task,
                            teacher,
                            dataset,
                            run.staging,
                            floats=floats,
                            options=options,
                        )

                    try:
                        found = member(wider)
                        if broken := bounds_broken_by_widening(found):
                            progress.note(f"{spec.name} stays int8: with parts in float32 it is beyond {broken}")
                            found = member(None)
                    except VerificationError as error:
                        return {"refused": f"{spec.name} is left out. {error.what}"}
                    return found.record()

                found = run.recall(f"export of {file_spec.name}", export)
                if "refused" in found:
                    refused.append(found["refused"])
                    progress.warn(refused[-1])
                else:
                    written.append(WrittenMember.of(file_spec, run.staging / "models", found))
    if not written:
        raise VerificationError(
            "verify.none",
            f"No member passed verification. {' '.join(refused)}",
            "try --precision float16, which rounds nothing, into another --out (the teacher's labels are kept and "
            "taken again), or --from fresh; and please report it: this should not happen.",
        )
    return written, refused


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
