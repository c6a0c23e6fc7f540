from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from learn2compress.report.labels import Box, place

FRAME = Box(0, 0, 500, 350)
SPOTS = st.lists(
    st.tuples(st.floats(30, 470), st.floats(30, 320)),
    min_size=1,
    max_size=6,
    unique_by=lambda p: (p[0] // 5, p[1] // 5),
)


@settings(deadline=None, max_examples=60)
@given(SPOTS)
def test_labels_of_six_points_never_overlap_and_stay_inside(points: list[tuple[float, float]]) -> None:
    boxes = place(points, [(90, 12)] * len(points), FRAME, gap=9)
    assert all(a.overlap(b) < 1e-6 for a, b in itertools.combinations(boxes, 2))
    assert all(box.outside(FRAME) < 1e-6 for box in boxes)


def test_a_label_keeps_off_obstacles_where_it_can() -> None:
    above = Box(0, 205, 500, 230)
    (box,) = place([(250, 200)], [(90, 12)], FRAME, gap=9, obstacles=[above])
    assert box.overlap(above) == 0


def test_more_labels_than_room_are_still_placed() -> None:
    points = [(250.0, 175.0)] * 60
    assert len(place(points, [(200, 40)] * 60, FRAME, gap=9)) == 60
