"""Views are fixed by their seed."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.decode import inspect
from learn2compress.inputs.folders import FolderSplit
from learn2compress.train.views import CROP_AREA, SHIFT_SHARE, Views, ViewSpec

Split = Callable[..., Any]
everything = np.arange(30)


@pytest.mark.parametrize("size", [(32, 32), (16, 10)])
def test_views_are_the_same_for_the_same_seed_and_differ_for_another(split: Split, size: tuple[int, int]) -> None:
    def views(seed: int) -> list[Any]:
        of = Views(split(30, size=(32, 32)), ViewSpec(2, size, seed))
        return [of.batch(view, everything) for view in range(2)]

    for one, again, other in zip(views(1), views(1), views(2), strict=True):
        assert one.shape == (30, *size, 3)
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, again)
        assert (one != other).any(axis=(1, 2, 3)).mean() > 0.8


def test_the_views_of_an_image_differ_from_each_other(split: Split) -> None:
    views = Views(split(30), ViewSpec(3, (16, 16), 0))
    one, other = views.batch(0, everything), views.batch(2, everything)
    assert (one != other).any(axis=(1, 2, 3)).all()


@settings(max_examples=20, deadline=None)
@given(indices=st.lists(st.integers(0, 29), min_size=1, max_size=10), view=st.integers(0, 3), shifts=st.booleans())
def test_a_view_of_an_image_does_not_depend_on_the_rest_of_the_batch(
    split: Split, indices: list[int], view: int, shifts: bool
) -> None:
    views = Views(split(30), ViewSpec(4, (12, 12) if shifts else (14, 9), 5))
    assert views.shifts == shifts
    whole = views.batch(view, everything)
    np.testing.assert_array_equal(views.batch(view, np.array(indices)), whole[indices])


def test_more_views_of_the_same_seed_extend_the_first_ones(split: Split) -> None:
    few, many = (Views(split(30), ViewSpec(count, (12, 12), 5)) for count in (1, 4))
    np.testing.assert_array_equal(few.batch(0, everything), many.batch(0, everything))


@pytest.mark.parametrize("size", [(12, 12), (8, 8)])
def test_each_image_is_mirrored_in_every_other_view_and_half_of_them_in_the_first(
    size: tuple[int, int],
) -> None:
    from learn2compress.inputs.arrays import ArraySplit

    # Bright to the right: whether a view is mirrored shows in its slope, wherever it was cut.
    ramp = np.broadcast_to(np.arange(0, 240, 20, dtype=np.uint8)[None, :, None], (12, 12, 3))
    views = Views(ArraySplit(np.stack([ramp] * 200), np.zeros(200, int)), ViewSpec(4, size, 3))
    slopes = []
    for view in range(4):
        batch = views.batch(view, np.arange(200)).astype(float)
        slopes.append(np.sign(batch[:, :, -3:].mean((1, 2, 3)) - batch[:, :, :3].mean((1, 2, 3))))
    np.testing.assert_array_equal(slopes[0], -slopes[1])
    np.testing.assert_array_equal(slopes[0], slopes[2])
    np.testing.assert_array_equal(slopes[1], slopes[3])
    assert 60 < (slopes[0] < 0).sum() < 140


def test_without_flip_no_view_is_mirrored() -> None:
    from learn2compress.inputs.arrays import ArraySplit

    ramp = np.broadcast_to(np.arange(0, 240, 20, dtype=np.uint8)[None, :, None], (12, 12, 3))
    views = Views(ArraySplit(np.stack([ramp] * 50), np.zeros(50, int)), ViewSpec(2, (8, 8), 3, flip=False))
    for view in range(2):
        batch = views.batch(view, np.arange(50)).astype(float)
        assert (batch[:, :, -1] > batch[:, :, 0]).all()


def test_a_small_image_of_the_right_size_is_shifted_by_up_to_a_fixed_share() -> None:
    from learn2compress.inputs.arrays import ArraySplit

    size = 48
    position = np.zeros((size, size, 3), np.uint8)
    position[:, :, 0], position[:, :, 1] = np.arange(size)[:, None] * 5, np.arange(size)[None, :] * 5
    views = Views(
        ArraySplit(np.stack([position] * 300), np.zeros(300, int)), ViewSpec(1, (size, size), 0, flip=False)
    )
    assert views.shifts
    batch = views.batch(0, np.arange(300)).astype(int) // 5
    middle = batch[:, size // 2, size // 2, :2] - size // 2
    most = int(size * SHIFT_SHARE)
    assert most >= 2
    assert set(middle[:, 0]) == set(middle[:, 1]) == set(range(-most, most + 1))
    # Inside, nothing but the place changes; the border is a reflection, so there is no black rim.
    inner = batch[:, 8:-8, 8:-8, 0] - middle[:, :1, None]
    np.testing.assert_array_equal(inner, np.broadcast_to(np.arange(8, 40)[:, None], inner.shape))


def test_other_images_are_cropped_within_their_bounds() -> None:
    from learn2compress.inputs.arrays import ArraySplit

    side = 100
    position = np.zeros((side, side, 3), np.uint8)
    position[:, :, 0], position[:, :, 1] = np.arange(side)[:, None] * 2, np.arange(side)[None, :] * 2
    views = Views(ArraySplit(np.stack([position] * 200), np.zeros(200, int)), ViewSpec(1, (40, 40), 0, flip=False))
    assert not views.shifts
    batch = views.batch(0, np.arange(200)).astype(float) / 2
    heights = batch[:, -1, 0, 0] - batch[:, 0, 0, 0]
    widths = batch[:, 0, -1, 1] - batch[:, 0, 0, 1]
    areas = heights * widths / side**2
    assert areas.min() > CROP_AREA[0] - 0.05
    assert areas.min() < 0.5
    assert 0.85 < areas.max() <= CROP_AREA[1]


def test_of_squeezed_images_crops_have_the_shape_of_the_whole_and_names_of_their_own() -> None:
    high, wide = 40, 120
    position = np.zeros((high, wide, 3), np.uint8)
    position[:, :, 0], position[:, :, 1] = np.arange(high)[:, None] * 6, np.arange(wide)[None, :] * 2
    cropped = ArraySplit(np.stack([position] * 200), np.zeros(200, int))
    spec = ViewSpec(1, (40, 40), 0, flip=False)
    shares = {}
    for split in (cropped, cropped.framed("squeeze")):
        batch = Views(split, spec).batch(0, np.arange(200)).astype(float)
        heights = (batch[:, -1, 0, 0] - batch[:, 0, 0, 0]) / 6 / high
        widths = (batch[:, 0, -1, 1] - batch[:, 0, 0, 1]) / 2 / wide
        shares[split.framing] = heights, widths
    heights, widths = shares["squeeze"]
    assert (widths / heights).min() > 3 / 4 - 0.1
    assert (widths / heights).max() < 4 / 3 + 0.1
    assert widths.max() > 0.9
    assert (widths * heights).min() > CROP_AREA[0] - 0.05
    heights, widths = shares["crop"]
    assert widths.max() < 0.7
    assert Views(cropped, spec).recipe != Views(cropped.framed("squeeze"), spec).recipe
    # Images that have the size of the view are the same in either framing, and so are their soft labels.
    small = ArraySplit(np.zeros((3, 12, 12, 3), np.uint8), np.zeros(3, int))
    shifted = ViewSpec(1, (12, 12), 0)
    assert Views(small, shifted).recipe == Views(small.framed("squeeze"), shifted).recipe


def test_images_of_several_sizes_are_all_brought_to_the_size_of_the_view(split: Split) -> None:
    views = Views(split(30, stacked=False), ViewSpec(1, (12, 12), 0))
    assert not views.shifts
    assert views.batch(0, everything).shape == (30, 12, 12, 3)


def test_jitter_stays_near_the_view_and_differs_from_step_to_step() -> None:
    # Each pixel tells its own column, so a shift can be read off the image.
    columns = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, None, :, None], (40, 32, 32, 3))
    split = ArraySplit(np.ascontiguousarray(columns), np.zeros(40, np.int64))
    views = Views(split, ViewSpec(1, (32, 32), 0, flip=False))
    indices = np.arange(40)
    middle = [
        views.batch(0, indices, jitter)[:, 16, 16, 0].astype(int)
        for jitter in (None, np.random.default_rng(1), np.random.default_rng(2), np.random.default_rng(2))
    ]
    still, one, other, again = middle
    assert (other == again).all()
    assert (one != other).any()
    assert 0 < np.abs(one - still).max() <= 3


@settings(max_examples=20, deadline=None)
@given(size=st.sampled_from([(12, 12), (9, 14)]), seed=st.integers(0, 99), stacked=st.booleans(), flip=st.booleans())
def test_the_second_half_of_the_views_is_each_mixed_with_that_of_another_image(
    split: Split, size: tuple[int, int], seed: int, stacked: bool, flip: bool
) -> None:
    plain = Views(split(30, stacked=stacked), ViewSpec(4, size, seed, flip))
    views = Views(split(30, stacked=stacked), ViewSpec(4, size, seed, flip, mixed=True))
    some = np.array([3, 11, 28])
    for view in (0, 1):
        np.testing.assert_array_equal(views.batch(view, everything), plain.batch(view, everything))
    for view in (2, 3):
        whole, mixed = plain.batch(view, everything).astype(float), views.batch(view, everything).astype(float)
        np.testing.assert_array_equal(views.batch(view, some), mixed[some])
        partners = []
        for own, found in zip(whole, mixed, strict=True):
            # With which image, and how much of it: what is left is rounding, of the mix and of how much is found.
            errors = []
            for other in whole:
                away = (other - own).ravel()
                share = float(np.clip(away @ (found - own).ravel() / max(away @ away, 1e-9), 0, 0.5))
                errors.append(np.abs(own + share * (other - own) - found).max())
            assert min(errors) <= 1.5
            partners.append(int(np.argmin(errors)))
        assert len(set(partners)) > 20


@given(count=st.integers(1, 12))
def test_whole_and_mixed_views_take_turns(count: int) -> None:
    spec = ViewSpec(count, (12, 12), 0, mixed=True)
    assert sorted(spec.in_turns()) == list(range(count))
    assert [spec.is_mixed(view) for view in spec.in_turns()] == [place % 2 == 1 for place in range(count)]
    assert spec.whole.in_turns() == [view for view in range(count) if not spec.is_mixed(view)]
    assert not any(spec.whole.is_mixed(view) for view in range(count // 2))


def test_mixing_is_another_in_every_view(split: Split) -> None:
    views = Views(split(30), ViewSpec(4, (12, 12), 0, mixed=True))
    one, other = views.batch(2, everything), views.batch(3, everything)
    assert (one != other).any(axis=(1, 2, 3)).all()


def test_jitter_leaves_a_mixed_view_what_it_is_a_mix_of() -> None:
    # Each image is of one grey: moving it changes nothing, mixing it does.
    greys = np.broadcast_to(np.arange(0, 240, 8, dtype=np.uint8)[:, None, None, None], (30, 12, 12, 3))
    split = ArraySplit(np.ascontiguousarray(greys), np.zeros(30, np.int64))
    views = Views(split, ViewSpec(2, (12, 12), 0, mixed=True))
    still = views.batch(1, everything)
    np.testing.assert_array_equal(views.batch(1, everything, np.random.default_rng(1)), still)
    assert (still[:, 0, 0, 0] != greys[:, 0, 0, 0]).sum() > 20


@pytest.mark.parametrize("size", [(32, 32), (16, 10)])
def test_reflected_places_are_those_of_a_padded_image_and_nothing_is_held_twice(
    split: Split, size: tuple[int, int]
) -> None:
    count = 2000
    images = split(count, size=size)
    views = Views(images, ViewSpec(1, size, 0, flip=False))
    assert views.shifts
    tracemalloc.start()
    try:
        batch = views.batch(0, everything)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < images.stacked.nbytes / 2
    rim = [(int(side * SHIFT_SHARE),) * 2 for side in size]
    padded = np.pad(images.stacked[everything], ((0, 0), *rim, (0, 0)), mode="reflect")
    height, width = size
    for image, view in zip(padded, batch, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(image, (height, width, 3))[:, :, 0]
        assert (windows == view).all(axis=(2, 3, 4)).any()


class Decoded(FolderSplit):
    """Tells the shapes that images were decoded at."""

    def image(self, index: int, at_least: int | None = None) -> Any:
        decoded = super().image(index, at_least)
        self.__dict__.setdefault("shapes", []).append(decoded.shape[:2])
        return decoded


def photos(folder: Path, sizes: list[tuple[int, int]], turned: int = 1) -> Decoded:
    """JPEGs of these (height, width); red tells the row and green the column, in shares of 250."""
    files = []
    for number, (height, width) in enumerate(sizes):
        pixels = np.full((height, width, 3), 128, np.uint8)
        pixels[:, :, 0] = np.linspace(0, 250, height)[:, None]
        pixels[:, :, 1] = np.linspace(0, 250, width)[None, :]
        exif = Image.Exif()
        exif[0x0112] = turned
        path = folder / f"{number}.jpg"
        Image.fromarray(pixels).save(path, quality=95, subsampling=0, exif=exif)
        files.append(inspect(path))
    return Decoded(folder, files, np.zeros(len(sizes), np.int64))


SIZES = [(400 + 7 * n, 613 - 5 * n) for n in range(20)]
LARGE = np.arange(len(SIZES))


@pytest.mark.parametrize("turned", [1, 3, 6])
@pytest.mark.parametrize("framing", ["crop", "squeeze"])
def test_a_photo_that_is_decoded_smaller_shows_the_same_part_of_the_image(
    tmp_path: Path, framing: Any, turned: int
) -> None:
    small = photos(tmp_path, SIZES, turned).framed(framing)
    whole = ArraySplit([small.image(n) for n in LARGE], np.zeros(len(SIZES), np.int64), framing)
    spec = ViewSpec(2, (32, 48), 0)
    for view in range(spec.count):
        for seed in (None, 1):
            jitter = [None if seed is None else np.random.default_rng(seed) for _ in range(2)]
            found, expected = (
                Views(of, spec).batch(view, LARGE, moved).astype(int)
                for of, moved in zip((small, whole), jitter, strict=True)
            )
            # A view's pixel is a thirty-second of a crop, up to eight steps of a colour.
            assert np.abs(found - expected).max() <= 4
            assert np.abs(found - expected).mean() <= 1


def test_photos_are_decoded_no_larger_than_a_view_needs_and_no_smaller(tmp_path: Path) -> None:
    split = photos(tmp_path, SIZES)
    Views(split, ViewSpec(1, (32, 32), 0)).batch(0, LARGE)
    stored = split.sizes[LARGE]
    decoded = np.array(sorted(split.shapes))
    assert len(decoded) == len(stored)
    # Of a crop of at least 35 % no less than twice 32 pixels are left: of the whole then no less than this.
    assert decoded.min() >= 2 * 32
    assert (decoded.max(axis=1) <= stored.max() / 2 + 1).all()
    # Here the views are so large that nothing is to spare.
    split = photos(tmp_path, SIZES)
    Views(split, ViewSpec(1, (200, 200), 0)).batch(0, LARGE)
    assert sorted(split.shapes) == sorted(map(tuple, split.sizes))


def test_the_smallest_crops_are_decoded_larger_than_the_largest(tmp_path: Path) -> None:
    split = photos(tmp_path, [(600, 600 + n) for n in range(60)])
    views = Views(split, ViewSpec(1, (64, 64), 0, flip=False))
    sides = []
    for n in range(60):
        split.shapes = []
        shown = views.batch(0, np.array([n])).astype(float)[0]
        part = (shown[-1, 0, 0] - shown[0, 0, 0]) / 250
        across = (shown[0, -1, 1] - shown[0, 0, 1]) / 250
        ((height, width),) = split.shapes
        # 128 pixels of the crop, but for what can't be told from colours so exactly.
        assert height * part >= 0.95 * 128
        assert width * across >= 0.95 * 128
        sides.append((min(part, across), height))
    assert {height for _, height in sides} == {150, 300}
    assert (
        max(part for part, height in sides if height == 300)
        < min(part for part, height in sides if height == 150) + 0.1
    )


def test_soft_labels_of_photos_that_were_decoded_whole_are_not_taken_for_those_of_these(
    tmp_path: Path, split: Split
) -> None:
    before = {"size": (9, 9), "seed": 0, "flip": True, "area": CROP_AREA, "aspect": (3 / 4, 4 / 3)}
    spec = ViewSpec(1, (9, 9), 0)
    assert Views(photos(tmp_path, SIZES), spec).recipe != before
    # Images in memory are what they were.
    assert Views(split(30), spec).recipe == before


def test_no_more_threads_are_begun_than_there_are_cores(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: set[int] = set()

    class Watched(ArraySplit):
        def image(self, index: int, at_least: int | None = None) -> Any:
            at_work.add(threading.get_ident())
            return super().image(index)

    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    images = split(30, stacked=False)
    views = Views(Watched([images.image(n) for n in everything], images.labels), ViewSpec(1, (64, 64), 0))
    views.batch(0, np.arange(300) % 30)
    assert 1 <= len(at_work) <= 2
