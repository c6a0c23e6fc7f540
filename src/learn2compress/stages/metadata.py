"""What a member's file says of itself."""

from __future__ import annotations

from collections.abc import Callable

from learn2compress.core.dataset import Dataset
from learn2compress.core.member import MemberSpec
from learn2compress.core.precision import FULL_INT8, FileFormat
from learn2compress.core.version import __version__
from learn2compress.inputs.teacher import Teacher
from learn2compress.tasks import Task

# What an app feeds, for people.
_FED = {
    "uint8": "RGB pixels 0..255",
    "int8": "RGB pixels 0..255 less 128",
    "float32": "RGB pixels 0..255 as float32, not normalised,",
}


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
            description=f"Image classifier with {dataset.classes} classes, compressed from {teacher.name} by "
            f"learn2compress. Takes {_FED[written.input_type]} of {spec.input_size[1]}x{spec.input_size[0]}.",
            version=__version__,
            author="learn2compress",
            license="that of the teacher and its data",
            labels=dataset.class_names,
            # The scale is inside: what an app makes of a pixel by (pixel - mean) / std is the pixel itself.
            input_mean=(0.0,) if floats else None,
            input_std=(1.0,) if floats else None,
            output_name="logit" if logits else "probability",
            logits=logits,
        )

    return add
