from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

from learn2compress.core.errors import InputError
from learn2compress.core.family import Family
from learn2compress.report.plots import LATENCY, SIZE, drawable, inline_svg, write_picture


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


def test_plot_names_every_model_with_its_figure(family: Family) -> None:
    assert {"teacher · 13.6 MB", "teacher-int8 · 3.91 MB", "large · 1.18 MB", "small · 94.8 kB"} <= set(
        texts(inline_svg(family, SIZE))
    )
    assert {"teacher · 6.84 ms", "medium · 0.418 ms"} <= set(texts(inline_svg(family, LATENCY)))


@pytest.mark.parametrize("measure", [SIZE, LATENCY])
def test_svg_is_the_same_each_time(family: Family, measure: object) -> None:
    assert inline_svg(family, measure) == inline_svg(family, measure)  # type: ignore[arg-type]


def test_inline_svg_takes_its_colours_from_the_page(family: Family) -> None:
    svg = inline_svg(family, SIZE)
    assert not re.search(r"#[0-9a-fA-F]{6}\b", svg)
    assert "var(--plot-member)" in svg
    assert "var(--plot-teacher)" in svg
    assert "<style" not in svg  # a style element would apply to the page around it


def test_ids_of_the_two_plots_differ_and_references_resolve(family: Family) -> None:
    both = [inline_svg(family, SIZE), inline_svg(family, LATENCY)]
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in both]
    assert not ids[0] & ids[1]
    for svg, own in zip(both, ids, strict=True):
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) <= own


def test_dominated_member_is_off_the_front(family: Family) -> None:
    worse = family.members[0].model_copy(update={"name": "worse", "size_bytes": 2_000_000})
    svg = inline_svg(family.model_copy(update={"members": (*family.members, worse)}), SIZE)
    hollow = re.findall(r"fill: var\(--plot-background\); stroke: var\(--plot-member\)", svg)
    assert len(hollow) == 1


def test_odd_names_are_drawn_as_they_are(family: Family) -> None:
    odd = family.members[0].model_copy(update={"name": "<b>$x_1$ & co"})
    svg = inline_svg(family.model_copy(update={"members": (odd,)}), SIZE)
    assert "<b>$x_1$ & co · 1.18 MB" in texts(svg)


def test_family_without_latency_has_a_size_plot_with_the_teachers_level(bare_family: Family) -> None:
    assert not drawable(bare_family, LATENCY)
    assert drawable(bare_family, SIZE)
    assert "teacher · 92.5 %" in texts(inline_svg(bare_family, SIZE))


def test_family_of_one_model_is_drawn(family: Family) -> None:
    assert "small · 94.8 kB" in texts(inline_svg(family.model_copy(update={"members": family.members[2:]}), SIZE))


def test_picture_as_png_holds_both_plots(family: Family, tmp_path: Path) -> None:
    path = write_picture(family, tmp_path / "family.png")
    with Image.open(path) as image:
        assert image.width > 2 * image.height
    assert [p.name for p in tmp_path.iterdir()] == ["family.png"]


def test_picture_as_svg_stands_alone_in_light_and_dark(family: Family, tmp_path: Path) -> None:
    first = write_picture(family, tmp_path / "a.svg").read_text(encoding="utf-8")
    assert first == write_picture(family, tmp_path / "b.svg").read_text(encoding="utf-8")
    assert ET.fromstring(first.encode()).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in first
    defined = set(re.findall(r"(--plot-\w+):", first))
    assert set(re.findall(r"var\((--plot-\w+)", first)) <= defined


def test_picture_of_another_kind_is_refused(family: Family, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        write_picture(family, tmp_path / "family.jpg")
    assert caught.value.code == "report.picture_type"
    assert not list(tmp_path.iterdir())
