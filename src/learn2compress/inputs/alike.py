"""Which images are alike: the same picture twice, or nearly so (another size, compression or brightness).

Candidates come from a difference hash (is a pixel of the thumbnail brighter than its neighbour?) that is cut into
bands: images that share a band are compared. That finds them without comparing all with all. What they must agree in
is then looked at more closely, because at 32 x 32 pixels two ships on a blue sea have the same hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Images
from learn2compress.inputs.geometry import pool
from learn2compress.inputs.looks import SIDE

# Measured on CIFAR-10 and Imagenette, see docs/decisions/0014-near-duplicates.md.
MOST_BITS = 15  # of 128 in which the hashes may differ
LEAST_CORRELATION = 0.98  # of the thumbnails, each channel less its mean
MOST_DIFFERENCE = 24  # mean difference of the thumbnails, of 255
# Thumbnails with less contrast than this (standard deviation, of 255) are noise: only exact copies are alike.
LEAST_CONTRAST = 4
_HASH_BITS = 2 * (SIDE - 1) ** 2
_CHUNK = 4096  # images worked on in floating point at a time
_NEIGHBOURS = 256  # so many of those that share a band are compared with each; bounds the cost of odd sets


@dataclass(frozen=True)
class Alike:
    """Groups of images.

    Attributes:
        exact: group of each image, those with the same pixels together; shape (images,).
        near: likewise, those that are nearly the same together too.
    """

    exact: NDArray[np.int64]
    near: NDArray[np.int64]


def find_alike(looks: Images, image: Callable[[int], Images]) -> Alike:
    """Groups images by what they show.

    Args:
        looks: thumbnails, shape (images, 9, 9, 3).
        image: function (index) -> the pixels; asked only where thumbnails are equal.

    Returns:
        Groups by the least index in them.
    """
    exact = _same_pixels(looks, image)
    first = np.flatnonzero(exact == np.arange(len(exact)))  # a copy needs no comparing of its own
    near = np.arange(len(looks))
    near[first] = first[near_groups(looks[first])]
    return Alike(exact, near[exact])


def _same_pixels(looks: Images, image: Callable[[int], Images]) -> NDArray[np.int64]:
    groups = np.arange(len(looks))
    if not len(looks):
        return groups
    _, which, counts = np.unique(looks.reshape(len(looks), -1), axis=0, return_inverse=True, return_counts=True)
    candidates = np.flatnonzero(counts[which.ravel()] > 1)

    def digest(index: int) -> bytes:
        pixels = image(index)
        return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).digest()

    first: dict[bytes, int] = {}
    for index, found in zip(candidates, pool().map(digest, map(int, candidates)), strict=True):
        groups[index] = first.setdefault(found, int(index))
    return groups


def near_groups(looks: Images) -> NDArray[np.int64]:
    """Groups of images that are nearly the same, each named by the least index in it; shape (images,).

    Images with hardly any contrast are alone: their thumbnails agree in nothing but noise.

    Args:
        looks: thumbnails, shape (images, 9, 9, 3).
    """
    groups = np.arange(len(looks))
    kept = np.flatnonzero(_contrast(looks) >= LEAST_CONTRAST)
    if len(kept) < 2:
        return groups
    for first, second in _candidates(_hash_bits(looks[kept])):
        a, b = kept[first], kept[second]
        # Of the frames of a fixed camera nearly all pairs agree: once in one group, they are not compared again.
        apart = groups[a] != groups[b]
        a, b = a[apart], b[apart]
        agree = _agree(looks[a], looks[b])
        _join(groups, groups[a[agree]], groups[b[agree]])
    return groups


def _contrast(looks: Images) -> NDArray[np.float32]:
    """Standard deviation of each thumbnail's channels, of 255; shape (images,)."""
    parts = [_deviations(looks[start : start + _CHUNK]) for start in range(0, len(looks), _CHUNK)]
    return np.concatenate([np.sqrt((part**2).mean(axis=1)) for part in parts] or [np.empty(0, np.float32)])


def _deviations(looks: Images) -> NDArray[np.float32]:
    """Each channel less its mean, as vectors; shape (images, 243)."""
    values = looks.reshape(len(looks), SIDE * SIDE, 3).astype(np.float32)
    return (values - values.mean(axis=1, keepdims=True)).reshape(len(looks), SIDE * SIDE * 3)


def _agree(first: Images, second: Images) -> NDArray[np.bool_]:
    """Whether thumbnails (pairs, 9, 9, 3) are nearly the same, whatever their hashes say; shape (pairs,)."""
    a, b = _deviations(first), _deviations(second)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    apart = np.abs(first.astype(np.int16) - second.astype(np.int16)).mean(axis=(1, 2, 3))
    return ((a * b).sum(axis=1) >= LEAST_CORRELATION * lengths) & (apart <= MOST_DIFFERENCE)


def _hash_bits(looks: Images) -> NDArray[np.bool_]:
    """Whether each pixel of the grey thumbnail is darker than its right, and its lower, neighbour; (images, 128)."""
    grey = looks.astype(np.int32) @ np.array([299, 587, 114], np.int32)
    right = grey[:, :-1, 1:] > grey[:, :-1, :-1]
    below = grey[:, 1:, :-1] > grey[:, :-1, :-1]
    return np.concatenate([right.reshape(len(looks), -1), below.reshape(len(looks), -1)], axis=1)


def _candidates(bits: NDArray[np.bool_]) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs whose hashes agree in one band and differ by at most `MOST_BITS` in all, in pieces; some come twice.

    Bands are wider for more images, so that about as many share one.
    """
    count = len(bits)
    width = min(16, max(8, int(np.ceil(np.log2(count))) - 4))
    words = np.packbits(bits, axis=1).view(np.uint64)
    # Neighbouring bits say much the same: a band takes bits from all over.
    spread = np.random.default_rng(0).permutation(_HASH_BITS)
    for start in range(0, _HASH_BITS - width + 1, width):
        key = bits[:, spread[start : start + width]] @ (1 << np.arange(width))
        order = np.lexsort((words[:, 1], words[:, 0], key))
        key = key[order]
        left = np.arange(count)
        for shift in range(1, min(_NEIGHBOURS, count - 1) + 1):
            left = left[left + shift < count]
            left = left[key[left] == key[left + shift]]
            if not len(left):
                break
            a, b = order[left], order[left + shift]
            differing = np.bitwise_count(words[a] ^ words[b]).sum(axis=1)
            close = differing <= MOST_BITS
            yield a[close], b[close]


def _join(groups: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
    """Makes one group of each two, in place; groups are named by the least index in them, before and after."""
    for one, other in set(zip(first.tolist(), second.tolist(), strict=True)):
        low, high = sorted((_root(groups, one), _root(groups, other)))
        groups[high] = low
    while not np.array_equal(groups, groups[groups]):
        groups[:] = groups[groups]


def _root(groups: NDArray[np.int64], index: int) -> int:
    while groups[index] != index:
        groups[index] = groups[groups[index]]
        index = int(groups[index])
    return index
