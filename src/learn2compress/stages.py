"""The steps of a run that join several stages: planning with a rehearsal, baselines, and a member's export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from learn2compress.core.dataset import Dataset, ImageSplit
from learn2compress.core.errors import ConversionError, VerificationError
from learn2compress.core.family import Accuracy
from learn2compress.core.member import MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.core.target import Target
from learn2compress.core.version import __version__
from learn2compress.export.verify import verify
from learn2compress.export.write import write_baselines, write_member
from learn2compress.inputs.symbolic import pixels_to_probabilities
from learn2compress.inputs.teacher import Teacher
from learn2compress.manifest import WrittenMember
from learn2compress.measure.accuracy import score, tflite_probabilities
from learn2compress.measure.graph import describe
from learn2compress.plan.budget import VERIFIED_IMAGES, finish_seconds
from learn2compress.plan.members import Candidate, choose_members, largest_by_default, widest_member
from learn2compress.sources.protocol import MemberSource
from learn2compress.tasks import Task
from learn2compress.train.quantize import (
    folded,
    predict,
    quantization_ready,
    unquantized,
    with_probabilities,
)
from learn2compress.train.settings import SETTINGS, TrainingSettings
from learn2compress.train.trainable import trainable, with_pixels

CALIBRATION_IMAGES = 100
# However small a member is, running it takes this share of the teacher's time: reading images, calling.
LEAST_SHARE = 0.2


@dataclass(frozen=True)
class Plan:
    """What will be trained, and how.

    Attributes:
        specs: the members, widest first.
        source: where they come from.
        settings: hyperparameters.
        macs: multiply-accumulates of each member.
    """

    specs: tuple[MemberSpec, ...]
    source: MemberSource
    settings: TrainingSettings
    macs: tuple[int, ...]


def plan_family(
    task: Task, teacher: Teacher, dataset: Dataset, options: Options, staging: Path, progress: Progress
) -> Plan:
    """Chooses the members, and writes each of them once untrained.

    The rehearsal shows that every member converts, to full int8, and gives the exact size of its file: what can
    fail, fails before hours of training.

    Raises:
        InputError: `target.unsatisfiable` or `route.teacher_refused`.
        ConversionError: a member can't be written.
    """
    source = task.source(teacher, dataset, options.route)
    progress.note(f"members come from the route {source.route!r}: {source.reason}")
    largest = largest_by_default(teacher.parameters)
    wides = source.candidates()
    narrows: dict[str, list[Candidate]] = {}
    over: dict[str, float] = {}
    with progress.stage("plan") as stage:
        while True:
            # Where an estimate was too low, what the member really takes decides in the next round.
            widest = widest_member([_with_size(c, over) for c in wides], options.targets, largest).spec.name
            if widest not in narrows:
                narrows[widest] = source.narrower(next(c for c in wides if c.spec.name == widest), wides)
            candidates = [_with_size(c, over) for c in narrows[widest]]
            chosen = choose_members(candidates, options.targets, options.students, largest)
            sizes = [
                _rehearsed_bytes(task, source, candidate.spec, teacher, dataset, staging / "rehearsal")
                for candidate in stage.track(chosen)
            ]
            found = _over_target(chosen, sizes, options.targets, candidates)
            if not found:
                break
            over |= {name: over.get(name, 1.0) * factor for name, factor in found.items()}
    specs = tuple(candidate.spec for candidate in chosen)
    for candidate, size in zip(chosen, sizes, strict=True):
        spec, cost = candidate.spec, candidate.cost
        progress.note(f"{spec.name}: {size} bytes, {cost.macs} MACs, {spec.depth} weight layers")
    settings = SETTINGS[source.route].for_size(teacher.input_size)
    return Plan(specs, source, settings, tuple(candidate.cost.macs for candidate in chosen))


def finish_estimate(plan: Plan, dataset: Dataset, baselines: Sequence[Path], rate: float) -> float:
    """Seconds that export, verification and measurement will take.

    Args:
        baselines: the teacher's files, float32 first; may be empty.
        rate: images per second of the teacher's labeller.
    """
    images = len(dataset.validation) + len(dataset.test)
    # Images that are read from disk take as long to decode for a small member as for a large one.
    light = bool(baselines) and dataset.test.stacked is not None
    teacher = describe(baselines[0]).macs if light else 0
    shares = [min(1.0, max(LEAST_SHARE, macs / teacher)) if teacher else 1.0 for macs in plan.macs]
    return finish_seconds(images, rate, shares)


def _rehearsed_bytes(
    task: Task, source: MemberSource, spec: MemberSpec, teacher: Teacher, dataset: Dataset, folder: Path
) -> int:
    model = source.build(spec).model
    rng = np.random.default_rng(0)
    # Equal buffers are stored once: all-zero biases would make the file look smaller than it will be.
    model.set_weights([np.abs(rng.normal(0.1, 0.05, w.shape)) + 0.01 for w in model.get_weights()])
    quantized = with_probabilities(quantization_ready(trainable(model, "float32", 0.9)), "rehearsal")
    path = write_member(quantized, None, folder, spec.name, spec.input_size, _metadata(task, spec, teacher, dataset))
    return path.stat().st_size


def _over_target(
    chosen: list[Candidate], sizes: list[int], targets: tuple[Target, ...], candidates: list[Candidate]
) -> dict[str, float]:
    """Name of the candidates whose real size breaks their bound -> real size over estimated size."""
    bounds = {t.text: t for t in targets if t.metric == "size"}
    names = {_identity(c.spec): c.spec.name for c in candidates}
    return {
        names[_identity(c.spec)]: size / c.cost.size_bytes
        for c, size in zip(chosen, sizes, strict=True)
        if any(text in bounds and not bounds[text].holds(size) for text in c.spec.targets)
    }


def _identity(spec: MemberSpec) -> tuple[object, ...]:
    """What a member is, whatever it is called."""
    return (spec.channels, spec.blocks, spec.cut, spec.removals)


def _with_size(candidate: Candidate, over: dict[str, float]) -> Candidate:
    factor = over.get(candidate.spec.name)
    if factor is None:
        return candidate
    return replace(candidate, cost=replace(candidate.cost, size_bytes=int(candidate.cost.size_bytes * factor) + 1))


def teacher_files(teacher: Teacher, dataset: Dataset, folder: Path, progress: Progress) -> list[Path]:
    """The teacher as float32 and as post-training int8; nothing, with a warning, where it can't be written."""
    if teacher.keras_model is None:
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
    staging: Path,
    progress: Progress,
) -> tuple[list[WrittenMember], list[str]]:
    """Writes the members that pass verification; says of the others why they are left out.

    Raises:
        ConversionError: one can't be written.
        VerificationError: none passed.
    """
    written, refused = [], []
    with progress.stage("export", len(plan.specs)) as stage:
        for spec, before, after in stage.track(zip(plan.specs, trained, quantized, strict=True)):
            try:
                written.append(export_member(spec, before, after, task, teacher, dataset, staging))
            except VerificationError as error:
                refused.append(f"{spec.name} is left out. {error.what}")
                progress.warn(refused[-1])
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
    path = write_member(complete, kept, unverified, spec.name, size, _metadata(task, spec, teacher, dataset))
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
    return WrittenMember(spec, path.replace(models / path.name), validation, test, verification)


