"""What a member's file says of itself."""

from __future__ import annotations

from collections.abc import Callable

from learn2compress.core.dataset import Dataset
from learn2compress.core.member import MemberSpec
from learn2compress.core.version import __version__
from learn2compress.inputs.teacher import Teacher
from learn2compress.tasks import Task


def metadata(task: Task, spec: MemberSpec, teacher: Teacher, dataset: Dataset) -> Callable[[bytes], bytes]:
    """The function that puts into a file what the member is."""

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
