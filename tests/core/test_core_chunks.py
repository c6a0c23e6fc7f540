"""Images are held in pieces."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.chunks import MOST_BYTES, MOST_IMAGES, chunks

SIDES = st.integers(1, 4096)


@given(count=st.integers(0, 1000), size=st.tuples(SIDES, SIDES))
def test_the_pieces_are_all_there_is_and_none_is_too_large(count: int, size: tuple[int, int]) -> None:
    indices = np.arange(count) * 3
    found = list(chunks(indices, size))
    assert [index for some in found for index in some] == indices.tolist()
    for some in found:
        assert 1 <= len(some) <= MOST_IMAGES
        assert len(some) == 1 or len(some) * 3 * size[0] * size[1] <= MOST_BYTES
