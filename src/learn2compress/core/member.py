"""The choice that makes a member: which architecture, how wide, how deep, at which input size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Route = Literal["fresh", "teacher"]
# Students of our own; the teacher cut at a depth; the teacher pruned.
SourceKind = Literal["students", "cuts", "prunings"]
# What is set before the first training step: heads by least squares, stems by whitening, or nothing.
Start = Literal["heads", "stems", "as built"]


@dataclass(frozen=True)
class MemberSpec:
    """One member before it is built.

    Attributes:
        name: file name without extension, unique in the family.
        route: `fresh` (a student backbone of ours) or `teacher` (the teacher's own graph, cut).
        width: share of the widest choice's channels, 1 for the widest.
        channels: channels per stage, stem first (fresh route; empty otherwise).
        blocks: residual blocks per stage (fresh route; empty otherwise).
        cut: name of the teacher's layer after which a new head is put (teacher route; empty otherwise).
        removals: how many steps of the pruning order were taken (pruned teacher; 0 otherwise).
        given_back: which of these, by their numbers in the order, were not taken after all.
        depth: number of weight layers, for people.
        input_size: (height, width) of the images it takes.
        targets: the targets it was chosen to satisfy.
        precision: of the file it is written as; see `core.precision`.
        in_float32: layers whose outputs are not rounded in its int8 file; None where that is to be found out.
    """

    name: str
    route: Route
    width: float
    input_size: tuple[int, int]
    channels: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    cut: str = ""
    removals: int = 0
    given_back: tuple[int, ...] = ()
    depth: int = 0
    targets: tuple[str, ...] = ()
    precision: str = "int8"
    in_float32: tuple[str, ...] | None = None

    def contains(self, other: MemberSpec) -> bool:
        """Whether no stage of another of the same family is wider or deeper, nor has what was pruned here.

        Of cuts it is not known here.
        """
        mine, others = (*self.channels, *self.blocks), (*other.channels, *other.blocks)
        no_wider = len(mine) == len(others) and all(a >= b for a, b in zip(mine, others, strict=True))
        return no_wider and self.gone <= other.gone

    @property
    def gone(self) -> frozenset[int]:
        """Numbers of the steps of the pruning order that were taken."""
        return frozenset(range(self.removals)) - frozenset(self.given_back)

    @property
    def identity(self) -> tuple[object, ...]:
        """What a member of a family is, whatever it is called."""
        return (*self.layers, self.input_size)

    def same_layers(self, other: MemberSpec) -> bool:
        """Whether another of the same family differs at most in the size of its images."""
        return self.layers == other.layers

    @property
    def layers(self) -> tuple[object, ...]:
        """The choice that makes a member of a family, but for the size of its images."""
        return self.channels, self.blocks, self.cut, self.removals, self.given_back


@dataclass(frozen=True)
class Cost:
    """What a model costs before it is trained.

    Attributes:
        parameters: weights and biases after batch norm is folded.
        macs: multiply-accumulates of one inference.
        size_bytes: estimated bytes of the int8 file.
        latency_ms: of one inference, measured or interpolated; 0 where no bound asks for it.
        memory_bytes: peak, likewise.
    """

    parameters: int
    macs: int
    size_bytes: int
    latency_ms: float = 0.0
    memory_bytes: float = 0.0
