"""One trained member becomes its files, one for each precision asked for; each is verified on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from learn2compress.core.dataset import Dataset, Images
from learn2compress.core.family import KeptWider, Mixed
from learn2compress.core.member import MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.precision import FileFormat
from learn2compress.core.target import Target
from learn2compress.export.verify import verify
from learn2compress.export.write import write_member
from learn2compress.inputs.teacher import Teacher
from learn2compress.manifest import WrittenMember
from learn2compress.measure.accuracy import score, softmax, tflite_probabilities
from learn2compress.measure.latency import latencies
from learn2compress.plan.budget import VERIFIED_IMAGES
from learn2compress.stages.float_parts import float_parts, kept_for
from learn2compress.stages.metadata import metadata
from learn2compress.stages.mixed import Wider
from learn2compress.tasks import Task
from learn2compress.train.fake_quant import float_by_nature
from learn2compress.train.quantize import folded, predict, unquantized, with_probabilities
from learn2compress.train.sparsity import zero_share
from learn2compress.train.trainable import with_pixels

CALIBRATION_IMAGES = 100
SECONDS_PER_FILE = 0.7


def file_specs(spec: MemberSpec, formats: Sequence[FileFormat]) -> list[MemberSpec]:
    """The member once for each of its files; where there are several, the precision is in the name."""
    several = len(formats) > 1
    return [
        replace(spec, name=f"{spec.name}-{written.precision}" if several else spec.name, precision=written.precision)
        for written in formats
    ]


def calibration_images(dataset: Dataset, size: tuple[int, int]) -> Images:
    """Training images from all over the split, uint8 (n, height, width, 3)."""
    indices = np.linspace(0, len(dataset.train) - 1, min(CALIBRATION_IMAGES, len(dataset.train))).astype(int)
    return dataset.train.batch(indices, size)


def float_weights(
    spec: MemberSpec, trained: keras.Model, quantized: keras.Model | None, dataset: Dataset
) -> dict[str, Any]:
    """The weights of a file that is not rounded in training: those that are right more often on validation images.

    Quantization-aware training is training too: where it ran, the weights behind its rounding may be the better ones.

    Returns:
        `before`: accuracy on the validation and the test split of the member before quantization-aware training.
        `tuned`: whether the weights after it are the better ones; `best`: accuracy of the better ones.
    """
    splits = (dataset.validation, dataset.test)

    def accuracy(model: keras.Model) -> list[float]:
        return [score(predict(model, split, spec.input_size), split.labels).accuracy for split in splits]

    before = accuracy(folded(trained))
    after = accuracy(unquantized(quantized, folded(trained))) if quantized else before
    tuned = after[0] > before[0]
    return {"before": before, "tuned": tuned, "best": after if tuned else before}


def ready_to_write(model: keras.Model, written: FileFormat, name: str) -> keras.Model:
    """A member that ends in what its file gives, from one that ends in logits."""
    if written.output == "logits":
        return model
    return with_probabilities(model, name.replace("-", "_"), rounded=written.kind.rounded_in_training)


def export_file(
    spec: MemberSpec,
    written: FileFormat,
    trained: keras.Model,
    quantized: keras.Model | None,
    wider: Wider | None,
    task: Task,
    teacher: Teacher,
    dataset: Dataset,
    staging: Path,
    *,
    floats: dict[str, Any],
    options: Options,
) -> WrittenMember:
    """Writes a trained member and verifies the file against the model that it was made from, on real images.

    The files are put into `models/` of the staging folder only after that.

    Args:
        spec: the member, by the name of the file.
        written: how it is written.
        trained: before quantization-aware training.
        quantized: after it; None where no file needs that.
        wider: the member with tensors in float32, where int8 costs too much.
        task, teacher, dataset: of the run.
        staging: the staging folder.
        floats: from `float_weights`.
        options: of the run.

    Raises:
        ConversionError: it can't be written.
        VerificationError: the file does not behave like the model, or computes in float32 without a reason.
    """
    size, label = spec.input_size, spec.name.replace("-", "_")
    rounded = written.kind.rounded_in_training
    wider = wider if rounded else None
    tuned = quantized is not None and (rounded or floats["tuned"])
    # A copy each: the model that is verified against shares no weights with the one that is kept.
    unrounded, kept = (unquantized(quantized, folded(trained)) if tuned else folded(trained) for _ in range(2))
    final = (wider.model if wider else quantized) if rounded else unrounded
    assert final is not None  # quantization-aware training ran wherever a file needs it
    complete = ready_to_write(final, written, spec.name)
    add = metadata(task, spec, teacher, dataset, written)
    unverified = staging / "unverified"
    samples = calibration_images(dataset, size) if written.precision == "int16x8" else None
    kept = with_pixels(kept, label)
    path = write_member(complete, kept, unverified, spec.name, size, add, written=written, samples=samples)
    # A small validation split is made up for by training images: one tie among 60 is no disagreement.
    count = min(VERIFIED_IMAGES, len(dataset.validation))
    more = min(VERIFIED_IMAGES - count, len(dataset.train))
    split_counts = [(dataset.validation, count), (dataset.train, more)]
    from_file = np.concatenate([tflite_probabilities(path, part, np.arange(n)) for part, n in split_counts if n])
    from_model = np.concatenate([predict(complete, part, size, most=n) for part, n in split_counts if n])
    if written.output == "logits":
        from_model = softmax(from_model)
    assert from_model.shape[1] == dataset.classes  # the head was built for the data's classes
    reasons = float_by_nature(unrounded) | kept_for(wider.layers if wider else {})
    parts, unexplained = float_parts(path, written, reasons)
    verification = verify(
        spec.name,
        from_file,
        from_model,
        len(unexplained),
        least_agreement=written.kind.least_agreement,
        where=", ".join(unexplained),
    )
    mixed = None
    if wider:
        assert quantized is not None
        plain = ready_to_write(quantized, written, spec.name)
        int8 = write_member(plain, None, unverified / "int8", spec.name, size, add, written=written)
        mixed = _cost(wider.found, wider.layers, int8, path, options.mixed_loss)
        int8.unlink()
    accuracy = floats["before" if rounded else "best"]
    models = staging / "models"
    models.mkdir(exist_ok=True)
    (unverified / f"{spec.name}.keras").replace(models / f"{spec.name}.keras")
    return WrittenMember(
        spec=spec,
        path=path.replace(models / path.name),
        float_validation=accuracy[0],
        float_test=accuracy[1],
        verification=verification,
        zeros=zero_share(kept) if options.sparsity > 0 else 0.0,
        written=written,
        float_parts=parts,
        mixed=mixed,
    )


def bounds_broken_by_widening(member: WrittenMember) -> str:
    """The bounds that the member was chosen for, and holds only as int8 throughout; empty where there are none."""
    mixed = member.mixed
    if mixed is None:
        return ""
    pairs = {
        "size": (mixed.int8_size_bytes, mixed.size_bytes),
        "latency": (mixed.int8_latency_ms, mixed.latency_ms),
    }
    broken = []
    for target in map(Target.parse, member.spec.targets):
        int8, own = pairs.get(target.metric, (0.0, 0.0))
        if target.metric in pairs and target.holds(int8) and not target.holds(own):
            broken.append(target.text)
    return " and ".join(broken)


def _cost(
    found: dict[str, Any], layers: dict[str, tuple[str, ...]], int8: Path, path: Path, most_loss: float
) -> Mixed:
    """What was found, with what it costs: the file beside the one that is int8 throughout, timed in turns."""
    of_int8, own = latencies([int8, path], seconds_per_file=SECONDS_PER_FILE)
    kept = tuple(
        KeptWider(
            output_of=name,
            layers=layers[name],
            accuracy_alone=found["accuracy"][name],
            distance_alone=found["sensitivity"][name],
        )
        for name in found["kept"]
    )
    return Mixed(
        kept=kept,
        most_loss=most_loss,
        int8_loss=round(found["int8_loss"], 6),
        loss=round(found["loss"], 6),
        images=found["images"],
        sensitivity=found["sensitivity"],
        int8_size_bytes=int8.stat().st_size,
        size_bytes=path.stat().st_size,
        int8_latency_ms=of_int8.median,
        latency_ms=own.median,
    )
