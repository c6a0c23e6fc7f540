"""How a member gets into an app: what it is fed and gives, and the command that writes each kind of code for it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from learn2compress.core.app_kinds import APP_KINDS, AppKind
from learn2compress.core.family import Member

_FED = {
    "uint8": "uint8 RGB pixels as they come from a camera",
    "int8": "RGB pixels 0..255 less 128, as int8",
    "float32": "RGB pixels 0.0 to 255.0 as float32",
}


@dataclass(frozen=True)
class Way:
    """A kind of app, and the command that writes its folder, to be run in the family's folder."""

    kind: AppKind
    command: str


def ways(member: Member) -> tuple[Way, ...]:
    """A way into each kind of app that takes the types at the member's ends."""
    return tuple(
        Way(kind, shlex.join(["l2c", "export", ".", "--member", member.name, "--to", kind.name]))
        for kind in APP_KINDS.values()
        if {member.input_type, member.output_type} <= kind.types
    )


def fed_and_given(member: Member) -> str:
    """What goes in and what comes out."""
    height, width = member.input_size
    given = "the probability of each class"
    if member.output == "logits":
        given = "a logit for each class, of which softmax makes probabilities"
    stored = "" if member.output_type == "uint8" else f", as {member.output_type}"
    return f"takes {_FED[member.input_type]}, {width}×{height}, without normalisation, and gives {given}{stored}"
