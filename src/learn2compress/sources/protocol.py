"""What a source of members is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from learn2compress.core.member import MemberSpec, Route, SourceKind, Start
from learn2compress.graph.slices import Part
from learn2compress.plan.members import Candidate

# Gives what JSON can hold, by a key and what finds it out: such as what keeps it for the next process.
Recall = Callable[[str, Callable[[], Any]], Any]


class MemberSource(Protocol):
    """Gives the members that can be trained together, and builds those that are chosen.

    Attributes:
        kind: decides how its members are trained.
        words: what its members are, for people.
        route: as it is asked for and reported.
        reason: why this source.
        start: what joint training sets before its first step.
    """

    kind: SourceKind
    words: str
    route: Route
    reason: str
    start: Start

    def candidates(self) -> list[Candidate]:
        """Every member that could be the widest of a family."""
        ...

    def narrower(self, widest: Candidate, candidates: list[Candidate]) -> list[Candidate]:
        """The members that can be trained with this widest one, itself included."""
        ...

    def uneven(self, widest: Candidate) -> list[Candidate]:
        """Members of other proportions, that can be trained with this widest one too, or cut out of its weights.

        They share less of its work than those of `narrower`.
        """
        ...

    def build(self, spec: MemberSpec) -> Part:
        """The member, untrained or with the teacher's weights: `(pixels - 128) / 128` to logits (n, classes).

        Raises:
            ValueError: its layers don't fit images of its `input_size`; never for the data's own.
        """
        ...
