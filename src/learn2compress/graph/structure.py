"""What a model is made of, for people: its channel groups and removable blocks with their share of the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from learn2compress.core.choice import Choice
from learn2compress.core.member import Cost
from learn2compress.graph.channels import Channels, find_channels, layers_of
from learn2compress.graph.pruned_cost import pruned_cost


@dataclass(frozen=True)
class GroupShare:
    """A channel group and what its channels take part in.

    Attributes:
        name: of the layer that makes the channels.
        channels: how many there are, in the layer that makes them.
        together: how many of them go together.
        layers: how many layers are narrowed with it.
        macs, parameters: share of the whole model that its channels take part in: what would be gone without any of
            them. A kernel counts for the channels that it takes and for those that it makes, so the shares of all
            groups add up to more than one.
    """

    name: str
    channels: int
    together: int
    layers: int
    macs: float
    parameters: float


@dataclass(frozen=True)
class BlockShare:
    """A removable block and what goes with it, as shares of the whole model."""

    name: str
    macs: float
    parameters: float


@dataclass(frozen=True)
class Structure:
    """Groups and blocks in graph order.

    Attributes:
        groups: those that can be narrowed.
        blocks: those that can be removed.
        held: channels that stay, as (layer, channels, reason).
        notes: for the name of a layer that was not understood, the reason.
    """

    groups: tuple[GroupShare, ...]
    blocks: tuple[BlockShare, ...]
    held: tuple[tuple[str, int, str], ...]
    notes: dict[str, str]


def structure(model: Any) -> Structure:
    """Reads a functional or sequential model.

    Raises:
        UnreadableGraphError: it is no graph of layers.
    """
    channels = find_channels(model)
    whole = pruned_cost(channels, Choice())
    groups = []
    for group in channels.prunable:
        # No model that could be built, but one that can be counted.
        without = pruned_cost(channels, Choice({group.index: np.arange(0)}))
        layers = len(list(layers_of(channels, group)))
        groups.append(GroupShare(group.name, group.channels, group.width, layers, *_saved(whole, without)))
    blocks = [_block(channels, block.name, whole) for block in channels.blocks]
    held = [(group.name, group.channels, group.reason) for group in channels.groups if group.reason]
    return Structure(tuple(groups), tuple(blocks), tuple(held), dict(channels.notes))


def _block(channels: Channels, name: str, whole: Cost) -> BlockShare:
    return BlockShare(name, *_saved(whole, pruned_cost(channels, Choice(removed=frozenset([name])))))


def _saved(whole: Cost, less: Cost) -> tuple[float, float]:
    """Shares of MACs and parameters saved."""
    return (
        round(1 - less.macs / max(whole.macs, 1), 4),
        round(1 - less.parameters / max(whole.parameters, 1), 4),
    )
