"""Students of our own, trained from scratch."""

from __future__ import annotations

from dataclasses import replace

from learn2compress.core.dataset import Dataset
from learn2compress.core.member import MemberSpec, Route, SourceKind, Start
from learn2compress.graph.input_size import at_size
from learn2compress.graph.slices import Part
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.members import Candidate
from learn2compress.students import convnet


class FreshStudents:
    """Image backbones of `students.convnet`; see `MemberSource`."""

    kind: SourceKind = "students"
    words = "students of our own"
    route: Route = "fresh"
    start: Start = "stems"

    def __init__(self, teacher: Teacher, dataset: Dataset, reason: str) -> None:
        self.reason = reason
        self._size, self._classes = teacher.input_size, dataset.classes

    def candidates(self) -> list[Candidate]:
        """All bases, narrowest first."""
        return [self._candidate(spec) for spec in reversed(convnet.bases(self._size))]

    def narrower(self, widest: Candidate, candidates: list[Candidate]) -> list[Candidate]:
        """The base and what it can be narrowed to."""
        return [widest, *(self._candidate(spec) for spec in convnet.narrower(widest.spec))]

    def uneven(self, widest: Candidate) -> list[Candidate]:
        """The base with some of its early stages narrowed as well as the last."""
        return [self._candidate(spec) for spec in convnet.uneven(widest.spec)]

    def build(self, spec: MemberSpec) -> Part:
        """An untrained student."""
        # The architecture is that for the data's size, whatever size a member takes.
        whole = replace(spec, input_size=self._size)
        return at_size(Part(convnet.build_student(whole, self._classes)), spec.input_size)

    def _candidate(self, spec: MemberSpec) -> Candidate:
        name = "-".join(map(str, (*spec.channels, *spec.blocks)))
        cost, depth = convnet.student_cost(spec, self._classes)
        return Candidate(replace(spec, name=name, depth=depth), cost)
