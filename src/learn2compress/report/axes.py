"""One plot: the models as points, the members' Pareto front as a line, names beside the points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from learn2compress.core.family import Family, Model
from learn2compress.core.pareto import pareto_front
from learn2compress.core.units import percent
from learn2compress.report.labels import Box, place
from learn2compress.report.palette import Palette
from learn2compress.report.rows import baselines

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL_POINTS = 9.0
# With more points than this their names alone fill the plot.
_FIGURES_UP_TO = 6


class Horizontal(Protocol):
    """What the horizontal axis shows."""

    @property
    def label(self) -> str:
        """Its title."""

    @property
    def value(self) -> Callable[[Model], float | None]:
        """A model's figure, None where it was not measured."""

    @property
    def show(self) -> Callable[[float], str]:
        """The figure as text."""


@dataclass(frozen=True)
class Marks:
    """What `draw` has put into the axes and `write_names` has yet to name; positions in data coordinates."""

    points: list[tuple[float, float]]
    texts: list[str]
    colours: list[str]
    front: list[tuple[float, float]]
    level: float
    level_text: str


def draw(axes: Axes, family: Family, measure: Horizontal, palette: Palette) -> Marks:
    """Draws teacher, baselines and members that were measured into `axes`."""
    members = [m for m in family.members if measure.value(m) is not None]
    others = [m for m in baselines(family) if measure.value(m) is not None]
    teacher = [family.teacher] if measure.value(family.teacher) is not None else []
    models = [*members, *others, *teacher]
    xs = [float(measure.value(m) or 0) for m in models]
    points = [(x, m.accuracy.test) for x, m in zip(xs, models, strict=True)]
    level = family.teacher.accuracy.test
    _frame(axes, xs, [level, *(y for _, y in points)], measure, palette)
    axes.axhline(level, color=palette.teacher, linewidth=1, linestyle=(0, (2, 3)), zorder=1)

    front = pareto_front([(x, -y) for x, y in points[: len(members)]]) if members else []
    line = sorted(points[i] for i in front)
    axes.plot([x for x, _ in line], [y for _, y in line], color=palette.member, linewidth=1.6, zorder=2)
    for index, (x, y) in enumerate(points):
        if index < len(members):
            # A member that another beats in both respects is drawn hollow.
            face = palette.member if index in front else palette.background
            axes.plot([x], [y], "o", color=palette.member, markerfacecolor=face, markersize=8, zorder=4)
        elif index < len(members) + len(others):
            axes.plot([x], [y], "s", color=palette.baseline, markersize=7, zorder=3)
        else:
            axes.plot([x], [y], "D", color=palette.teacher, markersize=7.5, zorder=3)
    few = len(models) <= _FIGURES_UP_TO
    return Marks(
        points=points,
        texts=[f"{m.name} · {measure.show(x)}" if few else m.name for m, x in zip(models, xs, strict=True)],
        colours=[palette.ink] * len(members) + [palette.muted] * (len(models) - len(members)),
        front=line,
        level=level,
        level_text="" if teacher else f"{family.teacher.name} · {percent(level)}",
    )


def _frame(axes: Axes, xs: list[float], ys: list[float], measure: Horizontal, palette: Palette) -> None:
    positive = [x for x in xs if x > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    margin = max(0.16 * (high - low), 0.15)
    axes.set_xscale("log")
    axes.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    axes.xaxis.set_major_locator(FixedLocator(_ticks(low - margin, high + margin)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: measure.show(value)))
    span = max(max(ys) - min(ys), 0.02)
    # Nothing is right more often than always, but the names of the best need room.
    axes.set_ylim(max(min(ys) - 0.2 * span, -0.02), max(ys) + 0.2 * span)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %" if value <= 1.0001 else ""))
    axes.set_xlabel(measure.label, color=palette.muted, fontsize=9.5, labelpad=7)
    axes.grid(visible=True, color=palette.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=palette.muted, length=0, labelsize=9, pad=5)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(palette.muted)


def _ticks(low: float, high: float) -> list[float]:
    """Round values between 10**low and 10**high, at most seven."""
    for steps in ((1, 2, 5), (1, 3), (1,)):
        exponents = range(math.floor(low), math.ceil(high) + 1)
        ticks = [step * 10.0**e for e in exponents for step in steps if low <= math.log10(step) + e <= high]
        if len(ticks) <= 7:
            break
    return ticks


def write_names(axes: Axes, marks: Marks, palette: Palette) -> None:
    """Writes each point's name beside it. To be called when all axes of the figure are drawn and laid out."""
    canvas: Any = axes.figure.canvas  # of the Agg kind, which alone knows how wide a text is
    renderer = canvas.get_renderer()
    to_pixels, to_data = axes.transData, axes.transData.inverted()
    scale = axes.figure.dpi / 72
    frame = axes.get_window_extent(renderer)
    level = float(to_pixels.transform((marks.points[0][0] if marks.points else 1, marks.level))[1])
    obstacles = [Box(frame.x0, level - scale, frame.x1, level + scale)]
    obstacles += _along([tuple(to_pixels.transform(point)) for point in marks.front], 2 * scale)
    if marks.level_text:
        above = to_data.transform((frame.x1 - 3 * scale, level + 4 * scale))
        style: dict[str, Any] = {
            "fontsize": _LABEL_POINTS,
            "color": palette.muted,
            "ha": "right",
            "va": "bottom",
        }
        extent = axes.text(above[0], above[1], marks.level_text, **style).get_window_extent(renderer)
        obstacles.append(Box(extent.x0, extent.y0, extent.x1, extent.y1))

    pixels = [tuple(map(float, to_pixels.transform(point))) for point in marks.points]
    written = [axes.text(0, 0, text, fontsize=_LABEL_POINTS, va="center", ha="left") for text in marks.texts]
    extents = [text.get_window_extent(renderer) for text in written]
    boxes = place(
        [(x, y) for x, y in pixels],
        [(extent.width, extent.height) for extent in extents],
        Box(frame.x0, frame.y0, frame.x1, frame.y1),
        gap=9 * scale,
        obstacles=obstacles,
    )
    for text, box, colour, (x, y) in zip(written, boxes, marks.colours, pixels, strict=True):
        left, middle = to_data.transform((box.left, (box.bottom + box.top) / 2))
        text.set_position((left, middle))
        text.set_color(colour)
        near_x, near_y = min(max(x, box.left), box.right), min(max(y, box.bottom), box.top)
        if math.hypot(near_x - x, near_y - y) > 16 * scale:
            ends = to_data.transform([(x, y), (near_x, near_y)])
            axes.plot(ends[:, 0], ends[:, 1], color=palette.muted, linewidth=0.6, zorder=2)


def _along(corners: list[tuple[float, float]], half: float) -> list[Box]:
    """Small boxes that cover a line through `corners`."""
    boxes = []
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        steps = max(math.ceil(math.hypot(x1 - x0, y1 - y0) / (2 * half)), 1)
        for i in range(steps + 1):
            x, y = x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps
            boxes.append(Box(x - half, y - half, x + half, y + half))
    return boxes
