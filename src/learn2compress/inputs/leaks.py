"""Images that are on two sides of the splits: what is measured on them says too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from learn2compress.core.dataset import Images
from learn2compress.core.progress import Progress
from learn2compress.inputs.alike import Alike, find_alike
from learn2compress.inputs.splits import SourceSplit
from learn2compress.inputs.wording import counted, listed

_EXAMPLES = 3


@dataclass(frozen=True)
class Leak:
    """Images of one split that another has too.

    Attributes:
        part, other: the splits; `train` or, of two others, the one that comes first is `other`.
        exact: so many images of `part` are in `other` with the same pixels.
        near: so many more are in it nearly the same.
        examples: pairs (in `part`, in `other`) of names, at most three.
    """

    part: str
    other: str
    exact: int
    near: int
    examples: tuple[tuple[str, str], ...]


def compared(parts: Mapping[str, SourceSplit]) -> dict[str, Alike]:
    """Finds what is alike among the images of all parts; groups have the same numbers in all of them."""
    splits = list(parts.values())
    starts = np.cumsum([0, *(len(split) for split in splits)])

    def image(index: int) -> Images:
        part = int(np.searchsorted(starts, index, side="right")) - 1
        return splits[part].image(int(index - starts[part]))

    alike = find_alike(np.concatenate([split.looks for split in splits]), image)
    cut = [slice(*edges) for edges in pairwise(starts)]
    return {part: Alike(alike.exact[where], alike.near[where]) for part, where in zip(parts, cut, strict=True)}


def leaks(parts: Mapping[str, SourceSplit], alike: Mapping[str, Alike]) -> list[Leak]:
    """The images that are on two sides, for each two parts that share some."""
    order = [part for part in ("train", "validation", "test") if part in parts]
    found = []
    for position, part in enumerate(order):
        for other in order[:position]:
            exact = np.isin(alike[part].exact, alike[other].exact)
            near = np.isin(alike[part].near, alike[other].near)
            if near.any():
                rows = np.concatenate([np.flatnonzero(exact), np.flatnonzero(near & ~exact)])[:_EXAMPLES]
                first = [int(np.flatnonzero(alike[other].near == alike[part].near[row])[0]) for row in rows]
                examples = tuple(
                    (parts[part].told(int(row)), parts[other].told(twin))
                    for row, twin in zip(rows, first, strict=True)
                )
                found.append(Leak(part, other, int(exact.sum()), int((near & ~exact).sum()), examples))
    return found


def warn_of_leaks(
    parts: Mapping[str, SourceSplit], alike: Mapping[str, Alike], progress: Progress
) -> tuple[str, ...]:
    """Warns of images that given splits share; returns the same as notes."""
    notes = []
    for leak in leaks(parts, alike):
        shared = leak.exact + leak.near
        pairs = listed([f"{a} and {b}" for a, b in leak.examples], _EXAMPLES)
        message = (
            f"{counted(shared, 'image')} of the {leak.part} split ({shared / len(parts[leak.part]):.1%}) "
            f"{'is' if shared == 1 else 'are'} in the {leak.other} split too: {leak.exact} with the same pixels, "
            f"{leak.near} nearly the same, such as {pairs}. What is measured on them says too much"
        )
        progress.warn(f"{message}.", "compare images", exact=leak.exact, near=leak.near)
        notes.append(message)
    return tuple(notes)
