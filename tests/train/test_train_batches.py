"""Which views a training is shown, and with which labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.core.progress import SILENT
from learn2compress.train.batches import LabelledViews
from learn2compress.train.losses import NO_LABEL
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.views import Views, ViewSpec

COUNT, IMAGES, BATCH = 4, 90, 30
STEPS = IMAGES // BATCH


@pytest.fixture
def made(split: Callable[..., Any], counting_teacher: Callable[..., Any], tmp_path: Path) -> Any:
    views = Views(split(IMAGES), ViewSpec(COUNT, (12, 12), 0, mixed=True))
    return views, soft_labels(counting_teacher(), views, 3, tmp_path, SILENT)[0]


def test_mixed_views_have_no_label_and_the_teachers_word_for_the_mix(made: Any) -> None:
    batches = LabelledViews(*made, BATCH, 0)
    for step in range(2 * COUNT * STEPS):
        # A whole one and a mixed one in turns.
        view = (0, 2, 1, 3)[step // STEPS % COUNT]
        _, (labels, teacher) = batches.batch(step)
        assert ((labels == NO_LABEL).all(), (labels >= 0).all()) == (view in (2, 3), view in (0, 1))
        known = {tuple(row) for row in made[1].batch(view, np.arange(IMAGES))}
        assert {tuple(row) for row in teacher} <= known


def test_where_mixed_views_are_not_to_be_shown_the_others_take_turns(made: Any) -> None:
    batches = LabelledViews(*made, BATCH, 0, mixed=False)
    views = []
    for epoch in range(4):
        _, (labels, teacher) = batches.batch(epoch * STEPS)
        assert (labels >= 0).all()
        known = [{tuple(row) for row in made[1].batch(view, np.arange(IMAGES))} for view in range(COUNT)]
        views.append([view for view in range(COUNT) if {tuple(row) for row in teacher} <= known[view]])
    assert views == [[0], [1], [0], [1]]
    assert batches.whole() is batches
    assert LabelledViews(*made, BATCH, 0).whole().batch(STEPS)[1][0].tolist() == batches.batch(STEPS)[1][0].tolist()
    for changed in (batches.remembered(), batches.of_size((6, 6))):
        assert all((changed.batch(step)[1][0] >= 0).all() for step in range(COUNT * STEPS))
