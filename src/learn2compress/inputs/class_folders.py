"""Reading a folder with a folder per class, or with train/ val/ test/ of such."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from learn2compress.core.errors import InputError
from learn2compress.core.names import composed
from learn2compress.core.progress import Progress
from learn2compress.inputs.decode import EXTENSIONS, OTHER_PHOTOS
from learn2compress.inputs.folders import FolderSplit
from learn2compress.inputs.refusals import STRICT, Refusals
from learn2compress.inputs.scan import decodable, list_images, subfolders
from learn2compress.inputs.splits import SPLIT_NAMES, Source, SourceSplit
from learn2compress.inputs.wording import counted, listed

_LAYOUT = "put the images of each class into a folder named like the class: DATA/cat/1.jpg, DATA/dog/2.jpg."


def read_folder(folder: Path, progress: Progress, refusals: Refusals = STRICT) -> Source:
    """Finds the layout, lists the images and checks that each can be decoded.

    Args:
        folder: holds a folder per class, or `train`, `val`, `test` folders of such (the last two may lack).
        progress: gets steps, and a warning about files that are skipped.
        refusals: what becomes of classes without images or inside others, of too many broken files, and of data that
            has other splits alone.

    Raises:
        InputError: `dataset.empty_folder`, `dataset.no_class_folders`, `dataset.no_train_split`,
            `dataset.ambiguous_split`, `dataset.empty_class`,
            `dataset.class_inside_class`, `dataset.undecodable`.
    """
    layout, notes = _layout(folder, refusals)
    listings = {(part, c): list_images(c) for part, where in layout.items() for c in subfolders(where)}
    with refusals.held():
        _refuse_empty_classes(
            folder,
            {c: listing.others for (part, c), listing in listings.items() if part == "train" and not listing.images},
        )
    for where in layout.values():
        with refusals.held():
            _refuse_nested_classes(subfolders(where))
    paths = [path for listing in listings.values() for path in listing.images]
    checked = decodable(folder, paths, progress, refusals=refusals)
    found = iter(checked.files)
    parts: dict[str, SourceSplit] = {}
    names = {part: tuple(composed(c.name) for c in subfolders(where)) for part, where in layout.items()}
    _refuse_same_names(layout, names)
    for part in layout:
        kept, labels = [], []
        for label, listing in enumerate(listing for (p, _), listing in listings.items() if p == part):
            for _ in listing.images:
                file = next(found)
                if file is not None:
                    kept.append(file)
                    labels.append(label)
        parts[part] = FolderSplit(folder, kept, np.array(labels, dtype=np.int64))
    others = sum((listing.others for listing in listings.values()), Counter[str]())
    if others:
        notes.append(f"{counted(others.total(), 'file')} that are no images ignored ({listed(sorted(others))})")
    photos = {kind: count for kind, count in others.items() if kind in OTHER_PHOTOS}
    if photos:
        progress.warn(
            f"{counted(sum(photos.values()), 'photo')} left out: {listed(sorted(photos))} can't be read; convert to "
            "JPEG what should be learned from"
        )
    return Source(parts, names, str(folder), (*notes, *checked.notes), checked.broken)


def _layout(folder: Path, refusals: Refusals) -> tuple[dict[str, Path], list[str]]:
    """The folder of each split (only `train` where there are no splits), and notes."""
    inside = subfolders(folder)
    if not inside:
        if list_images(folder, recursive=False).images:
            raise InputError("dataset.no_class_folders", f"{folder} holds images but no folders of classes.", _LAYOUT)
        raise InputError("dataset.empty_folder", f"{folder} holds no folders with images.", _LAYOUT)
    splits: dict[str, Path] = {}
    _refuse_splits_of_no_classes(folder, inside)
    named = [candidate for candidate in inside if candidate.name.lower() in SPLIT_NAMES and subfolders(candidate)]
    # A class may be called "train" too (of vehicles): a split holds folders, a class holds images.
    stray = {candidate: len(list_images(candidate, recursive=False).images) for candidate in named}
    classes = {below.name for candidate in named if not stray[candidate] for below in subfolders(candidate)}
    for candidate in named:
        part = SPLIT_NAMES[candidate.name.lower()]
        # One that holds images beside the same folders as another split is a split all the same.
        if stray[candidate] and not classes & {below.name for below in subfolders(candidate)}:
            continue
        if part in splits:
            raise InputError(
                "dataset.ambiguous_split",
                f"{folder} has two folders for the {part} split: {splits[part].name} and {candidate.name}.",
                "rename or remove one of them.",
            )
        splits[part] = candidate
    if not splits:
        _refuse_wrapped(inside)
        return {"train": folder}, []
    if "train" not in splits:
        with refusals.held():
            raise InputError(
                "dataset.no_train_split",
                f"{folder} has {listed(sorted(p.name for p in splits.values()))} but no train folder.",
                "put the training images into a folder train/ beside it, with a folder per class.",
            )
    ignored = [c.name for c in inside if c not in splits.values()]
    notes = [f"folders beside the splits ignored: {listed(ignored)}"] if ignored else []
    notes += [
        f"{counted(stray[where], 'image')} directly in {where.name}/ ignored"
        for where in splits.values()
        if stray[where]
    ]
    return {part: splits[part] for part in ("train", "validation", "test") if part in splits}, notes


def _refuse_splits_of_no_classes(folder: Path, inside: list[Path]) -> None:
    """`train/` and `test/` that hold images and no folders, as competitions give them: these are no classes."""
    parts = {SPLIT_NAMES.get(candidate.name.lower()) for candidate in inside}
    if len(parts) > 1 and None not in parts and not any(subfolders(candidate) for candidate in inside):
        raise InputError(
            "dataset.no_class_folders",
            f"The folders of {folder} are named like splits ({listed([c.name for c in inside])}), and hold no "
            "folders of classes.",
            _LAYOUT,
        )


def _refuse_wrapped(inside: list[Path]) -> None:
    """An unpacked archive often has one folder around everything: say which folder is meant."""
    only = inside[0]
    if len(inside) == 1 and subfolders(only) and not list_images(only, recursive=False).images:
        raise InputError(
            "dataset.no_class_folders",
            f"{only.parent} holds only the folder {only.name}, and that holds the folders.",
            f"give {only} instead.",
        )


def _refuse_same_names(layout: dict[str, Path], names: dict[str, tuple[str, ...]]) -> None:
    for part, found in names.items():
        doubles = sorted({name for name in found if found.count(name) > 1})
        if doubles:
            raise InputError(
                "dataset.class_names",
                f"{layout[part]} has two folders for the class {doubles[0]}: their names look the same, but accents "
                "are written in two ways in them.",
                "move the images of one into the other.",
            )


def _refuse_nested_classes(classes: list[Path]) -> None:
    """Refuses a class that another lies in, or that is another, as links make it: an image would be of both."""
    real = {folder: Path(os.path.realpath(folder)) for folder in classes}
    at: dict[Path, list[Path]] = {}
    for folder, place in real.items():
        at.setdefault(place, []).append(folder)
    inside: dict[Path, list[str]] = {}
    for other, where in real.items():
        for folder in (
            folder for place in (where, *where.parents) for folder in at.get(place, ()) if folder != other
        ):
            inside.setdefault(folder, []).append(other.name)
    for folder, place in real.items():
        if held := inside.get(folder):
            raise InputError(
                "dataset.class_inside_class",
                f"The class folder {folder} leads to {place}, in which other classes lie ({listed(held)}): their "
                "images would be of both.",
                "remove the link, or let it lead to a folder of its own.",
            )


def _refuse_empty_classes(folder: Path, empty: dict[Path, Counter[str]]) -> None:
    if not empty:
        return
    described = [
        f"{c.name} (it holds {counted(others.total(), 'file')} of another kind: {listed(sorted(others))})"
        if others
        else c.name
        for c, others in empty.items()
    ]
    noun = "This class has" if len(empty) == 1 else "These classes have"
    raise InputError(
        "dataset.empty_class",
        f"{noun} no images in {folder}: {listed(described)}.",
        f"add images ({' '.join(EXTENSIONS)}) or remove the folder.",
    )
