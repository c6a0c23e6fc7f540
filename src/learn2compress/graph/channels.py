"""Coupled channel groups: which channels of a functional model must be kept or dropped together.

Every channel of every layer gets a number; what a layer's rule (`graph.rules`) says is tied together is one *unit*:
drop it, and the same index goes from the kernel that makes it, the batch norm behind it, the kernels that take it,
and from all others in its residual stream. Units that lie along the same axes form a *group*, in which they compete.

The same idea as the dependency graph of DepGraph (Fang et al., 2023), but kept channel by channel, so that
concatenations, flattened maps and grouped convolutions need no cases of their own.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.choice import Choice
from learn2compress.graph.blocks import Block, removable_blocks
from learn2compress.graph.calls import Graph, kind_of, read_graph
from learn2compress.graph.ledger import Ledger
from learn2compress.graph.rules import hold, rule_for

Indices = NDArray[np.int64]
# (position in `layer.weights`, axis)
Axis = tuple[int, int]
FEWEST_CHANNELS = 8
# Measured: `benchmarks/channel_multiples.py`.
MULTIPLE = 8
# Group of what lies along no variable's axis: it always stays.
HELD = -1
# Layers with a setting that says how many channels there are.
SHAPED_BY_CHANNELS = ("GroupNormalization", "Reshape")


@dataclass(frozen=True)
class Group:
    """Channels that lie along the same axes and can be dropped one by one.

    Attributes:
        index: in `Channels.groups`.
        name: of the layer that makes them first.
        size: how many units there are.
        reason: why none may be dropped; empty when they may.
        exact: whether a unit whose outgoing weights are zero can go without any change to the outputs; not so where
            layer normalization takes a mean over channels.
        widths: how many channels a unit has in the layers that make them, each number once, that of the first layer
            first; other than one where a grouped convolution or normalization lets only whole groups of channels go.
    """

    index: int
    name: str
    size: int
    reason: str = ""
    exact: bool = True
    widths: tuple[int, ...] = (1,)

    @property
    def width(self) -> int:
        """How many channels a unit has in the layer that makes them first."""
        return self.widths[0]

    @property
    def channels(self) -> int:
        """How many channels there are in the layer that makes them first."""
        return self.size * self.width

    @property
    def narrowest(self) -> int:
        """How many channels a unit has in the layer that makes the fewest of it."""
        return min(self.widths)

    @property
    def fewest(self) -> int:
        """How many units have to stay, so that every layer that makes them has channels enough."""
        return min(self.size, -(-FEWEST_CHANNELS // self.narrowest))

    @property
    def step(self) -> int:
        """How many units go at a time: each layer then makes a multiple of the channels that kernels take at once."""
        return MULTIPLE // math.gcd(MULTIPLE, *self.widths)


@dataclass(frozen=True)
class AxisUnits:
    """What lies along one axis of a variable.

    Attributes:
        group: for each position the index of its group.
        unit: for each position the number of its unit inside the group.
    """

    group: Indices
    unit: Indices

    @cached_property
    def counts(self) -> dict[int, int]:
        """For each group, how many positions it has here."""
        groups, counts = np.unique(self.group, return_counts=True)
        return dict(zip(groups.tolist(), counts.tolist(), strict=True))


@dataclass(frozen=True)
class Channels:
    """The channel analysis of a model.

    Attributes:
        graph: the flat graph.
        groups: by index; those that hold the model's inputs and outputs, too, with the reason.
        axes: for `id(layer)`, what lies along the axes of its variables; other axes are never cut.
        tensors: what lies along the last axis of what a call gives, by tensor number, where the call's settings
            depend on it.
        blocks: what can be removed whole.
        notes: for the name of a layer that was not understood, the reason.
    """

    graph: Graph
    groups: tuple[Group, ...]
    axes: Mapping[int, Mapping[Axis, AxisUnits]]
    tensors: Mapping[int, AxisUnits]
    blocks: tuple[Block, ...]
    notes: Mapping[str, str]

    @property
    def prunable(self) -> list[Group]:
        """The groups of which units can be dropped."""
        return [group for group in self.groups if not group.reason]

    def block(self, name: str) -> Block:
        """The removable block of this name."""
        return next(block for block in self.blocks if block.name == name)

    def check(self, choice: Choice) -> None:
        """Raises ValueError for a choice that the model does not allow."""
        known = {block.name for block in self.blocks}
        if unknown := choice.removed - known:
            raise ValueError(f"no removable blocks: {', '.join(sorted(unknown))}")
        for index, units in choice.kept.items():
            if index not in range(len(self.groups)):
                raise ValueError(f"there is no group {index}")
            group = self.groups[index]
            rising = len(units) == 0 or bool((np.diff(units) > 0).all() and units[0] >= 0 and units[-1] < group.size)
            if not rising:
                raise ValueError(f"the kept units of {group.name} are no ascending part of 0..{group.size - 1}")
            if group.reason and len(units) < group.size:
                raise ValueError(f"{group.name} can't be narrowed: {group.reason}")
            if len(units) < group.fewest:
                kept = len(units) * group.narrowest
                raise ValueError(f"{group.name} would keep {kept} channels; the fewest are {FEWEST_CHANNELS}")

    def kept_along(self, axis: AxisUnits, choice: Choice) -> Indices:
        """Positions along an axis that a choice keeps, ascending."""
        keep = np.ones(len(axis.group), bool)
        for index in axis.counts:
            units = choice.kept.get(index)
            if units is not None:
                here = axis.group == index
                keep[here] = np.isin(axis.unit[here], units, assume_unique=False)
        return np.flatnonzero(keep)

    def shapes(self, layer: Any, sizes: Mapping[int, int]) -> list[tuple[int, ...]]:
        """Shapes of a layer's weights when the groups keep so many units."""
        shapes = [list(weight.shape) for weight in layer.weights]
        for (position, axis), units in self.axes.get(id(layer), {}).items():
            shapes[position][axis] = self.length(units, sizes)
        return [tuple(shape) for shape in shapes]

    def length(self, axis: AxisUnits, sizes: Mapping[int, int]) -> int:
        """Positions that an axis has when the groups keep so many units."""
        return sum(
            count * sizes[index] // self.groups[index].size if index in sizes else count
            for index, count in axis.counts.items()
        )


