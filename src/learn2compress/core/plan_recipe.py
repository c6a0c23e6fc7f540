"""`[plan]` of a recipe: the members that a run chose, so that a run by its recipe has nothing to choose."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Files are called by it.
MemberName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
Channels = Annotated[int, Field(ge=1)]
Blocks = Annotated[int, Field(ge=1)]
Step = Annotated[int, Field(ge=0)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MemberRecipe(_Table):
    """`[[plan.members]]`: one member; see `core.member.MemberSpec`, of which this is what its source needs.

    Attributes:
        name: file name without extension.
        input_size: `HEIGHTxWIDTH` of the images it takes.
        cut_out: whether it is not trained jointly with the others, but cut out of their weights after that.
        width, depth, channels, blocks, cut, removals, given_back, targets: as in a spec.
        in_float32: the layers whose outputs are not rounded in its int8 file; left out, they are looked for.
    """

    name: MemberName
    input_size: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")]
    width: Annotated[float, Field(gt=0)] = 1.0
    depth: Step = 0
    channels: tuple[Channels, ...] | None = None
    blocks: tuple[Blocks, ...] | None = None
    cut: str | None = None
    removals: Step | None = None
    given_back: tuple[Step, ...] | None = None
    targets: tuple[str, ...] = ()
    cut_out: bool = False
    in_float32: tuple[str, ...] | None = None


def _a_family(members: tuple[MemberRecipe, ...]) -> tuple[MemberRecipe, ...]:
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        raise ValueError("two members have one name")
    if members and all(member.cut_out for member in members):
        raise ValueError("none of the members is trained, so there is nothing to cut them out of")
    return members


class PlanRecipe(_Table):
    """`[plan]`: the members, and what they were chosen for.

    Attributes:
        members: widest first; with none, they are chosen.
        chosen_for: `KEY = VALUE` for all that decides which members are chosen; where it is something else now, they
            are chosen anew. Left out, the members are made whatever is asked for.
        larger: what the next larger member would take, told where all collapse.
    """

    members: Annotated[tuple[MemberRecipe, ...], AfterValidator(_a_family)] | None = None
    chosen_for: tuple[str, ...] | None = None
    larger: str | None = None
