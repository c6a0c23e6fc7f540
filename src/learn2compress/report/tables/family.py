"""What a terminal shows of a family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from learn2compress.core.family import Family
from learn2compress.report.headline import fine_print, headline
from learn2compress.report.rows import Row, rows


@dataclass(frozen=True)
class _Column:
    """Two figures one above the other; left out where the terminal is narrower than `from_width`."""

    first: str
    second: str
    figures: Callable[[Row], tuple[str, str]]
    from_width: int = 0
    second_style: str = "dim"


_COLUMNS = (
    _Column("size", "zipped", lambda row: (row.size, row.zipped)),
    _Column("params", "MACs", lambda row: (row.parameters, row.macs), from_width=80),
    _Column("accuracy", "validation", lambda row: (row.accuracy_test, row.accuracy_validation)),
    _Column("drop", "points", lambda row: (row.drop, ""), from_width=70),
    _Column("latency", "p90, ms", lambda row: (row.latency, row.latency_p90)),
    _Column("smaller", "faster", lambda row: (row.smaller, row.faster), second_style=""),
    _Column("peak", "memory", lambda row: (row.memory, ""), from_width=92),
)


def family_tables(family: Family) -> Iterator[RenderableType]:
    """The table, what to make of it, and where things are."""
    yield Text()
    yield _AsWide(family)
    yield headline(family)
    yield Text(f"\nReport: {family.folder / 'report.html'}")
    yield Text(f"Models: {family.folder / 'models'}")


@dataclass(frozen=True)
class _AsWide:
    """The table for whatever width the terminal turns out to have."""

    family: Family

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield family_table(self.family, options.max_width)


def family_table(family: Family, width: int = 100) -> Table:
    """Teacher, baselines and members with what was measured of them.

    Args:
        family: what a run made.
        width: columns of the terminal; under 92 peak memory is left out, under 80 parameters and MACs.

    Every cell has two lines, the second being the companion of the first: the zipped size under the size,
    the 90th percentile under the median.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption=Text(fine_print(family), style="dim"),
        caption_justify="left",
        header_style="",
    )
    columns = [column for column in _COLUMNS if width >= column.from_width]
    table.add_column(_two("model", "input, type", "bold", "dim"), overflow="fold", min_width=14)
    for column in columns:
        table.add_column(_two(column.first, column.second, "bold", "dim"), justify="right", no_wrap=True)
    listed = rows(family)
    for row, following in zip(listed, [*listed[1:], None], strict=True):
        style = "bold cyan" if row.kind == "member" else "bold"
        cells = [_two(row.model.name, row.detail, style, "dim")]
        cells += [_two(*column.figures(row), "", column.second_style) for column in columns]
        last_reference = following is not None and row.kind != "member" and following.kind == "member"
        table.add_row(*cells, end_section=last_reference)
    return table


def _two(first: str, second: str, first_style: str, second_style: str) -> Text:
    # Text, not markup: a name such as `[bold]` is shown as it is.
    parts = [(first, first_style)]
    if second:
        parts += [("\n", ""), (second, second_style)]
    return Text.assemble(*parts)
