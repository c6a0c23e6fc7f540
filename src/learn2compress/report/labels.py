"""Where to write the names of points so that they hide neither each other nor a point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """An upright rectangle; all lengths of one placement are in the same unit (pixels)."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        up = min(self.top, other.top) - max(self.bottom, other.bottom)
        return across * up if across > 0 and up > 0 else 0.0

    def outside(self, frame: Box) -> float:
        """The area of this box that is outside `frame`."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(frame)


# Straight above, below, right and left first: a label reads best there.
_DIRECTIONS = [90, 270, 0, 180, 45, 135, 315, 225, 20, 160, 340, 200, 70, 110, 250, 290]
_DISTANCES = [1.0, 1.8, 2.8, 4.0, 5.5, 7.5, 10.0]


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    *,
    gap: float,
    obstacles: Sequence[Box] = (),
) -> list[Box]:
    """One box for each point, near it, in `frame`, off the other boxes, the points and the obstacles.

    Args:
        points: where the points are.
        sizes: (width, height) of each label.
        frame: where labels may be.
        gap: the distance from a point's middle to a label beside it.
        obstacles: what else labels should not cover.

    Labels are placed one after the other, each at the first of a fixed list of places that is free; where
    none is, at the one that covers least. Nothing else plays a part, so a picture is the same each time.
    """
    marks = [Box(x - gap / 2, y - gap / 2, x + gap / 2, y + gap / 2) for x, y in points]
    placed: list[Box] = []
    for point, size in zip(points, sizes, strict=True):
        taken = [*marks, *placed]
        best, least = None, math.inf
        for candidate in _candidates(point, size, gap):
            cost = sum(candidate.overlap(other) for other in taken)
            cost += sum(candidate.overlap(other) for other in obstacles) / 8 + 4 * candidate.outside(frame)
            if cost < least - 1e-9:
                best, least = candidate, cost
            if cost <= 1e-9:
                break
        if best is None:
            raise ValueError(f"The point {point} or the size {size} of its label is not finite.")
        placed.append(best)
    return placed


def _candidates(point: tuple[float, float], size: tuple[float, float], gap: float) -> list[Box]:
    (x, y), (width, height) = point, size
    boxes = []
    for distance in _DISTANCES:
        for degrees in _DIRECTIONS:
            across, up = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            # The box touches the circle of this distance with the side or corner that faces the point.
            middle_x = x + across * (gap * distance + width / 2)
            middle_y = y + up * (gap * distance + height / 2)
            boxes.append(
                Box(middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2)
            )
    return boxes
