"""What differs from task to task, in one table; nobody else asks "which task?"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.export.metadata import add_metadata
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.teacher import Teacher
from learn2compress.sources.protocol import MemberSource

# Below this many training images a class, a student from scratch falls far behind a cut of a trained teacher.
FEWEST_IMAGES_PER_CLASS_FROM_SCRATCH = 1000


@dataclass(frozen=True)
class Task:
    """One kind of work.

    Attributes:
        name: as it stands in the manifest.
        load_dataset: see `inputs.dataset.load_dataset`.
        source: function (teacher, dataset, route asked for) -> where the members come from.
        add_metadata: see `export.metadata.add_metadata`.
    """

    name: str
    load_dataset: Callable[..., Dataset]
    source: Callable[[Teacher, Dataset, str], MemberSource]
    add_metadata: Callable[..., bytes]


def _image_source(teacher: Teacher, dataset: Dataset, asked: str) -> MemberSource:
    from learn2compress.graph.trunk import trunk_refusal
    from learn2compress.sources.cuts import TeacherCuts
    from learn2compress.sources.fresh import FreshStudents

    refusal = trunk_refusal(teacher.keras_model)
    if asked == "teacher" and refusal:
        raise InputError(
            "route.teacher_refused",
            f"The teacher's own graph can't be cut: {refusal}.",
            "use --from fresh: students of our own are trained from the teacher's outputs.",
        )
    per_class = len(dataset.train) / dataset.classes
    if asked == "fresh":
        return FreshStudents(teacher, dataset, "asked for")
    if asked == "teacher":
        return TeacherCuts(teacher, dataset, "asked for")
    if refusal:
        return FreshStudents(teacher, dataset, f"the teacher's own graph can't be cut ({refusal})")
    if per_class >= FEWEST_IMAGES_PER_CLASS_FROM_SCRATCH:
        enough = f"{per_class:.0f} training images a class are enough for students from scratch"
        return FreshStudents(teacher, dataset, enough)
    few = f"with {per_class:.0f} training images a class, the teacher's trained weights are kept"
    return TeacherCuts(teacher, dataset, few)


IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    load_dataset=load_dataset,
    source=_image_source,
    add_metadata=add_metadata,
)

TASKS = {IMAGE_CLASSIFICATION.name: IMAGE_CLASSIFICATION}
