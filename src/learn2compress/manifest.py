"""Puts together what `family.json` says, from the records of the stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from learn2compress.core.dataset import Dataset
from learn2compress.core.family import (
    Accuracy,
    DatasetSummary,
    FloatPart,
    Member,
    Mixed,
    Model,
    Ratio,
    Verification,
)
from learn2compress.core.member import MemberSpec
from learn2compress.core.pareto import pareto_front
from learn2compress.core.precision import FULL_INT8, FileFormat
from learn2compress.inputs.teacher import Teacher
from learn2compress.measure.models import FileMeasurements

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class WrittenMember:
    """A member whose file was written and verified.

    `float_validation` and `float_test` are accuracies of the trained model before quantization; `zeros` is the share
    of zeros among its kernels' weights. `written` is how, `float_parts` and `mixed` what of an integer file is not.
    """

    spec: MemberSpec
    path: Path
    float_validation: float
    float_test: float
    verification: Verification
    zeros: float
    written: FileFormat = FULL_INT8
    float_parts: tuple[FloatPart, ...] = ()
    mixed: Mixed | None = None

    def record(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return {
            "file": self.path.name,
            "float_validation": self.float_validation,
            "float_test": self.float_test,
            "verification": self.verification.model_dump(mode="json"),
            "zeros": self.zeros,
            "written": asdict(self.written),
            "float_parts": [part.model_dump(mode="json") for part in self.float_parts],
            "mixed": self.mixed.model_dump(mode="json") if self.mixed else None,
        }

    @staticmethod
    def of(spec: MemberSpec, folder: Path, record: dict[str, Any]) -> WrittenMember:
        """The member of a record, whose file lies in the folder."""
        return WrittenMember(
            spec=spec,
            path=folder / record["file"],
            float_validation=record["float_validation"],
            float_test=record["float_test"],
            verification=Verification.model_validate(record["verification"]),
            zeros=record["zeros"],
            written=FileFormat(**record["written"]),
            float_parts=tuple(map(FloatPart.model_validate, record["float_parts"])),
            mixed=Mixed.model_validate(record["mixed"]) if record["mixed"] else None,
        )


def describe_data(dataset: Dataset) -> DatasetSummary:
    """What the data was."""
    return DatasetSummary(
        source=dataset.source,
        class_names=dataset.class_names,
        train_examples=len(dataset.train),
        validation_examples=len(dataset.validation),
        test_examples=len(dataset.test),
        image_size=dataset.image_size,
        framing=dataset.framing,
        notes=dataset.notes,
        test_fingerprint=dataset.test.fingerprint,
    )


def describe_models(
    teacher: Teacher,
    teacher_accuracy: Accuracy | None,
    baselines: Sequence[Path],
    written: Sequence[WrittenMember],
    measured: Sequence[FileMeasurements],
) -> tuple[Model, tuple[Model, ...], tuple[Member, ...]]:
    """The teacher, its baselines and the members, with all that was measured.

    Args:
        teacher_accuracy: where the teacher has no file of its own, what was measured of it directly.
        baselines: the float32 file and the post-training int8 file, or the file that was given, or nothing.
        measured: of the baselines, then of the members.
    """
    whats = ("as given",) if teacher.given_file else ("float32", "post-training int8")
    files = [
        _model(path.stem, f"baseline/{path.name}", figures, what)
        for path, figures, what in zip(baselines, measured, whats, strict=False)
    ]
    if files:
        reference = files[0].model_copy(update={"name": teacher.name})
    else:
        assert teacher_accuracy is not None  # measured exactly where there is no file
        reference = Model(name=teacher.name, file=None, accuracy=teacher_accuracy, parameters=teacher.parameters)
    models = tuple(_against(model, reference) for model in files)
    own = measured[len(files) :]
    members = [
        Member(
            **_model(w.spec.name, f"models/{w.path.name}", figures, _words(w)).model_dump(),
            keras_file=f"models/{w.spec.name}.keras",
            width=w.spec.width,
            depth=w.spec.depth,
            input_size=w.spec.input_size,
            precision=w.written.precision,
            precision_means=w.written.meaning,
            input_type=w.written.input_type,
            output_type=w.written.output_type,
            output=w.written.output,
            float_parts=w.float_parts,
            mixed=w.mixed,
            float_accuracy_validation=w.float_validation,
            float_accuracy_test=w.float_test,
            verification=w.verification,
            zeros=round(w.zeros, 4),
            targets=w.spec.targets,
        )
        for w, figures in zip(written, own, strict=True)
    ]
    costs = [((m.size_bytes or 0), -m.accuracy.validation) for m in members]
    front = pareto_front(costs)
    marked = tuple(
        _against(member.model_copy(update={"on_front": i in front}), reference) for i, member in enumerate(members)
    )
    return _against(reference, reference), models, marked


def _words(written: WrittenMember) -> str:
    spec, precision = written.spec, written.written.precision
    if spec.cut:
        return f"the teacher's own layers up to {spec.cut}, {precision}"
    if spec.route == "teacher":
        return f"the teacher's own layers with {100 * spec.width:.0f} % of their weights, {precision}"
    return f"student of {spec.depth} weight layers, channels {'-'.join(map(str, spec.channels))}, {precision}"


def _model(name: str, file: str, figures: FileMeasurements, description: str) -> Model:
    values: dict[str, Any] = {key: getattr(figures, key) for key in FileMeasurements.__dataclass_fields__}
    return Model(name=name, file=file, description=description, **values)


def _against(model: M, reference: Model) -> M:
    """The model with its ratios to the teacher and its drop."""

    def times(of_reference: float | None, own: float | None) -> float | None:
        return round(of_reference / own, 4) if of_reference and own else None

    latency = model.latency_ms.median if model.latency_ms else None
    reference_latency = reference.latency_ms.median if reference.latency_ms else None
    ratio = Ratio(
        size=times(reference.size_bytes, model.size_bytes),
        latency=times(reference_latency, latency),
        macs=times(reference.macs, model.macs),
    )
    drop = round(reference.accuracy.test - model.accuracy.test, 6)
    return model.model_copy(update={"ratio_to_teacher": ratio, "accuracy_drop": drop})
