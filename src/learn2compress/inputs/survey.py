"""A survey of the user's data: how many, how even, how large, what is broken and what is there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np

from learn2compress.core.dataset import Dataset, Labels
from learn2compress.core.errors import InputError
from learn2compress.core.framing import CROP, Framing
from learn2compress.core.progress import SILENT, Progress
from learn2compress.inputs.alike import Alike
from learn2compress.inputs.class_labels import read_names
from learn2compress.inputs.class_names import aligned, with_names
from learn2compress.inputs.dataset import dataset_of, read_source
from learn2compress.inputs.leaks import compared, leaks
from learn2compress.inputs.refusals import Refusals
from learn2compress.inputs.splits import Source, SourceSplit

_EXAMPLES = 3


@dataclass(frozen=True)
class Surveyed:
    """Data that was looked through.

    Attributes:
        found: what is in it, see `survey`.
        problems: all that could be found out of what `load_dataset` refuses it for.
        dataset: the data, where there are no problems.
    """

    found: dict[str, Any]
    problems: tuple[InputError, ...]
    dataset: Dataset | None


def look_through(
    data: Any,
    *,
    labels: str | Path | Sequence[str] | None = None,
    seed: int = 0,
    framing: Framing = CROP,
    progress: Progress = SILENT,
) -> Surveyed:
    """Reads data as `load_dataset` does, but goes on after what that refuses, as long as there are images to look at.

    Raises:
        InputError: where there are no training images, or what is given does not say of which class each is.
    """
    refusals = Refusals(kept=True)
    given = read_names(labels) if labels is not None else None
    source = with_names(read_source(data, progress, refusals), given)
    if not source.parts.get("train"):
        raise refusals.found[0] if refusals.found else _no_images(source)
    dataset: Dataset | None = None
    with refusals.held():
        dataset = dataset_of(source, given, seed=seed, framing=framing, progress=progress, refusals=refusals)
    if dataset is None:
        classes = _all_classes(source, given, refusals.found[-1])
        source = replace(source, parts={part: aligned(source, part, classes) for part in source.parts})
    else:
        classes = dataset.class_names
        parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
        source = replace(source, parts=cast("dict[str, SourceSplit]", parts), notes=dataset.notes)
    problems: dict[str, InputError] = {}
    for error in refusals.found:  # an empty folder is found again, as a class without training images
        problems.setdefault(error.code, error)
    found = survey(source, classes, tuple(problems.values()))
    return Surveyed(found, tuple(problems.values()), None if problems else dataset)


def load_surveyed(
    data: Any,
    *,
    labels: str | Path | Sequence[str] | None = None,
    seed: int = 0,
    framing: Framing = CROP,
    progress: Progress = SILENT,
) -> tuple[Dataset, dict[str, Any]]:
    """Loads data as `load_dataset` does, and says what is in it.

    Returns:
        The dataset; and its survey, see `survey`.

    Raises:
        InputError: what `load_dataset` raises, and nothing more.
    """
    looked = look_through(data, labels=labels, seed=seed, framing=framing, progress=progress)
    if looked.dataset is None:
        raise looked.problems[0]
    return looked.dataset, looked.found


def _no_images(source: Source) -> InputError:
    return InputError(
        "dataset.empty_split", f"The train split of {source.description} holds no images.", "add images to it."
    )


def _all_classes(source: Source, given: tuple[str, ...] | None, error: InputError) -> tuple[str, ...]:
    """Every class of any split; of names that the user gives, those with images.

    Raises:
        InputError: the one that is given, where a class index is beyond all counting.
    """
    labels = {part: split.labels for part, split in source.parts.items()}
    if source.names is None:
        largest = max(int(some.max()) for some in labels.values() if len(some))
        if largest >= sum(map(len, labels.values())):
            raise error
        return tuple(map(str, range(largest + 1)))
    names = {part: source.names[part] for part in labels}
    every = dict.fromkeys(chain.from_iterable(names.values()))
    if given is None:
        return tuple(every)
    used = {names[part][i] for part, some in labels.items() for i in np.unique(some) if i < len(names[part])}
    return tuple(name for name in every if name in used)


def survey(source: Source, class_names: Sequence[str], problems: Sequence[InputError] = ()) -> dict[str, Any]:
    """What is in some data, as numbers, texts, lists and dictionaries of them.

    Args:
        source: its splits, whose labels count in `class_names`.
        class_names: by class index.
        problems: reasons why it can't be used.

    Returns:
        `source`, `class_names`; `splits`: for each its `images` and their number `per_class`; `balance`: the classes
        with the most and the fewest images and their `ratio`; `sizes`: `smallest`, `median` and `largest` height and
        width in pixels (of either alone); `formats` and `modes` with their number of images; `broken`: the number of
        `images` that can't be decoded, each `named` with the reason; `duplicates`: `within` each split and `across`
        splits, exact ones (the same pixels) and near ones, and those `labelled_differently`; `notes`, which say how
        the splits came about; and `problems`, each with its `code`, `message` and `fix`.
    """
    parts = source.parts
    counts = {part: np.bincount(split.labels, minlength=len(class_names)) for part, split in parts.items()}
    sizes = np.concatenate([split.sizes for split in parts.values()])
    kinds = [kind for split in parts.values() for kind in split.kinds]
    alike = compared(parts)
    return {
        "source": source.description,
        "class_names": list(class_names),
        "splits": {
            part: {"images": len(split), "per_class": _by_class(class_names, counts[part])}
            for part, split in parts.items()
        },
        "balance": _balance(class_names, np.sum(list(counts.values()), axis=0)),
        "sizes": {
            "smallest": sizes.min(axis=0).tolist(),
            "median": np.median(sizes, axis=0).astype(int).tolist(),
            "largest": sizes.max(axis=0).tolist(),
        },
        "formats": dict(Counter(stored for stored, _ in kinds).most_common()),
        "modes": dict(Counter(mode for _, mode in kinds).most_common()),
        "broken": {"images": len(source.broken), "named": list(source.broken)},
        "duplicates": {
            "within": {part: _within(split, alike[part]) for part, split in parts.items()},
            "across": [asdict(leak) for leak in leaks(parts, alike)],
            "labelled_differently": _conflicts(parts, alike, class_names),
        },
        "notes": list(source.notes),
        "problems": [{"code": error.code, "message": error.what, "fix": error.fix} for error in problems],
    }


def _by_class(class_names: Sequence[str], counts: Labels) -> dict[str, int]:
    return {name: int(count) for name, count in zip(class_names, counts, strict=True)}


def _balance(class_names: Sequence[str], counts: Labels) -> dict[str, Any]:
    most, fewest = int(np.argmax(counts)), int(np.argmin(counts))
    return {
        "largest": {"class": class_names[most], "images": int(counts[most])},
        "smallest": {"class": class_names[fewest], "images": int(counts[fewest])},
        "ratio": round(float(counts[most] / max(1, counts[fewest])), 2),
    }


def _within(split: SourceSplit, alike: Alike) -> Mapping[str, Any]:
    """Images that the split has before: with the same pixels, or nearly the same; with examples."""
    exact, near = _repeats(alike.exact), _repeats(alike.near)
    rows = [*exact, *sorted(set(near) - set(exact))][:_EXAMPLES]
    pairs = [(split.told(int(np.flatnonzero(alike.near == alike.near[row])[0])), split.told(row)) for row in rows]
    return {"exact": len(exact), "near": len(near) - len(exact), "examples": pairs}


def _conflicts(
    parts: Mapping[str, SourceSplit], alike: Mapping[str, Alike], names: Sequence[str]
) -> Mapping[str, Any]:
    """Images that are alike, but not of one class: most likely one of the labels is wrong."""
    members: dict[int, list[tuple[str, int]]] = {}
    for part, split in parts.items():
        for row, (group, label) in enumerate(zip(alike[part].near.tolist(), split.labels.tolist(), strict=True)):
            members.setdefault(group, []).append((f"{split.told(row)} ({names[label]})", label))
    mixed = [group for group in members.values() if len({label for _, label in group}) > 1]
    # Of each class the first.
    examples = [sorted({label: name for name, label in reversed(group)}.values()) for group in mixed[:_EXAMPLES]]
    return {"images": sum(map(len, mixed)), "examples": examples}


def _repeats(groups: Labels) -> list[int]:
    """The images whose group has an earlier one."""
    _, first = np.unique(groups, return_index=True)
    return sorted(set(range(len(groups))) - set(first.tolist()))
