"""A survey of the user's data: how many, how even, how large, what is broken and what is there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from learn2compress.core.dataset import Dataset, Labels
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.inputs.alike import Alike
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.leaks import compared, leaks
from learn2compress.inputs.splits import SourceSplit

_NAMED = 50  # broken images that are named
_EXAMPLES = 3


def load_surveyed(
    data: Any, *, labels: str | Path | Sequence[str] | None = None, seed: int = 0, progress: Progress = SILENT
) -> tuple[Dataset, dict[str, Any]]:
    """Loads data as `load_dataset` does, and says what is in it.

    Returns:
        The dataset; and its survey, see `survey`.

    Raises:
        InputError: what `load_dataset` raises, and nothing more.
    """
    broken: list[str] = []

    def collect(event: Event) -> None:
        broken.extend(event.data.get("files", []) if event.kind == "warning" else [])

    dataset = load_dataset(data, labels=labels, seed=seed, progress=progress.with_listener(collect))
    return dataset, survey(dataset, broken)


def survey(dataset: Dataset, broken: Sequence[str] = ()) -> dict[str, Any]:
    """What is in a dataset, as numbers, texts, lists and dictionaries of them.

    Args:
        dataset: as `load_dataset` gives it.
        broken: name and reason of each image that was skipped.

    Returns:
        `source`, `class_names`; `splits`: for each its `images` and their number `per_class`; `balance`: the classes
        with the most and the fewest images and their `ratio`; `sizes`: `smallest`, `median` and `largest` height and
        width in pixels (of either alone); `formats` and `modes` with their number of images; `broken`: the number of
        `images` and at most 50 `named`; `duplicates`: `within` each split and `across` splits, exact ones (the same
        pixels) and near ones, and those `labelled_differently`; and `notes`, which say how the splits came about.
    """
    parts = {
        part: cast("SourceSplit", split)
        for part, split in (("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test))
    }
    counts = {part: np.bincount(split.labels, minlength=dataset.classes) for part, split in parts.items()}
    sizes = np.concatenate([split.sizes for split in parts.values()])
    kinds = [kind for split in parts.values() for kind in split.kinds]
    alike = compared(parts)
    return {
        "source": dataset.source,
        "class_names": list(dataset.class_names),
        "splits": {
            part: {"images": len(split), "per_class": _by_class(dataset, counts[part])}
            for part, split in parts.items()
        },
        "balance": _balance(dataset, np.sum(list(counts.values()), axis=0)),
        "sizes": {
            "smallest": sizes.min(axis=0).tolist(),
            "median": np.median(sizes, axis=0).astype(int).tolist(),
            "largest": sizes.max(axis=0).tolist(),
        },
        "formats": dict(Counter(stored for stored, _ in kinds).most_common()),
        "modes": dict(Counter(mode for _, mode in kinds).most_common()),
        "broken": {"images": len(broken), "named": list(broken[:_NAMED])},
        "duplicates": {
            "within": {part: _within(split, alike[part]) for part, split in parts.items()},
            "across": [asdict(leak) for leak in leaks(parts, alike)],
            "labelled_differently": _conflicts(parts, alike, dataset.class_names),
        },
        "notes": list(dataset.notes),
    }


def _by_class(dataset: Dataset, counts: Labels) -> dict[str, int]:
    return {name: int(count) for name, count in zip(dataset.class_names, counts, strict=True)}


def _balance(dataset: Dataset, counts: Labels) -> dict[str, Any]:
    most, fewest = int(np.argmax(counts)), int(np.argmin(counts))
    return {
        "largest": {"class": dataset.class_names[most], "images": int(counts[most])},
        "smallest": {"class": dataset.class_names[fewest], "images": int(counts[fewest])},
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
