"""The one door for data: whatever the user has, in; three splits with class names, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from glob import glob
from os.path import commonpath
from pathlib import Path
from typing import Any

import numpy as np

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.framing import CROP, Framing
from learn2compress.core.names import printable
from learn2compress.core.paths import advice, at_home
from learn2compress.core.progress import SILENT, Progress
from learn2compress.core.recipe import NAMED
from learn2compress.inputs.array_sources import read_npz, read_value
from learn2compress.inputs.class_folders import read_folder
from learn2compress.inputs.class_labels import read_names, refuse_unreadable_names
from learn2compress.inputs.class_names import (
    aligned,
    class_names,
    refuse_few_classes,
    refuse_unseen_classes,
    with_names,
)
from learn2compress.inputs.grouping import settled_groups
from learn2compress.inputs.leaks import compared, warn_of_leaks
from learn2compress.inputs.refusals import STRICT, Refusals
from learn2compress.inputs.splits import Source, SourceSplit, with_missing_splits
from learn2compress.inputs.table_rows import SUFFIXES
from learn2compress.inputs.tables import read_table
from learn2compress.inputs.tfds import read_tfds
from learn2compress.inputs.tfrecords import named_like_records, read_records, record_files
from learn2compress.inputs.wording import counted, listed

_KINDS = (
    "a folder with a folder per class, a folder with train/ val/ test/ of such, an .npz file, "
    "a .csv, .tsv or .jsonl of image paths and labels, or TFRecord files"
)


def load_dataset(
    data: Any,
    *,
    test_data: Any = None,
    labels: str | Path | Sequence[str] | None = None,
    seed: int = 0,
    framing: Framing = CROP,
    progress: Progress = SILENT,
) -> Dataset:
    """Loads and checks the user's examples; splits that are missing are made.

    Args:
        data: the path of a folder (a folder per class, or `train`, `val`, `test` of such), of an `.npz` file
            (`x_train y_train [x_val y_val] [x_test y_test] [class_names]`), of a `.csv`, `.tsv` or `.jsonl` of image
            paths and labels, or of TFRecord files (a file, their folder or a pattern); `tfds:NAME`; or (x, y),
            ((x_train, y_train), (x_test, y_test)), a dictionary {"train": ..., "val": ..., "test": ...}, a
            `tf.data.Dataset` of (image, label).
        test_data: the same kinds; replaces the test split.
        labels: the class names in the order of the model's outputs: a text file, one a line, or a list. They may be
            more than the data's: those without training images are left out. Labels that are numbers count in them.
        seed: for the splits that are made: each takes 10 % of the training examples, stratified, with near-duplicates
            on one side.
        framing: how images of another shape are brought to a model's input.
        progress: gets the steps of the check of the images, and warnings about files that are skipped
            and about images that given splits share.

    Returns:
        The dataset. `notes` says what was done on the way.

    Raises:
        InputError: with a code `dataset.…`; nothing that the user can give raises another kind of error.
    """
    given = read_names(labels) if labels is not None else None
    source = with_names(read_source(data, progress), given)
    return dataset_of(source, given, test_data=test_data, seed=seed, framing=framing, progress=progress)


def dataset_of(
    source: Source,
    given: tuple[str, ...] | None,
    *,
    test_data: Any = None,
    seed: int = 0,
    framing: Framing = CROP,
    progress: Progress = SILENT,
    refusals: Refusals = STRICT,
) -> Dataset:
    """Checks what a reader found, and makes the splits that are missing.

    Args:
        source: what `read_source` gives, with the names of `with_names`.
        given: the class names of the user; None where there are none.
        test_data, seed, framing, progress: see `load_dataset`.
        refusals: what becomes of classes that are too few or have no images.

    Raises:
        InputError: with a code `dataset.…`.
    """
    names = class_names(source, given)
    beyond = given if given is not None and len(given) > len(names) else ()
    if beyond:
        gone = [name for name in beyond if name not in names]
        counts = f"{len(gone)} of {len(beyond)} named classes"
        source = replace(source, notes=(*source.notes, f"{counts} are not in the data, such as {listed(gone, 5)}"))
    with refusals.held():
        refuse_few_classes(source, names)
    refuse_unreadable_names(names)
    parts = {part: aligned(source, part, names) for part in source.parts}
    source = replace(source, parts=parts)
    with refusals.held():
        refuse_unseen_classes(parts["train"], names)
    if test_data is not None:
        source = _with_test_data(source, with_names(read_source(test_data, progress), given), names)
    source = _split(source, names, seed, progress)
    for part, split in source.parts.items():
        if len(split) == 0:
            raise InputError(
                "dataset.empty_split",
                f"The {part} split of {source.description} holds no images.",
                "add images to it, or remove it to have one made of training images.",
            )
    train, validation, test = (_framed(source.parts[part], framing) for part in ("train", "validation", "test"))
    return Dataset(
        train=train,
        validation=validation,
        test=test,
        class_names=names,
        source=source.description,
        image_size=_typical_size(train),
        notes=source.notes,
        output_names=given or (),
    )


def _framed(split: SourceSplit, framing: Framing) -> SourceSplit:
    """The split itself where that is its framing already: what it has found out of its images stays known."""
    return split if split.framing == framing else split.framed(framing)


def read_source(data: Any, progress: Progress, refusals: Refusals = STRICT) -> Source:
    """What a reader finds, before classes are aligned and missing splits are made.

    Args:
        data: see `load_dataset`.
        progress: likewise.
        refusals: what becomes of what is wrong with some of the images or classes alone.

    Raises:
        InputError: with a code `dataset.…`.
    """
    source = _read_any(data, progress, refusals)
    return replace(
        source,
        description=printable(source.description),
        notes=tuple(map(printable, source.notes)),
        broken=tuple(map(printable, source.broken)),
    )


def _read_any(data: Any, progress: Progress, refusals: Refusals) -> Source:
    if not isinstance(data, (str, Path)):
        return read_value(data)
    if str(data).startswith(NAMED):
        return read_tfds(str(data), progress)
    path = at_home(data)
    try:
        if path.is_dir():
            records = record_files(path)
            if records:
                return read_records(path, records, str(path), progress, refusals=refusals)
            return read_folder(path, progress, refusals)
        if not path.exists():
            return _read_pattern(path, progress, refusals)
        if path.suffix.lower() == ".npz":
            return read_npz(path, refusals)
        if path.suffix.lower() in SUFFIXES:
            return read_table(path, progress, refusals)
        if named_like_records(path):
            return read_records(path.parent, [path], str(path), progress, refusals=refusals)
    except OSError as error:
        raise InputError(
            "dataset.unreadable", f"{path} can't be read ({error}).", "check the permissions and the path."
        ) from error
    hint = "unpack it first, then give the folder." if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz") else ""
    raise InputError(
        "dataset.unknown_kind",
        f"{path} is no data that can be read; expected is {_KINDS}.",
        hint or f"give {_KINDS}.",
    )


def _read_pattern(path: Path, progress: Progress, refusals: Refusals) -> Source:
    """Reads the record files that a pattern such as `records/train-*` names."""
    names = sorted(glob(str(path)))  # noqa: PTH207 - the pattern may be absolute
    files = [Path(name) for name in names if Path(name).is_file()]
    if not files:
        fix = advice(path, f"give the path of {_KINDS}.")
        raise InputError("dataset.not_found", f"There is nothing at {path}.", fix)
    root = Path(commonpath([file.parent for file in files]))
    return read_records(root, files, str(path), progress, refusals=refusals)


def _with_test_data(source: Source, other: Source, names: tuple[str, ...]) -> Source:
    """Takes the test split from another source: its own test split, or all of it where it is not split."""
    part = "test" if "test" in other.parts else "train"
    note = f"test split: {other.description}"
    if part == "train" and len(other.parts) > 1:
        raise InputError(
            "dataset.no_test_split",
            f"The test data {other.description} is split, but has no test split.",
            "give the folder of the split itself.",
        )
    if "test" in source.parts:
        note += f", in place of the one of {source.description}"
    parts = {**source.parts, "test": aligned(other, part, names)}
    return replace(source, parts=parts, notes=(*source.notes, *other.notes, note))


def _split(source: Source, names: tuple[str, ...], seed: int, progress: Progress) -> Source:
    """Makes the missing splits with near-duplicates on one side, and warns of images that given ones share."""
    with progress.stage("compare images"):
        alike = compared(source.parts)
    notes = [*source.notes, *warn_of_leaks(source.parts, alike, progress)]
    missing = 3 - len(source.parts)
    if not missing:
        return replace(source, notes=tuple(notes))
    groups, given_up = settled_groups(alike["train"], source.parts["train"].labels, missing + 1)
    together = len(groups) - len(np.unique(groups))
    if together:
        sizes = np.unique(groups, return_counts=True)[1]
        notes.append(
            f"{counted(int(sizes[sizes > 1].sum()), 'training image')} in {counted(int((sizes > 1).sum()), 'group')} "
            "of near-duplicates: a group stays on one side of the splits that are made"
        )
    if given_up:
        alone = listed([names[label] for label in given_up])
        notes.append(f"too much alike for near-duplicates to be kept on one side of the splits: images of {alone}")
    return with_missing_splits(replace(source, notes=tuple(notes)), names, seed, groups)


def _typical_size(split: SourceSplit) -> tuple[int, int]:
    """The most common (height, width), where most images share it; else the median of either."""
    sizes, counts = np.unique(split.sizes, axis=0, return_counts=True)
    if counts.max() * 2 > len(split):
        height, width = sizes[np.argmax(counts)]
    else:
        height, width = np.median(split.sizes, axis=0)
    return int(height), int(width)
