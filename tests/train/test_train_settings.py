"""A batch holds fewer of large images, so that memory lasts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.train.settings import SETTINGS, SMALLEST_BATCH

SIDES = st.integers(4, 4096)


@pytest.mark.parametrize(
    ("kind", "size", "batch"),
    [
        ("cuts", (32, 32), 32),
        ("cuts", (128, 128), 32),
        ("cuts", (160, 160), 16),
        ("cuts", (224, 224), 16),
        ("prunings", (224, 224), 32),
        ("students", (224, 224), 128),
        ("cuts", (448, 448), 4),
        ("cuts", (512, 512), 3),
        ("students", (512, 512), 24),
        ("cuts", (96, 1024), 8),  # one short side does not make it small
        ("cuts", (1024, 96), 8),
        ("cuts", (4096, 4096), SMALLEST_BATCH),
    ],
)
def test_the_batch_is_of_the_images_area(kind: str, size: tuple[int, int], batch: int) -> None:
    assert SETTINGS[kind].for_size(size).batch_size == batch


@given(size=st.tuples(SIDES, SIDES), kind=st.sampled_from(sorted(SETTINGS)))
def test_a_batch_never_holds_more_pixels_than_one_of_224_px(size: tuple[int, int], kind: str) -> None:
    settings = SETTINGS[kind].for_size(size)
    pixels = SETTINGS[kind].for_size((224, 224)).batch_size * 224 * 224
    assert settings.batch_size == SMALLEST_BATCH or settings.batch_size * math.prod(size) <= pixels
    assert SMALLEST_BATCH <= settings.batch_size <= SETTINGS[kind].batch_size
