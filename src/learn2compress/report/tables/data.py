"""The survey of a data set as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_MOST_CLASSES = 40  # rows; where there are more, those with the most and the fewest images are shown
_MOST_BROKEN = 50  # that are named


def data_tables(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What `inputs.survey.survey` found: images by class and split, then a line for each of the other findings."""
    splits, names = found["splits"], found["class_names"]
    yield Text(found["source"], "bold")
    table = Table("class", *splits)
    totals = {name: sum(split["per_class"][name] for split in splits.values()) for name in names}
    for name in _shown(names, totals):
        table.add_row(Text(name), *(_count(split["per_class"].get(name)) for split in splits.values()))
    table.add_section()
    table.add_row(f"{len(names)} classes", *(f"{split['images']:,}" for split in splits.values()))
    yield table
    lines = Table(show_header=False, box=None, padding=(0, 2))
    for title, text in _lines(found):
        lines.add_row(f"[bold]{title}", Text(text))
    yield lines


def _shown(names: list[str], totals: Mapping[str, int]) -> list[str]:
    if len(names) <= _MOST_CLASSES:
        return names
    ordered = sorted(names, key=lambda name: -totals[name])
    return [*ordered[: _MOST_CLASSES // 2], "…", *ordered[-_MOST_CLASSES // 2 :]]


def _count(number: int | None) -> str:
    return "…" if number is None else f"{number:,}"


def _lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    balance, sizes = found["balance"], found["sizes"]
    most, fewest = balance["largest"], balance["smallest"]
    if most["images"] == fewest["images"]:
        yield "balance", f"each class has {most['images']:,} images"
    else:
        said = f"{most['class']} has {most['images']:,} images, {fewest['class']} {fewest['images']:,}"
        yield "balance", f"{said}: {balance['ratio']:g} times as many" if fewest["images"] else said
    yield "height x width", ", ".join(f"{which} {size[0]} x {size[1]}" for which, size in sizes.items())
    for key in ("formats", "modes"):
        yield key, ", ".join(f"{name} {number:,}" for name, number in found[key].items())
    broken = found["broken"]
    yield "broken", "\n".join([f"{broken['images']:,}", *_some(broken["named"])])
    for part, pair in found["duplicates"]["within"].items():
        if pair["exact"] or pair["near"]:
            yield f"twice in {part}", _duplicates(pair)
    for pair in found["duplicates"]["across"]:
        yield f"in {pair['part']} and {pair['other']}", _duplicates(pair)
    if not found["duplicates"]["across"]:
        yield "across splits", "no images that are alike"
    mixed = found["duplicates"]["labelled_differently"]
    if mixed["images"]:
        said = f"{mixed['images']:,} images that are alike" + "".join(
            f"\n{' and '.join(p)}" for p in mixed["examples"]
        )
        yield "other labels", said
    for note in found["notes"]:
        yield "note", note


def _some(names: list[str]) -> list[str]:
    more = len(names) - _MOST_BROKEN
    return names if more <= 0 else [*names[:_MOST_BROKEN], f"and {more:,} more, which --json names"]


def _duplicates(pair: Mapping[str, Any]) -> str:
    said = f"{pair['exact']:,} with the same pixels, {pair['near']:,} nearly the same"
    return said + "".join(f"\n{one} and {other}" for one, other in pair["examples"])