def _metadata(task: Task, spec: MemberSpec, teacher: Teacher, dataset: Dataset) -> Any:
    def add(model: bytes) -> bytes:
        return task.add_metadata(
            model,
            name=f"{teacher.name} {spec.name}",
            description=f"Image classifier with {dataset.classes} classes, compressed from {teacher.name} by "
            f"learn2compress. Takes RGB pixels 0..255 of {spec.input_size[1]}x{spec.input_size[0]}.",
            version=__version__,
            author="learn2compress",
            license="that of the teacher and its data",
            labels=dataset.class_names,
        )

    return add


def direct_accuracy(teacher: Teacher, dataset: Dataset) -> Accuracy:
    """Accuracy of a teacher that has no file: asked image by image."""
    validation = score(_ask(teacher, dataset.validation), dataset.validation.labels)
    test = score(_ask(teacher, dataset.test), dataset.test.labels)
    return Accuracy(
        validation=validation.accuracy,
        test=test.accuracy,
        validation_examples=validation.examples,
        test_examples=test.examples,
        per_class_test=test.per_class,
    )


def _ask(teacher: Teacher, split: ImageSplit) -> Any:
    chunks = [np.arange(a, min(a + 250, len(split))) for a in range(0, len(split), 250)]
    return np.concatenate([teacher.predict(split.batch(chunk, teacher.input_size)) for chunk in chunks])
