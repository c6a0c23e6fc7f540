"""Accuracy against size and against latency, as SVG that follows the page's colours, or as a picture file."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from learn2compress.core.errors import InputError
from learn2compress.core.family import Family, Model
from learn2compress.core.units import milliseconds, show_bytes
from learn2compress.report.axes import draw, write_names
from learn2compress.report.palette import DARK, LIGHT, SENTINELS, Palette, css_variables

# Small, so that the text is still legible where the page is as narrow as a telephone.
_SIZE_INCHES = (4.5, 3.5)
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "svg.hashsalt": "learn2compress",  # otherwise ids differ from run to run
    "svg.id": None,
    "font.family": "DejaVu Sans",  # ships with matplotlib, and is wide: labels that fit in it fit in others
    "font.size": 10.0,
    "path.simplify": False,
    "text.parse_math": False,  # a `$` in a name is a `$`
}
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Measure:
    """What a plot's horizontal axis shows; less is better."""

    name: str
    title: str
    label: str
    value: Callable[[Model], float | None]
    show: Callable[[float], str]


SIZE = Measure("size", "Test accuracy against size", "file size", lambda m: m.size_bytes, show_bytes)
LATENCY = Measure(
    "latency",
    "Test accuracy against latency",
    "latency of one inference, median",
    lambda m: m.latency_ms.median if m.latency_ms else None,
    lambda value: f"{milliseconds(value)} ms",
)
MEASURES = (SIZE, LATENCY)


def drawable(family: Family, measure: Measure) -> bool:
    """Whether any member was measured so."""
    return any(measure.value(member) is not None for member in family.members)


def inline_svg(family: Family, measure: Measure) -> str:
    """One plot as an `<svg>` element to put into a page that defines the palette's CSS variables.

    The same family gives the same text each time.
    """
    with mpl.rc_context(_STYLE):
        svg = _svg_text(_figure(family, [measure], SENTINELS, titles=False))
    # Two plots stand in one page, so their ids must differ.
    svg = re.sub(r'\bid="', f'id="{measure.name}-', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{measure.name}-", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{measure.title}" ', 1)


def write_picture(family: Family, path: Path) -> Path:
    """Writes both plots side by side into one file, for a README or slides.

    Args:
        family: what a run made.
        path: ends in `.png` (on white) or `.svg` (follows the reader's light or dark mode).

    Raises:
        InputError: `report.picture_type` when the name ends otherwise.
    """
    measures = [m for m in MEASURES if drawable(family, m)] or [SIZE]
    kind = path.suffix.lower()
    if kind not in {".png", ".svg"}:
        raise InputError(
            "report.picture_type",
            f"A picture can't be written as {path.name}: its name does not end in .png or .svg.",
            "name it like family.png or family.svg.",
        )
    part = path.with_name(path.name + ".part")
    with mpl.rc_context(_STYLE):
        if kind == ".png":
            figure = _figure(family, measures, LIGHT, titles=True)
            figure.savefig(part, format="png", dpi=200, facecolor=LIGHT.background, metadata={"Software": None})
        else:
            part.write_text(
                _standalone(_svg_text(_figure(family, measures, SENTINELS, titles=True))), encoding="utf-8"
            )
    part.replace(path)
    return path


def _figure(family: Family, measures: list[Measure], palette: Palette, *, titles: bool) -> Figure:
    width, height = _SIZE_INCHES
    figure = Figure(figsize=(width * len(measures), height), layout="tight")
    canvas = FigureCanvasAgg(figure)
    drawn = []
    for index, measure in enumerate(measures, 1):
        axes = figure.add_subplot(1, len(measures), index)
        if titles:
            axes.set_title(measure.title, color=palette.ink, fontsize=11, pad=12)
        drawn.append((axes, draw(axes, family, measure, palette)))
    canvas.draw()  # lays the axes out; before that, distances in pixels mean nothing
    figure.set_layout_engine("none")
    for axes, marks in drawn:
        write_names(axes, marks, palette)
    return figure


def _svg_text(figure: Figure) -> str:
    """The figure as an `<svg>` element without prolog, metadata and global style; sentinels are variables."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_METADATA, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # `*{...}` would apply to the whole page that the picture is put in.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--plot-font, sans-serif)", svg)
    for sentinel, variable in css_variables():
        svg = svg.replace(sentinel, f"var({variable})")
    return svg.strip() + "\n"


def _standalone(svg: str) -> str:
    font = "--plot-font: system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif;"
    style = (
        f"<style>:root {{ {font} {LIGHT.css()} }} "
        f"@media (prefers-color-scheme: dark) {{ :root {{ {DARK.css()} }} }}</style>\n"
        '<rect width="100%" height="100%" rx="8" style="fill: var(--plot-background)"/>\n'
    )
    end = svg.index(">") + 1
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg[:end] + "\n" + style + svg[end:]
