"""Slice maps of nested members."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learn2compress.graph.slices import slices_within


def net(channels: tuple[int, ...], head: str = "logits") -> Any:
    from keras import Input, Model, layers

    image = Input((8, 8, 3))
    x = image
    for i, count in enumerate(channels):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"depthwise{i}")(x)
        x = layers.Conv2D(count, 1, name=f"conv{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(layers.BatchNormalization(name=f"bn{i}")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return Model(image, layers.Dense(3, name=head)(x))


widths = st.tuples(st.integers(1, 6), st.integers(1, 6))


@settings(max_examples=20, deadline=None)
@given(narrow=widths, more=st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_every_matrix_of_a_narrower_member_is_the_leading_part_of_the_wider_ones(
    narrow: tuple[int, int], more: tuple[int, int]
) -> None:
    member = net(narrow)
    widest = net((narrow[0] + more[0], narrow[1] + more[1]))
    found = slices_within(member, widest)
    whole = widest.trainable_variables
    assert len(found.shared) == len(found.ranges) == len(member.trainable_variables)
    for variable, shared, ranges in zip(member.trainable_variables, found.shared, found.ranges, strict=True):
        if len(variable.shape) < 2:
            assert shared is None
            assert ranges == ()
            continue
        assert shared is not None
        cut = np.asarray(whole[shared])[tuple(slice(a, b) for a, b in ranges)]
        assert cut.shape == tuple(variable.shape)
        assert all(start == 0 for start, _ in ranges)
        assert whole[shared].path.split("/")[-2:] == variable.path.split("/")[-2:]


@settings(max_examples=10, deadline=None)
@given(channels=widths, place=st.integers(0, 1), more=st.integers(1, 4))
def test_a_member_that_is_wider_anywhere_is_refused(channels: tuple[int, int], place: int, more: int) -> None:
    wider = tuple(count + more * (i == place) for i, count in enumerate(channels))
    with pytest.raises(ValueError, match="is no slice"):
        slices_within(net(wider), net(channels))


def test_a_head_of_its_own_is_private() -> None:
    found = slices_within(net((2, 3), head="other_logits"), net((2, 3)))
    assert found.shared[-2:] == (None, None)
    assert found.ranges[-2:] == ((), ())


def test_a_layer_of_another_kind_under_the_same_name_is_refused() -> None:
    from keras import Input, Model, layers

    image = Input((8, 8, 3))
    flat = Model(image, layers.Dense(2, name="conv0")(layers.Flatten()(image)))
    with pytest.raises(ValueError, match="is no slice"):
        slices_within(flat, net((4, 4)))
