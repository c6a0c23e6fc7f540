"""Reading `.csv`, `.tsv` and `.jsonl` row by row: where an image lies, what it shows, which split it is in."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from learn2compress.core.errors import InputError
from learn2compress.core.names import composed
from learn2compress.inputs.table_columns import LABEL_NAMES, PATH_NAMES, SPLIT_COLUMNS, find_columns
from learn2compress.inputs.wording import counted, listed, shortened

SUFFIXES = (".csv", ".tsv", ".jsonl")
_SAMPLE = 100  # rows that tell the columns
_FIX = {
    ".csv": "write it as UTF-8 text with one image a line, such as path,label.",
    ".tsv": "write it as UTF-8 text with one image a line, path and label with a tab between.",
    ".jsonl": 'write one object a line, such as {"path": "cat/1.jpg", "label": "cat"}.',
}


@dataclass(frozen=True)
class Row:
    """One line of a table, stripped: `label` may be empty, `split` is None where the table has no splits."""

    line: int
    path: str
    label: str
    split: str | None


def read_rows(table: Path) -> Iterator[Row]:
    """Yields the rows of a table.

    Raises:
        InputError: `dataset.table_unreadable`, `dataset.table_row` for a line that is no row (with its number),
            `dataset.table_columns`, `dataset.table_empty`.
    """
    suffix = table.suffix.lower()
    empty = True
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            for row in _objects(table, file) if suffix == ".jsonl" else _cells(table, file, suffix):
                empty = False
                yield row
    except UnicodeDecodeError as error:
        raise InputError(
            "dataset.table_unreadable", f"{table} is no text in UTF-8 ({shortened(error)}).", _FIX[suffix]
        ) from error
    except csv.Error as error:
        raise InputError("dataset.table_unreadable", f"{table} can't be read ({error}).", _FIX[suffix]) from error
    if empty:
        raise InputError("dataset.table_empty", f"{table} names no images.", _FIX[suffix])


def _cells(table: Path, file: TextIO, suffix: str) -> Iterator[Row]:
    reader = csv.reader(
        file, delimiter="\t" if suffix == ".tsv" else _delimiter(file), strict=True, skipinitialspace=True
    )
    rows = ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
    sample = list(islice(rows, _SAMPLE))
    if not sample:
        return
    width = len(sample[0][1])
    _refuse_other_width(table, sample, width)
    columns = find_columns(table, [row for _, row in sample])
    for line, row in islice(chain(sample, rows), int(columns.header), None):
        _refuse_other_width(table, [(line, row)], width)
        split = None if columns.split is None else row[columns.split].strip()
        yield Row(line, row[columns.path].strip(), composed(row[columns.label].strip()), split)


def _delimiter(file: TextIO) -> str:
    """What separates the cells of the first line: a comma, or the semicolon or tab that some programs write."""
    first = file.readline()
    file.seek(0)
    return max(",;\t", key=first.count)


def _refuse_other_width(table: Path, rows: list[tuple[int, list[str]]], width: int) -> None:
    for line, row in rows:
        if len(row) != width:
            raise InputError(
                "dataset.table_row",
                f"Line {line} of {table} has {counted(len(row), 'cell')}, the first line has {width}.",
                "give each line as many cells; put a cell that holds the separator into double quotes.",
            )


def _objects(table: Path, file: TextIO) -> Iterator[Row]:
    with_split: bool | None = None
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        entry = _entry(table, line, text)
        path, label, split = (_value(entry, names) for names in (PATH_NAMES, LABEL_NAMES, SPLIT_COLUMNS))
        if path is None or label is None:
            raise InputError(
                "dataset.table_row",
                f"Line {line} of {table} lacks {'a path' if path is None else 'a label'}; it has the keys "
                f"{listed(entry, 10) or '(none)'}.",
                _FIX[".jsonl"],
            )
        if with_split is None:
            with_split = split is not None
        yield Row(line, path, composed(label), (split or "") if with_split or split is not None else None)


def _entry(table: Path, line: int, text: str) -> dict[str, Any]:
    problem = "is no object"
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        entry, problem = None, f"is no JSON ({shortened(error, 80)})"
    if not isinstance(entry, dict):
        raise InputError("dataset.table_row", f"Line {line} of {table} {problem}.", _FIX[".jsonl"])
    return {str(key).strip().lower(): value for key, value in entry.items()}


def _value(entry: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """The text or number under the first of the names; empty where it is null, a list or an object."""
    for name in names:
        if name in entry:
            value = entry[name]
            return str(value).strip() if isinstance(value, (str, int, float)) else ""
    return None
