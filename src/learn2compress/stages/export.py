"""Trained members become files, one for each precision asked for; each is verified on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import ConversionError, VerificationError
from learn2compress.core.family import KeptWider, Mixed
from learn2compress.core.member import MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.precision import FileFormat
from learn2compress.core.progress import Progress
from learn2compress.core.target import Target
from learn2compress.export.verify import verify
from learn2compress.export.write import write_member
from learn2compress.inputs.splits import balanced_sample
from learn2compress.inputs.teacher import Teacher
from learn2compress.manifest import WrittenMember
from learn2compress.measure.accuracy import softmax, tflite_probabilities
from learn2compress.measure.latency import latencies
from learn2compress.measure.memory import peak_memory_bytes
from learn2compress.plan.budget import VERIFIED_IMAGES
from learn2compress.stages.files import calibration_images, file_specs, ready_to_write
from learn2compress.stages.float_parts import float_parts, kept_for
from learn2compress.stages.metadata import metadata
from learn2compress.stages.mixed import Wider, kept_wider
from learn2compress.stages.trained_member import TrainedMember, float_weights
from learn2compress.tasks import Task
from learn2compress.train.fake_quant import float_by_nature
from learn2compress.train.quantize import predict
from learn2compress.train.sparsity import zero_share
from learn2compress.train.trainable import with_pixels

SECONDS_PER_FILE = 0.7


@dataclass(frozen=True)
class Export:
    """How a run writes its members; files that an earlier process of the run has written are taken as they are.

    Attributes:
        task, teacher, dataset: of the run.
        options: how the files are written, and whether zeros among the weights were asked for.
        mixed_seconds: for a member's search for what stays in float32.
        run: its state.
        progress: gets a unit for each file.
    """

    task: Task
    teacher: Teacher
    dataset: Dataset
    options: Options
    mixed_seconds: float
    run: Checkpoints
    progress: Progress

    def members(
        self, specs: Sequence[MemberSpec], trained: Sequence[keras.Model], quantized: Sequence[keras.Model | None]
    ) -> tuple[list[WrittenMember], list[str]]:
        """Writes the members that pass verification in each precision; says of the others why they are left out.

        Args:
            specs: of the members.
            trained: before quantization-aware training.
            quantized: after it; None for each where no file needs that.

        Raises:
            ConversionError: one can't be written.
            VerificationError: none passed.
        """
        written, refused = [], []
        formats = self.options.formats
        with self.progress.stage("export", len(specs) * len(formats)) as stage:
            for spec, before, after in zip(specs, trained, quantized, strict=True):
                member = TrainedMember(spec, before, after, self.dataset)
                for file_spec, how in stage.track(list(zip(file_specs(spec, formats), formats, strict=True))):
                    found = self._kept(member, file_spec, how)
                    if "refused" in found:
                        refused.append(found["refused"])
                        self.progress.warn(refused[-1])
                    else:
                        written.append(WrittenMember.of(file_spec, self.run.staging / "models", found))
        if not written:
            raise VerificationError(
                "verify.none",
                f"No member passed verification. {' '.join(refused)}",
                "try --precision float16, which rounds nothing, into another --out (the teacher's labels are kept "
                "and taken again), or --from fresh; and please report it: this should not happen.",
            )
        return written, refused

    def _kept(self, member: TrainedMember, spec: MemberSpec, written: FileFormat) -> dict[str, Any]:
        return self.run.recall(f"export of {spec.name}", lambda: self._best(member, spec, written))

    def _best(self, member: TrainedMember, spec: MemberSpec, written: FileFormat) -> dict[str, Any]:
        """The record of the file; with tensors in float32 where int8 costs too much and the bounds allow it."""
        rounded = written.kind.rounded_in_training
        wider = kept_wider(member, self.options, self.mixed_seconds, self.run, self.progress) if rounded else None
        try:
            file = self._widened(member, spec, written, wider) if wider else None
            file = file or self._file(member, spec, written, None)
        except VerificationError as error:
            return {"refused": f"{spec.name} is left out. {error.what}"}
        return file.record()

    def _widened(
        self, member: TrainedMember, spec: MemberSpec, written: FileFormat, wider: Wider
    ) -> WrittenMember | None:
        """The file with tensors in float32; None, with a note, where int8 throughout is better than that."""
        try:
            file = self._file(member, spec, written, wider)
        except (ConversionError, VerificationError) as error:
            # What is int8 throughout is another graph to the converter, and may well pass.
            self.progress.note(f"{spec.name} stays int8: with parts in float32 it can't be used. {error.what}")
            return None
        if broken := bounds_broken_by_widening(file):
            self.progress.note(f"{spec.name} stays int8: with parts in float32 it is beyond {broken}")
            return None
        return file

    def _file(
        self, member: TrainedMember, spec: MemberSpec, written: FileFormat, wider: Wider | None
    ) -> WrittenMember:
        """Writes a member and verifies the file against the model that it was made from, on real images.

        The files are put into `models/` of the staging folder only after that.

        Args:
            member: the trained member.
            spec: the same, by the name of the file.
            written: how it is written.
            wider: the member with tensors in float32, where int8 costs too much.

        Raises:
            ConversionError: it can't be written.
            VerificationError: the file does not behave like the model, or computes in float32 without a reason.
        """
        size, label, dataset, staging = spec.input_size, spec.name.replace("-", "_"), self.dataset, self.run.staging
        rounded = written.kind.rounded_in_training
        floats = self.run.recall(
            f"float weights of {member.spec.name}", lambda: float_weights(member, self.options.formats)
        )
        # A copy each: the model that is verified against shares no weights with the one that is kept.
        unrounded, kept = (member.unrounded(tuned=rounded or floats["tuned"]) for _ in range(2))
        final = (wider.model if wider else member.quantized) if rounded else unrounded
        assert final is not None  # quantization-aware training ran wherever a file needs it
        complete = ready_to_write(final, written, spec.name)
        add = metadata(self.task, spec, self.teacher, dataset, written)
        unverified = staging / "unverified"
        samples = calibration_images(dataset, size) if written.precision == "int16x8" else None
        kept = with_pixels(kept, label)
        path = write_member(complete, kept, unverified, spec.name, size, add, written=written, samples=samples)
        # A small validation split is made up for by training images: one tie among 60 is no disagreement.
        count = min(VERIFIED_IMAGES, len(dataset.validation))
        more = min(VERIFIED_IMAGES - count, len(dataset.train))
        counts = [(dataset.validation, count), (dataset.train, more)]
        chosen = [(part, balanced_sample(part.labels, n)) for part, n in counts if n]
        from_file = np.concatenate([tflite_probabilities(path, part, indices) for part, indices in chosen])
        from_model = np.concatenate([predict(complete, part, size, indices) for part, indices in chosen])
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
            assert member.quantized is not None
            plain = ready_to_write(member.quantized, written, spec.name)
            int8 = write_member(plain, None, unverified / "int8", spec.name, size, add, written=written)
            mixed = _cost(wider.found, wider.layers, int8, path, self.options.recipe.mixed_loss)
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
            zeros=zero_share(kept) if self.options.recipe.sparsity > 0 else 0.0,
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
        "memory": (mixed.int8_peak_memory_bytes, mixed.peak_memory_bytes),
    }
    broken = []
    for target in map(Target.parse, member.spec.targets):
        int8, own = pairs.get(target.metric, (None, None))
        if int8 is not None and own is not None and target.holds(int8) and not target.holds(own):
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
        int8_peak_memory_bytes=peak_memory_bytes(int8),
        peak_memory_bytes=peak_memory_bytes(path),
    )
