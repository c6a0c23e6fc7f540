"""Which column of a table is the image's path, which its label, which its split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from learn2compress.core.errors import InputError
from learn2compress.inputs.decode import EXTENSIONS
from learn2compress.inputs.splits import SPLIT_NAMES
from learn2compress.inputs.wording import listed

PATH_NAMES = (
    "path", "image_path", "file_path", "filepath", "file", "filename", "file_name", "image_file", "image", "img",
    "filepaths", "filenames",
)  # fmt: skip
LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "label_name", "target")
SPLIT_COLUMNS = ("split", "subset", "partition", "set", "data set", "data_set")
_FIX = "name the columns path, label and, if you have one, split in the first line."


@dataclass(frozen=True)
class Columns:
    """Positions of the columns (`split`: None where there is none); `header`: the first row is no data."""

    path: int
    label: int
    split: int | None
    header: bool


def find_columns(table: Path, rows: Sequence[Sequence[str]]) -> Columns:
    """Finds the columns by the names in the first row, or else by what they hold.

    Args:
        table: the file, for errors.
        rows: its first rows, as many cells in each.

    Raises:
        InputError: `dataset.table_columns` when that is not clear.
    """
    first = [cell.strip().lower() for cell in rows[0]]
    every, body = range(len(first)), rows[1:] or rows
    path = _named(first, PATH_NAMES)
    if path is None:
        path = _only([column for column in every if _holds_paths(body, column)])
    if path is None:
        raise InputError(
            "dataset.table_columns",
            f"{table} has no column that is known to hold image paths (its first line: {listed(rows[0], 10)}).",
            _FIX,
        )
    header = not _is_path(rows[0][path])
    label = _named(first, LABEL_NAMES) if header else None
    split = _named(first, SPLIT_COLUMNS) if header else None
    others = [column for column in every if column not in (path, label)]
    if split is None and (label is not None or len(others) > 1):
        split = _only([column for column in others if _holds_splits(body, column)])
    if label is None:
        label = _only([column for column in others if column != split])
    if label is None:
        raise InputError(
            "dataset.table_columns",
            f"{table} has the columns {listed(rows[0], 10)}; which of them is the label is not clear.",
            _FIX,
        )
    return Columns(path, label, split, header)


def _named(cells: Sequence[str], names: Sequence[str]) -> int | None:
    """The column whose name comes first in `names`."""
    return next((cells.index(name) for name in names if name in cells), None)


def _only(columns: Sequence[int]) -> int | None:
    return columns[0] if len(columns) == 1 else None


def _is_path(cell: str) -> bool:
    return PurePosixPath(cell.strip().replace("\\", "/")).suffix.lower() in EXTENSIONS


def _holds_paths(rows: Sequence[Sequence[str]], column: int) -> bool:
    return all(column < len(row) and _is_path(row[column]) for row in rows)


def _holds_splits(rows: Sequence[Sequence[str]], column: int) -> bool:
    return all(row[column].strip().lower() in SPLIT_NAMES for row in rows)