def find_channels(model: Any) -> Channels:
    """The channel analysis of a functional or sequential model.

    Raises:
        UnreadableGraphError: it is no graph of layers.
    """
    graph = read_graph(model)
    ledger = Ledger()
    notes: dict[str, str] = {}
    makers = _Makers()
    values: list[Indices] = [np.empty(0, np.int64)] * len(graph.shapes)
    for number in graph.inputs:
        values[number] = ledger.make(int(graph.shapes[number][-1] or 1) if len(graph.shapes[number]) > 1 else 1)
        ledger.hold(values[number], "the model's input")
        makers.note("input", values[number])
    for call in graph.calls:
        inputs = [values[number] for number in call.inputs]
        shapes = [graph.shapes[number] for number in call.inputs]
        rule = rule_for(call)
        if rule is None:
            kind = type(call.operation).__name__
            reason = f"{call.name} is a {kind}, whose channels are not understood"
            notes[call.name] = reason
            for number in call.outputs:
                values[number] = hold(call, inputs, reason, graph.shapes[number], ledger)
        else:
            values[call.outputs[0]] = rule(call, inputs, shapes, graph.shapes[call.outputs[0]], ledger)
        for number in call.outputs:
            makers.note(call.name, values[number])
    for number in graph.outputs:
        ledger.hold(values[number], "the model's output")
    groups, place = _grouped(graph, ledger, makers)

    def located(channels: Indices) -> AxisUnits:
        pairs = [place.get(root, (HELD, 0)) for root in ledger.roots(channels).tolist()]
        columns = np.array(pairs, np.int64).reshape(-1, 2)
        return AxisUnits(columns[:, 0], columns[:, 1])

    axes = {key: {axis: located(found) for axis, found in layer.items()} for key, layer in ledger.axes.items()}
    shaped = [call for call in graph.calls if kind_of(call.operation) in SHAPED_BY_CHANNELS]
    tensors = {number: located(values[number]) for call in shaped for number in call.outputs}
    return Channels(graph, groups, axes, tensors, removable_blocks(graph), notes)


