"""What the files of a run say of themselves: each member's, and what the teacher's say too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from learn2compress.core.dataset import Dataset
from learn2compress.core.family import NOT_GIVEN, Accuracy
from learn2compress.core.framing import FRAMED
from learn2compress.core.member import MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.precision import FULL_INT8, FileFormat
from learn2compress.core.units import percent, show_count
from learn2compress.core.version import __version__
from learn2compress.core.whole_files import write_whole
from learn2compress.export.schema.packing import utf8
from learn2compress.inputs.display_names import read_display_names
from learn2compress.inputs.teacher import Teacher
from learn2compress.manifest import WrittenMember
from learn2compress.measure.graph import describe
from learn2compress.measure.size import size_bytes
from learn2compress.report.rows import MISSING
from learn2compress.tasks import Task

# What an app feeds, for people.
_FED = {
    "uint8": "RGB pixels 0..255",
    "int8": "RGB pixels 0..255 less 128",
    "float32": "RGB pixels 0..255 as float32, not normalised,",
}
# Of more classes than these only the weakest and the strongest are named.
ALL_CLASSES = 20
NAMED = 3


@dataclass(frozen=True)
class Measured:
    """What a description says of a finished file."""

    accuracy: Accuracy
    size_bytes: int
    macs: int


def described(dataset: Dataset, teacher: Teacher, options: Options) -> tuple[Dataset, Teacher]:
    """The data and the teacher with what the user states of them: licences, class names in other languages.

    Raises:
        InputError: `option.display_labels` or `labels.display`.
    """
    names = read_display_names(options.recipe.display_labels, dataset.class_names)
    return (
        replace(dataset, licence=options.recipe.data_licence, display_names=names),
        replace(teacher, licence=options.recipe.teacher_licence),
    )


def said_by_every_file(written: FileFormat, teacher: Teacher, dataset: Dataset) -> dict[str, Any]:
    """What all files of a run say of themselves in the same words: arguments of `export.metadata.add_metadata`."""
    floats = written.input_type == "float32"
    return {
        "version": __version__,
        "author": "learn2compress",
        "license": f"teacher: {teacher.licence or NOT_GIVEN}; data: {dataset.licence or NOT_GIVEN}",
        "labels": dataset.class_names,
        "display_labels": dataset.display_names,
        "framing": dataset.framing,
        # The scale is inside: what an app makes of a pixel by (pixel - mean) / std is the pixel itself.
        "input_mean": (0.0,) if floats else None,
        "input_std": (1.0,) if floats else None,
    }


def takes(written: FileFormat, size: tuple[int, int], dataset: Dataset) -> str:
    """A sentence for people on what a file is fed; `size` is (height, width) of its input."""
    height, width = size
    return f"Takes {_FED[written.input_type]} of {width}x{height}: a photo {FRAMED[dataset.framing]}."


def metadata(
    task: Task,
    spec: MemberSpec,
    teacher: Teacher,
    dataset: Dataset,
    written: FileFormat = FULL_INT8,
    measured: Measured | None = None,
) -> Callable[[bytes], bytes]:
    """The function that puts into a file what the member is; a file's size does not depend on `measured`."""

    logits = written.output == "logits"

    def description(figures: str) -> str:
        return (
            f"Image classifier with {dataset.classes} classes, compressed from {teacher.name} by "
            f"learn2compress, trained on {len(dataset.train)} images. {takes(written, spec.input_size, dataset)} "
            f"{figures} The figures hold for photos like those of the test split; of others they say nothing. It "
            f"always names one of its classes, also where a photo shows none of them. More: {spec.name}.md."
        )

    def add(model: bytes) -> bytes:
        return task.add_metadata(
            model,
            name=f"{teacher.name} {spec.name}",
            description=description(_figures(measured, dataset.class_names) if measured else "Not measured yet."),
            description_room=len(utf8(description(_longest_figures(dataset)))),
            output_name="logit" if logits else "probability",
            logits=logits,
            **said_by_every_file(written, teacher, dataset),
        )

    return add


def write_measured(
    task: Task,
    teacher: Teacher,
    dataset: Dataset,
    written: Sequence[WrittenMember],
    accuracies: Sequence[Accuracy],
) -> None:
    """Puts what was measured of the members into their files.

    Only the description changes: a file keeps its size and what it computes. Done again, it gives the same files.
    """
    for member, accuracy in zip(written, accuracies, strict=True):
        path = member.path
        measured = Measured(accuracy, size_bytes(path), describe(path).macs)
        add = metadata(task, member.spec, teacher, dataset, member.written, measured)
        write_whole(path, add(path.read_bytes()))


def _figures(measured: Measured, names: Sequence[str]) -> str:
    accuracy = measured.accuracy
    classes = _by_class(names, accuracy.per_class_test)
    return (
        f"Right on {percent(accuracy.test)} of {accuracy.test_examples:,} test images that no training saw"
        f"{f' ({classes})' if classes else ''}. "
        f"{measured.size_bytes:,} bytes, {show_count(measured.macs)} multiply-accumulates for an image."
    )


def _by_class(names: Sequence[str], shares: Sequence[float | None]) -> str:
    """The accuracy of each class; of many classes, that of the weakest and of the strongest that were tested."""
    if len(names) <= ALL_CLASSES:
        return _listed(zip(names, shares, strict=True))
    known = [(name, share) for name, share in zip(names, shares, strict=True) if share is not None]
    known.sort(key=lambda entry: entry[1])
    weakest, strongest = known[:NAMED], known[NAMED:][: -NAMED - 1 : -1]
    said = {"weakest": weakest, "strongest": strongest}
    return "; ".join(f"{word}: {_listed(entries)}" for word, entries in said.items() if entries)


def _listed(entries: Iterable[tuple[str, float | None]]) -> str:
    return ", ".join(f"{name} {MISSING if share is None else percent(share)}" for name, share in entries)


def _longest_figures(dataset: Dataset) -> str:
    """Figures that take at least as many bytes as any that can be measured."""
    longest = sorted(dataset.class_names, key=lambda name: len(utf8(name)), reverse=True)
    # Where all shares are equal, the first are the weakest and the last the strongest: six long names at the ends.
    names = [*longest[NAMED:], *longest[:NAMED]]
    accuracy = Accuracy(
        validation=1.0,
        test=1.0,
        validation_examples=0,
        test_examples=len(dataset.test),
        per_class_test=(1.0,) * dataset.classes,
    )
    # No .tflite file is larger than 2 GB; `9.99 G` is as long as a count of operations gets.
    return _figures(Measured(accuracy, size_bytes=2_000_000_000, macs=9_990_000_000), names)
