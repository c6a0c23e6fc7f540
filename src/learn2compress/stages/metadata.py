"""What a member's file says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from learn2compress.core.dataset import Dataset
from learn2compress.core.family import NOT_GIVEN
from learn2compress.core.member import MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.precision import FULL_INT8, FileFormat
from learn2compress.core.version import __version__
from learn2compress.inputs.display_names import read_display_names
from learn2compress.inputs.teacher import Teacher
from learn2compress.tasks import Task

# What an app feeds, for people.
_FED = {
    "uint8": "RGB pixels 0..255",
    "int8": "RGB pixels 0..255 less 128",
    "float32": "RGB pixels 0..255 as float32, not normalised,",
}


def described(dataset: Dataset, teacher: Teacher, options: Options) -> tuple[Dataset, Teacher]:
    """The data and the teacher with what the user states of them: licences, class names in other languages.

    Raises:
        InputError: `option.display_labels` or `labels.display`.
    """
    names = read_display_names(options.display_labels, dataset.class_names)
    return (
        replace(dataset, licence=options.data_licence, display_names=names),
        replace(teacher, licence=options.teacher_licence),
    )


def metadata(
    task: Task,
    spec: MemberSpec,
    teacher: Teacher,
    dataset: Dataset,
    written: FileFormat = FULL_INT8,
) -> Callable[[bytes], bytes]:
    """The function that puts into a file what the member is."""

    floats, logits = written.input_type == "float32", written.output == "logits"

    def add(model: bytes) -> bytes:
        return task.add_metadata(
            model,
            name=f"{teacher.name} {spec.name}",
            # No accuracy: it is that of the finished file, measured after this is written; the model card has it.
            description=f"Image classifier with {dataset.classes} classes, compressed from {teacher.name} by "
            f"learn2compress, trained on {len(dataset.train)} images. Takes {_FED[written.input_type]} of "
            f"{spec.input_size[1]}x{spec.input_size[0]}. Accuracy and limits: {spec.name}.md.",
            version=__version__,
            author="learn2compress",
            license=f"teacher: {teacher.licence or NOT_GIVEN}; data: {dataset.licence or NOT_GIVEN}",
            labels=dataset.class_names,
            # The scale is inside: what an app makes of a pixel by (pixel - mean) / std is the pixel itself.
            input_mean=(0.0,) if floats else None,
            input_std=(1.0,) if floats else None,
            output_name="logit" if logits else "probability",
            logits=logits,
            display_labels=dataset.display_names,
        )

    return add
