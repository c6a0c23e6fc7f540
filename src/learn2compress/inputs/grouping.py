"""Splitting examples that belong together: a group lies on one side of a split, whole."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Labels
from learn2compress.inputs.alike import Alike

# A class of which more than half is one group of near-duplicates has pictures that the thumbnail can't tell apart.
_LARGEST_SHARE = 0.5
_FEWEST_TO_JUDGE = 20  # images of a class from which on that says something


def taken_whole(
    labels: Labels, groups: NDArray[np.int64], counts: dict[int, int], seed: int | tuple[int, ...], spare: int
) -> NDArray[np.int64]:
    """Takes about `counts` examples of each class, at random, in whole groups.

    A group is taken where it fits into the counts of all the classes it has examples of. A class that would get
    nothing that way gets its smallest group.

    Args:
        labels: class indices, shape (examples,).
        groups: the group of each example, shape (examples,).
        counts: how many examples to take, by class.
        seed: the same seed and input give the same result.
        spare: so many groups of each class are left.

    Returns:
        Indices of what was taken, in ascending order. Where each example is a group of its own, exactly `counts`
        (or what `spare` leaves).
    """
    random = np.random.default_rng(seed)
    members = _members(groups)
    inside = {group: Counter(labels[rows].tolist()) for group, rows in members.items()}
    left = Counter(label for classes in inside.values() for label in classes)
    got: Counter[int] = Counter()
    taken: set[int] = set()

    def take(group: int) -> None:
        taken.add(group)
        got.update(inside[group])
        left.subtract(inside[group].keys())

    for label, count in counts.items():
        order = groups[random.permutation(np.flatnonzero(labels == label))]
        for group in dict.fromkeys(order.tolist()):
            if got[label] >= count:
                break
            classes = inside[group]
            fits = all(got[c] + n <= counts[c] for c, n in classes.items())
            if fits and group not in taken and all(left[c] > spare for c in classes):
                take(group)
        if not got[label]:
            possible = [g for g in dict.fromkeys(order.tolist()) if all(left[c] > spare for c in inside[g])]
            if possible:
                take(min(possible, key=lambda g: len(members[g])))
    return np.sort(np.concatenate([np.empty(0, np.int64), *(members[group] for group in sorted(taken))]))


def _members(groups: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """The examples of each group, in ascending order."""
    order = np.argsort(groups, kind="stable")
    names, starts = np.unique(groups[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else {}


def settled_groups(alike: Alike, labels: Labels, sides: int) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """The groups to split by: near-duplicates together, unless a class could not be split then.

    Where near-duplicates leave a class with fewer groups than sides, or are more than half of it, only exact copies
    are kept together; where those are too few too (all images the same), each image is for itself.

    Args:
        alike: of all the examples that `labels` has.
        labels: class indices, shape (examples,).
        sides: splits that will be made, the training split included.

    Returns:
        The group of each example; and the classes for which near-duplicates are not kept together.
    """
    groups = alike.near.copy()
    given_up: set[int] = set()
    for finer, share in ((alike.exact, _LARGEST_SHARE), (np.arange(len(labels)), 1.0)):
        for label in np.unique(labels):
            _, sizes = np.unique(groups[labels == label], return_counts=True)
            total = sizes.sum()
            if len(sizes) < sides or (total >= _FEWEST_TO_JUDGE and sizes.max() > share * total):
                coarse = np.isin(groups, groups[labels == label])
                groups[coarse] = finer[coarse]
                given_up.add(int(label))
    return groups, tuple(sorted(given_up))
