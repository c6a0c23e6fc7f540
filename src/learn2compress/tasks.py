"""What differs from task to task, in one table; nobody else asks "which task?"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from learn2compress.core.dataset import Dataset
from learn2compress.core.member import Cost, MemberSpec, Route
from learn2compress.export.metadata import add_metadata
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.members import Candidate

# Below this many training images a class, a student from scratch falls far behind a cut of a trained teacher.
FEWEST_IMAGES_PER_CLASS_FROM_SCRATCH = 1000
WIDTH_STEP = 1 / 16


@dataclass(frozen=True)
class Task:
    """One kind of work.

    Attributes:
        name: as it stands in the manifest.
        load_dataset: see `inputs.dataset.load_dataset`.
        routes: function (teacher, dataset, asked for) -> (route, reason).
        candidates: function (teacher, dataset, route) -> every member that could be the widest of a family.
        narrower: function (widest, candidates, dataset) -> the members that can be trained with it, itself included.
        build: function (spec, teacher, classes) -> untrained Keras model, scaled pixels to logits.
        add_metadata: see `export.metadata.add_metadata`.
    """

    name: str
    load_dataset: Callable[..., Dataset]
    routes: Callable[[Teacher, Dataset, str], tuple[Route, str]]
    candidates: Callable[[Teacher, Dataset, Route], list[Candidate]]
    narrower: Callable[[Candidate, list[Candidate], Dataset], list[Candidate]]
    build: Callable[[MemberSpec, Teacher, int], Any]
    add_metadata: Callable[..., bytes]


def _choose_route(teacher: Teacher, dataset: Dataset, asked: str) -> tuple[Route, str]:
    from learn2compress.core.errors import InputError
    from learn2compress.graph.trunk import trunk_refusal

    refusal = trunk_refusal(teacher.keras_model)
    if asked == "teacher" and refusal:
        raise InputError(
            "route.teacher_refused",
            f"The teacher's own graph can't be cut: {refusal}.",
            "use --from fresh: students of our own are trained from the teacher's outputs.",
        )
    per_class = len(dataset.train) / dataset.classes
    if asked == "fresh":
        return "fresh", "asked for"
    if asked == "teacher":
        return "teacher", "asked for"
    if refusal:
        return "fresh", f"the teacher's own graph can't be cut ({refusal})"
    if per_class >= FEWEST_IMAGES_PER_CLASS_FROM_SCRATCH:
        return "fresh", f"{per_class:.0f} training images a class are enough for students from scratch"
    return "teacher", f"with {per_class:.0f} training images a class, the teacher's trained weights are kept"


def _image_candidates(teacher: Teacher, dataset: Dataset, route: Route) -> list[Candidate]:
    if route == "teacher":
        return _cuts(teacher, dataset)
    from learn2compress.students import convnet

    steps = range(round(convnet.SMALLEST_WIDTH / WIDTH_STEP), round(convnet.LARGEST_WIDTH / WIDTH_STEP) + 1)
    bases: dict[tuple[int, ...], MemberSpec] = {}
    for step in steps:
        spec = convnet.base(teacher.input_size, step * WIDTH_STEP)
        bases.setdefault(spec.channels, spec)
    return [_student(spec, dataset.classes) for spec in bases.values()]


def _narrower_image_members(widest: Candidate, candidates: list[Candidate], dataset: Dataset) -> list[Candidate]:
    if widest.spec.route == "teacher":
        return candidates
    from learn2compress.students.convnet import narrower

    return [widest, *(_student(spec, dataset.classes) for spec in narrower(widest.spec))]


def _student(spec: MemberSpec, classes: int) -> Candidate:
    import keras

    from learn2compress.graph.cost import model_cost
    from learn2compress.students.convnet import build_student

    model = build_student(spec, classes)
    name = "-".join(map(str, (*spec.channels, *spec.blocks)))
    candidate = Candidate(replace(spec, name=name, depth=_depth(model)), model_cost(model))
    keras.backend.clear_session(free_memory=False)
    return candidate


def _cuts(teacher: Teacher, dataset: Dataset) -> list[Candidate]:
    import keras

    from learn2compress.graph.cost import model_cost
    from learn2compress.graph.trunk import cut_points

    model = teacher.keras_model
    candidates = []
    for cut in cut_points(model):
        trunk = keras.Model(model.inputs[0], model.get_layer(cut).output)
        cost = model_cost(trunk)
        head = trunk.output.shape[-1] * dataset.classes
        total = Cost(cost.parameters + head, cost.macs + head, cost.size_bytes + head + 1000)
        spec = MemberSpec(
            cut, "teacher", 1.0, teacher.input_size, cut=cut, depth=_depth(trunk) + 1, blocks=(), channels=()
        )
        candidates.append(Candidate(spec, total))
    return candidates


def _depth(model: Any) -> int:
    from learn2compress.graph.walk import WEIGHT_LAYERS

    return sum(type(layer).__name__ in WEIGHT_LAYERS for layer in model.layers)


def _build_image_member(spec: MemberSpec, teacher: Teacher, classes: int) -> Any:
    if spec.route == "fresh":
        from learn2compress.students.convnet import build_student

        return build_student(spec, classes)
    from learn2compress.graph.trunk import build_trunk

    preprocess = teacher.preprocess
    return build_trunk(
        teacher.keras_model,
        spec.cut,
        classes,
        spec.name,
        np.asarray(preprocess.scale, float),
        np.asarray(preprocess.offset, float),
        preprocess.bgr,
    )


IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    load_dataset=load_dataset,
    routes=_choose_route,
    candidates=_image_candidates,
    narrower=_narrower_image_members,
    build=_build_image_member,
    add_metadata=add_metadata,
)

TASKS = {IMAGE_CLASSIFICATION.name: IMAGE_CLASSIFICATION}