class _Makers:
    """Which call made which channels, the model's input first; channels are numbered as they are made."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._names: list[str] = []
        self._made = 0

    def note(self, name: str, given: Indices) -> None:
        """These are what a call gives; those that nothing gave before it made."""
        made = int(given.max(initial=-1)) + 1
        if made > self._made:
            self._first.append(self._made)
            self._names.append(name)
            self._made = made

    def name(self, channel: int) -> str:
        """Of the call that made it."""
        return self._names[bisect_right(self._first, channel) - 1]


def _grouped(graph: Graph, ledger: Ledger, makers: _Makers) -> tuple[tuple[Group, ...], dict[int, tuple[int, int]]]:
    """Sorts units into groups by the axes they lie along; also says for each root its group and number there."""
    rooted = {
        key: {axis: ledger.roots(channels) for axis, channels in axes.items()} for key, axes in ledger.axes.items()
    }
    held, mixed = ledger.held(), ledger.mixed()
    uses: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    # For each use that is of what a layer makes, the layer's name.
    making: dict[int, str] = {}
    use = 0
    for layer in graph.layers:
        name, ranks = graph.layer_names[id(layer)], [len(weight.shape) for weight in layer.weights]
        for (position, axis), roots in rooted.get(id(layer), {}).items():
            found, counts = np.unique(roots, return_counts=True)
            # One pair for all of a count: there are many channels, and few counts.
            pairs = {count: (use, count) for count in set(counts.tolist())}
            for root, count in zip(found.tolist(), counts.tolist(), strict=True):
                uses[root].append(pairs[count])
            if axis == ranks[position] - 1:
                making[use] = name
            use += 1
    members: dict[tuple[Any, ...], list[int]] = {}
    for root in sorted(uses):
        signature = (held.get(root, ""), root in mixed, *uses[root])
        members.setdefault(signature, []).append(root)
    groups: list[Group] = []
    place: dict[int, tuple[int, int]] = {}
    for signature, roots_of_group in members.items():
        root = roots_of_group[0]
        made = [(making[use], count) for use, count in uses[root] if use in making] or [(makers.name(root), 1)]
        widths = tuple(dict.fromkeys(count for _, count in made))
        group = Group(len(groups), made[0][0], len(roots_of_group), str(signature[0]), not signature[1], widths)
        groups.append(group if group.reason else replace(group, reason=_too_few(group)))
        place.update({root: (len(groups) - 1, unit) for unit, root in enumerate(roots_of_group)})
    return tuple(groups), place


def _too_few(group: Group) -> str:
    """That no unit can go, if so."""
    if group.size > group.fewest:
        return ""
    together = f", of which {group.narrowest} go together" if group.narrowest > 1 else ""
    where = "" if group.narrowest == group.width else "where it is narrowest, "
    return f"{where}it has only {group.size * group.narrowest} channels{together}"


def sizes_of(choice: Choice) -> dict[int, int]:
    """How many units each named group keeps."""
    return {index: len(units) for index, units in choice.kept.items()}


def layers_of(channels: Channels, group: Group) -> Iterable[str]:
    """Names of the layers whose variables hold channels of the group."""
    for layer in channels.graph.layers:
        if any(group.index in units.counts for units in channels.axes.get(id(layer), {}).values()):
            yield channels.graph.layer_names[id(layer)]
