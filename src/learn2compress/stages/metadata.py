"""What a member's file says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from learn2compress.core.dataset import Dataset
from learn2compress.core.family import NOT_GIVEN
from learn2compress.core.member import MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.version import __version__
from learn2compress.inputs.display_names import read_display_names
from learn2compress.inputs.teacher import Teacher
from learn2compress.tasks import Task


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


def metadata(task: Task, spec: MemberSpec, teacher: Teacher, dataset: Dataset) -> Callable[[bytes], bytes]:
    """The function that puts into a file what the member is."""

    def add(model: bytes) -> bytes:
        return task.add_metadata(
            model,
            name=f"{teacher.name} {spec.name}",
            # No accuracy: it is that of the finished file, measured after this is written; the model card has it.
            description=f"Image classifier with {dataset.classes} classes, compressed from {teacher.name} by "
            f"learn2compress, trained on {len(dataset.train)} images. Takes RGB pixels 0..255 of "
            f"{spec.input_size[1]}x{spec.input_size[0]}. Accuracy and limits: {spec.name}.md.",
            version=__version__,
            author="learn2compress",
            license=f"teacher: {teacher.licence or NOT_GIVEN}; data: {dataset.licence or NOT_GIVEN}",
            labels=dataset.class_names,
            display_labels=dataset.display_names,
        )

    return add
