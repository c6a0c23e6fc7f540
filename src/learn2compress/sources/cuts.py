"""The teacher's own graph, cut at a depth, with a new head."""

from __future__ import annotations

from functools import cached_property

import keras
import numpy as np

from learn2compress.core.dataset import Dataset
from learn2compress.core.member import Cost, MemberSpec, Route, SourceKind, Start
from learn2compress.graph.cost import model_cost
from learn2compress.graph.input_size import at_size
from learn2compress.graph.slices import Part
from learn2compress.graph.trunk import build_trunk, cut_points, own_layers
from learn2compress.graph.walk import weight_layers
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.members import Candidate


class TeacherCuts:
    """One member a cut point; see `MemberSource`."""

    kind: SourceKind = "cuts"
    words = "cuts of the teacher"
    route: Route = "teacher"
    start: Start = "heads"

    def __init__(self, teacher: Teacher, dataset: Dataset, reason: str) -> None:
        self.reason = reason
        self._teacher, self._classes = teacher, dataset.classes

    @cached_property
    def _graph(self) -> keras.Model:
        return own_layers(self._teacher.keras_model, self._teacher.input_size).model

    def candidates(self) -> list[Candidate]:
        """Every cut."""
        model = self._graph
        found = []
        for cut in cut_points(model):
            trunk = keras.Model(model.inputs[0], model.get_layer(cut).output)
            cost = model_cost(trunk)
            head = trunk.output.shape[-1] * self._classes
            total = Cost(cost.parameters + head, cost.macs + head, cost.size_bytes + head + 1000)
            depth = weight_layers(trunk) + 1
            spec = MemberSpec(cut, "teacher", 1.0, self._teacher.input_size, cut=cut, depth=depth)
            found.append(Candidate(spec, total))
        return found

    def narrower(self, widest: Candidate, candidates: list[Candidate]) -> list[Candidate]:
        """All cuts: they have their layers in common."""
        return candidates

    def uneven(self, widest: Candidate) -> list[Candidate]:
        """None: a cut has one proportion."""
        return []

    def build(self, spec: MemberSpec) -> Part:
        """The teacher up to the cut."""
        preprocess = self._teacher.preprocess
        cut = build_trunk(
            self._graph,
            spec.cut,
            self._classes,
            spec.name,
            np.asarray(preprocess.scale, float),
            np.asarray(preprocess.offset, float),
            preprocess.bgr,
        )
        return at_size(Part(cut), spec.input_size)
