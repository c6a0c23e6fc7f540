"""Images that a `.csv`, `.tsv` or `.jsonl` file names, each with its label and perhaps its split."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from learn2compress.core.dataset import Labels
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs.folders import FolderSplit
from learn2compress.inputs.refusals import STRICT, Refusals
from learn2compress.inputs.scan import decodable
from learn2compress.inputs.splits import SPLIT_NAMES, Source, SourceSplit
from learn2compress.inputs.table_rows import Row, read_rows
from learn2compress.inputs.wording import counted, listed


def read_table(table: Path, progress: Progress, refusals: Refusals = STRICT) -> Source:
    """Reads the table, and checks that each image that it names can be decoded.

    Paths are relative to the table. Labels 0, 1, 2, ... without a gap are class indices; all others are class names,
    in sorted order (numbers by value).

    Args:
        table: `.csv` or `.tsv` with or without a header, or `.jsonl`.
        progress: gets steps, and a warning about images that are skipped.
        refusals: what becomes of images that are not there, have two labels, or are broken too often.

    Raises:
        InputError: `dataset.table_…` with the numbers of the lines, or `dataset.undecodable`.
    """
    rows = list(read_rows(table))
    _refuse(table, [r for r in rows if not r.path], "path", "has no path", "have no path")
    _refuse(table, [r for r in rows if not r.label], "label", "has no label", "have no label")
    parts = _parts(table, rows)
    paths, missing = _paths(table, rows)
    with refusals.held():
        _refuse_missing(table, missing, len(rows))
    with refusals.held():
        _refuse_two_labels(table, rows, paths)
    checked = decodable(table.parent, paths, progress, [row.line for row in rows], refusals)
    files, notes = checked.files, checked.notes
    names, indices = class_indices([row.label for row in rows])
    splits: dict[str, SourceSplit] = {}
    for part in [name for name in ("train", "validation", "test") if name in parts]:
        kept = [i for i, file in enumerate(files) if file is not None and parts[i] == part]
        chosen = [file for i in kept if (file := files[i]) is not None]
        splits[part] = FolderSplit(table.parent, chosen, indices[kept])
    if len(splits) == 1 and "train" not in splits:
        (only,) = splits
        splits = {"train": splits[only]}
        notes = (*notes, f"all images of {table.name} are of the {only} split; taken as data without splits")
    if "train" not in splits:
        with refusals.held():
            raise InputError(
                "dataset.no_train_split",
                f"{table} has images of the {listed(splits)} split, but none of the train split.",
                "write train into the split column for the training images.",
            )
    return Source(splits, None if names is None else dict.fromkeys(splits, names), str(table), notes, checked.broken)


def class_indices(labels: Sequence[str]) -> tuple[tuple[str, ...] | None, Labels]:
    """Class names and the index of each label; no names where the labels are 0, 1, 2, ... without a gap."""
    distinct = sorted(set(labels))
    if all(label.isascii() and label.isdigit() for label in distinct):
        if sorted(map(int, distinct)) == list(range(len(distinct))):
            return None, np.array([int(label) for label in labels], np.int64)
        distinct.sort(key=lambda label: (int(label), label))
    index = {name: i for i, name in enumerate(distinct)}
    return tuple(distinct), np.array([index[label] for label in labels], np.int64)


def _parts(table: Path, rows: Sequence[Row]) -> list[str]:
    """The split of each row; `train` for all where the table has none."""
    parts = ["train" if row.split is None else SPLIT_NAMES.get(row.split.lower(), "") for row in rows]
    unknown = [row for row, part in zip(rows, parts, strict=True) if not part]
    if unknown:
        said = listed([f"line {row.line}: {row.split or '(empty)'}" for row in unknown])
        raise InputError(
            "dataset.table_split",
            f"{table} names a split that is not known in {counted(len(unknown), 'line')} ({said}).",
            "write train, val (or validation) or test.",
        )
    return parts


def _paths(table: Path, rows: Sequence[Row]) -> tuple[list[Path], list[str]]:
    """The file of each row, in the spelling that is there; and the rows that have none, which stay as written."""
    paths, missing = [], []
    for row in rows:
        spellings = [table.parent / text for text in _spellings(row.path)]
        found = next(filter(_is_file, spellings), None)
        if found is None:
            missing.append(f"line {row.line}: {row.path}")
        paths.append(found or spellings[0])
    return paths, missing


def _refuse_missing(table: Path, missing: Sequence[str], named: int) -> None:
    if missing:
        raise InputError(
            "dataset.table_missing_files",
            f"{len(missing)} of {counted(named, 'image')} that {table} names "
            f"{'does' if len(missing) == 1 else 'do'} not exist ({listed(missing)}).",
            f"paths are relative to the folder of the table, {table.parent}; correct them, or remove the lines.",
        )


def _spellings(path: str) -> list[str]:
    """The path as it stands, as Windows means it, and with its accents written in the two ways there are."""
    slashed = path.replace("\\", "/")
    found = (
        path,
        slashed,
        *(unicodedata.normalize(form, text) for text in (path, slashed) for form in ("NFC", "NFD")),
    )
    return list(dict.fromkeys(found))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


def _refuse(table: Path, rows: Sequence[Row], column: str, one: str, many: str) -> None:
    if rows:
        lines = listed([row.line for row in rows], 10)
        noun, verb = ("Line", one) if len(rows) == 1 else ("Lines", many)
        raise InputError(f"dataset.table_{column}", f"{noun} {lines} of {table} {verb}.", "fill it in, or remove it.")


def _refuse_two_labels(table: Path, rows: Sequence[Row], paths: Sequence[Path]) -> None:
    first: dict[Path, Row] = {}
    for row, path in zip(rows, paths, strict=True):
        other = first.setdefault(path, row)
        if other.label != row.label:
            raise InputError(
                "dataset.table_two_labels",
                f"{table} names {row.path} twice with different labels: {other.label} in line {other.line}, "
                f"{row.label} in line {row.line}.",
                "give each image one label; several at once can't be learned.",
            )
