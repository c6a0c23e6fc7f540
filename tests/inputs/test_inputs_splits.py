from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.splits import Source, balanced_sample, stratified, with_missing_splits

COUNTS = st.lists(st.integers(3, 60), min_size=2, max_size=6)


def labels_of(counts: list[int], seed: int) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels).astype(np.int64)


@settings(deadline=None, max_examples=60)
@given(COUNTS, st.integers(0, 5), st.floats(0.05, 0.3))
def test_a_stratified_split_is_disjoint_complete_and_has_its_share_of_each_class(counts, seed, fraction):
    labels = labels_of(counts, seed)
    rest, taken = stratified(labels, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([rest, taken])), np.arange(len(labels)))
    for label, count in enumerate(counts):
        assert (labels[taken] == label).sum() == max(1, round(fraction * count))


@settings(deadline=None, max_examples=40)
@given(COUNTS, st.integers(0, 5))
def test_made_splits_hold_each_example_once_and_every_class(counts, seed):
    labels = labels_of(counts, seed)
    images = np.arange(len(labels), dtype=np.int64)
    pixels = np.zeros((len(labels), 2, 2, 3), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = images // 256, images % 256
    names = tuple(map(str, range(len(counts))))
    source = Source({"train": ArraySplit(pixels, labels)}, None, "arrays")
    made = with_missing_splits(source, names, seed)
    again = with_missing_splits(source, names, seed)
    seen = []
    for part in ("train", "validation", "test"):
        split = made.parts[part]
        assert set(split.labels) == set(range(len(counts)))
        assert split.fingerprint == again.parts[part].fingerprint
        stored = split.stacked[:, 0, 0].astype(int)
        seen.append(stored[:, 0] * 256 + stored[:, 1])
        assert np.array_equal(labels[seen[-1]], split.labels)
    assert np.array_equal(np.sort(np.concatenate(seen)), images)
    assert len(made.parts["test"]) == len(made.parts["validation"])


def test_another_seed_gives_another_split():
    labels = labels_of([100, 100], 0)
    assert not np.array_equal(stratified(labels, 0.1, 0)[1], stratified(labels, 0.1, 1)[1])


@settings(deadline=None, max_examples=40)
@given(COUNTS, st.integers(1, 200))
def test_a_balanced_sample_takes_from_no_class_twice_what_another_still_has(counts, size):
    labels = labels_of(counts, 0)
    chosen = balanced_sample(labels, size)
    assert len(np.unique(chosen)) == len(chosen) == min(size, len(labels))
    taken = np.bincount(labels[chosen], minlength=len(counts))
    exhausted = taken == np.array(counts)
    if not exhausted.all():
        assert taken[~exhausted].min() >= taken.max() - 1
