"""The page shows what the search looked at, and what of it was taken."""

from __future__ import annotations

import re
from typing import Any

import pytest

from learn2compress.core.family import Family
from learn2compress.core.searched import LookedAt, Searched
from learn2compress.report.page import render


def looked_at(name: str, size: int, accuracy: float, **more: Any) -> LookedAt:
    values = {"input_size": (96, 80), "trained": False, "macs": 10 * size, "on_front": True, **more}
    return LookedAt(name=name, size_bytes=size, accuracy_validation=accuracy, **values)


MEMBERS = (
    looked_at("large", 1_184_000, 0.91, trained=True),
    looked_at("<b>wide</b>", 418_000, 0.87, on_front=False),
    looked_at("fitting-1", 300_000, 0.905, taken_for=("drop<=0.03", "size<=1MB")),
)


def with_search(family: Family, *members: LookedAt, spares: int = 2) -> Family:
    found = Searched(images=341, teacher_accuracy=0.9355, spares=spares, members=members)
    return family.model_copy(update={"plan": {**family.plan, "search": found.model_dump(mode="json")}})


def section(family: Family) -> str:
    page = render(family)
    return page.partition('id="searched"')[2].partition("</table>")[0]


def test_members_that_were_looked_at_are_in_a_table_the_largest_first(family: Family) -> None:
    text = section(with_search(family, *reversed(MEMBERS)))
    assert "341 validation images" in text
    assert "93.5 %" in text or "93.6 %" in text
    rows = [re.sub("<[^>]+>", " ", row).split() for row in text.split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["large", "&lt;b&gt;wide&lt;/b&gt;", "fitting-1"]
    assert rows[0][1:] == ["80×96,", "trained", "1.18", "MB", "11.8", "M", "91.0", "%", "yes", "–"]
    assert rows[1][-2:] == ["–", "–"]
    assert rows[2][-3:] == ["yes", "drop&lt;=0.03,", "size&lt;=1MB"]
    assert "latency" not in text
    assert "there was no time" not in text


def test_latency_and_memory_are_shown_where_a_bound_asked_for_them(family: Family) -> None:
    timed = looked_at("small", 100_000, 0.8, latency_ms=1.234, peak_memory_bytes=2_500_000.0)
    text = section(with_search(family, *MEMBERS, timed, spares=5))
    assert "latency, ms" in text
    assert "1.23<small>2.5 MB" in text
    assert "For 2 more there was no time." in text


@pytest.mark.parametrize("search", [None, {}, "whatever it was", {"members": []}])
def test_what_is_no_record_of_a_search_is_not_shown(family: Family, search: object) -> None:
    plan = family.plan if search is None else {**family.plan, "search": search}
    page = render(family.model_copy(update={"plan": plan}))
    assert 'id="searched"' not in page
    assert "whatever it was" not in page
