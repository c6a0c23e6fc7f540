"""The report: one HTML file that shows a family, opens offline and asks for nothing from anywhere."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from learn2compress.core.family import Family, Member
from learn2compress.core.framing import FRAMED
from learn2compress.core.units import percent, show_bytes, show_duration
from learn2compress.core.whole_files import write_whole
from learn2compress.report import rows as figures
from learn2compress.report.card import card_file
from learn2compress.report.classes import class_table
from learn2compress.report.headline import fine_print, headline, most_accurate, subline
from learn2compress.report.palette import DARK, LIGHT
from learn2compress.report.plots import MEASURES, drawable, inline_svg
from learn2compress.report.searched import search_table
from learn2compress.report.shipping import fed_and_given, ways

REPORT = "report.html"
_TEMPLATE = "template.html.j2"
_ROUTES = {
    "fresh": "fresh: a small network of its own, trained on the data and the teacher's outputs",
    "teacher": "teacher: the teacher's own layers and weights, fewer or narrower",
}
_COMMENT = re.compile(r"(^|\s)(// .*)$")


def write_report(family: Family, folder: Path) -> Path:
    """Writes `report.html` into `folder`, whole or not at all, and returns its path.

    Links to the models are relative, so the page belongs beside `models/`.
    """
    path = folder / REPORT
    write_whole(path, render(family).encode())
    return path


def render(family: Family) -> str:
    """The report as HTML text. Names that users chose are escaped by the template engine."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # by name: the suffix .j2 would not switch it on
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        {
            "percent": percent,
            "points": figures.points,
            "bytes": show_bytes,
            "duration": show_duration,
            "link": lambda file: quote(str(file)),
            "card": card_file,
            "code": _code,
            "plain": _plain,
            "fed_and_given": fed_and_given,
        }
    )
    listed = figures.rows(family)
    stages = family.stage_seconds
    longest = max(stages.values(), default=0) or 1
    return environment.get_template(_TEMPLATE).render(
        family=family,
        title=headline(family),
        subline=subline(family),
        fine_print=fine_print(family),
        date=_date(family.created),
        rows=listed,
        members=[row for row in listed if row.kind == "member"],
        missing=figures.MISSING,
        precise=[row for row in listed if isinstance(row.model, Member) and _worth_saying(row.model)],
        compared=_compared_with(family)
        if any(row.smaller != figures.MISSING or row.faster != figures.MISSING for row in listed)
        else None,
        # The SVG is our own; the names in it were escaped when it was drawn.
        plots=[(m.title, Markup(inline_svg(family, m))) for m in MEASURES if drawable(family, m)],
        searched=search_table(family),
        classes=class_table(family),
        ways=ways(most_accurate(family)) if family.members else (),
        example=most_accurate(family) if family.members else None,
        framed=FRAMED[family.dataset.framing],
        route=_ROUTES.get(family.route, family.route),
        stages=[(name, seconds, 100 * seconds / longest) for name, seconds in stages.items()],
        light=LIGHT.css(),
        dark=DARK.css(),
    )


def _worth_saying(member: Member) -> bool:
    """Whether the member is other than full int8 with uint8 pixels in and uint8 probabilities out."""
    return bool(member.precision != "int8" or member.float_parts or member.mixed or member.output == "logits")


def _compared_with(family: Family) -> str:
    return "as it was given" if family.teacher.description == "as given" else "as float32"


def _date(created: str) -> str:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{moment.day} {moment:%B %Y, %H:%M} {moment.tzname() or ''}".rstrip()


def _plain(value: Any) -> str:
    """A value of the plan in words: `{'a': 1, 'b': [2, 3]}` as `a 1, b 2 / 3`."""
    if isinstance(value, dict):
        return ", ".join(f"{_name(key)} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " / ".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name(key: object) -> str:
    return str(key).replace("_", " ")


def _code(text: str) -> Markup:
    """Code with its comments marked."""
    lines = []
    for line in text.splitlines():
        match = _COMMENT.search(line)
        if match is None:
            lines.append(escape(line))
            continue
        start = match.start(2)
        lines.append(escape(line[:start]) + Markup('<span class="comment">{}</span>').format(line[start:]))
    return Markup("\n").join(lines)
