"""The book-keeping of a channel analysis: which channels there are, which belong together, which must stay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Channels = NDArray[np.int64]


class Ledger:
    """Channels are numbers; tied ones have the same root (union-find)."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._held: dict[int, str] = {}
        self._mixed: set[int] = set()
        self._made: dict[int, tuple[Channels, Channels]] = {}
        self._taken: dict[int, Channels] = {}
        # For `id(layer)`: (position in `layer.weights`, axis) -> the channels along that axis.
        self.axes: dict[int, dict[tuple[int, int], Channels]] = {}

    def make(self, count: int) -> Channels:
        """That many new channels."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, channel: int) -> int:
        """The number that stands for all channels tied to this one."""
        parent = self._parent
        while parent[channel] != channel:
            parent[channel] = parent[parent[channel]]
            channel = parent[channel]
        return channel

    def roots(self, channels: Channels) -> Channels:
        """The root of each."""
        return np.array([self.root(int(channel)) for channel in channels], np.int64)

    def tie(self, some: Channels, others: Channels) -> None:
        """Channels at the same place must be kept or dropped together."""
        if some is others:
            return
        for one, other in zip(some.tolist(), others.tolist(), strict=True):
            older, younger = sorted((self.root(one), self.root(other)))
            # The older one stays the root, so that a group is named after what made it first.
            self._parent[younger] = older

    def hold(self, channels: Channels, reason: str) -> None:
        """These must all stay."""
        for channel in channels.tolist():
            self._held.setdefault(channel, reason)

    def held(self) -> dict[int, str]:
        """For each root that must stay, why."""
        reasons: dict[int, str] = {}
        for channel, reason in self._held.items():
            reasons.setdefault(self.root(channel), reason)
        return reasons

    def mark_mixed(self, channels: Channels) -> None:
        """Each of these has a part in the outputs of the others: dropping it changes them a little."""
        self._mixed.update(channels.tolist())

    def mixed(self) -> set[int]:
        """Roots of such channels."""
        return {self.root(channel) for channel in self._mixed}

    def uses(self, layer: Any, position: int, axis: int, channels: Channels) -> None:
        """Along this axis of `layer.weights[position]` lie these channels."""
        self.axes.setdefault(id(layer), {})[position, axis] = channels

    def made_by(self, layer: Any) -> tuple[Channels, Channels] | None:
        """What the layer took and made at its first call, if it was called before."""
        return self._made.get(id(layer))

    def remember(self, layer: Any, taken: Channels, made: Channels) -> None:
        """Keeps the first call of a layer that makes channels."""
        self._made[id(layer)] = (taken, made)

    def tied_to_first(self, layer: Any, taken: Channels) -> bool:
        """Whether the layer was called before; if so, what it takes now is tied to what it took then."""
        before = self._taken.setdefault(id(layer), taken)
        if len(before) == len(taken):
            self.tie(before, taken)
        else:
            for channels in (before, taken):
                self.hold(channels, f"{layer.name} is called on different numbers of channels")
        return before is not taken
