from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from learn2compress.core.family import Family
from learn2compress.report.card import write_cards
from learn2compress.report.page import render, write_report
from learn2compress.report.shipping import ways

HOSTILE = ("<script>alert(1)</script>", '" onmouseover="alert(1)', "a & b", "</td></table>", "{{ 7 * 7 }}")
VOID = {"meta", "input", "br", "link", "img", "hr"}
LOADS = {"script", "link", "img", "iframe", "object", "embed", "audio", "video", "source", "base", "form"}


class Page(HTMLParser):
    """What a browser would see: elements, their attributes, all text; fails when tags do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(family: Family, folder: Path) -> Page:
    return Page(write_report(family, folder).read_text(encoding="utf-8"))


def test_report_is_one_whole_file(family: Family, tmp_path: Path) -> None:
    path = write_report(family, tmp_path)
    assert path == tmp_path / "report.html"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert write_report(family, tmp_path).read_text(encoding="utf-8").endswith("</html>\n")


def test_failed_report_leaves_the_old_one(family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write_report(family, tmp_path).read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_report(family.model_copy(update={"command": "other"}), tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before


def test_page_loads_nothing(family: Family, tmp_path: Path) -> None:
    seen = page(family, tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not [tag for tag, _ in seen.elements if tag in LOADS]
    for tag, attributes in seen.elements:
        for name, value in attributes.items():
            if name in {"src", "href", "xlink:href", "srcset", "data", "action"}:
                assert not re.match(r"\s*(\w+:|//)", value or ""), (tag, name, value)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_headline_and_cost_are_said_in_words(family: Family, tmp_path: Path) -> None:
    text = page(family, tmp_path).text
    assert "Three models, 11× to 143× smaller than the teacher." in text
    assert "The best on validation images, large, is right on 90.6 % of 372 test examples" in text
    assert "The smallest, small, keeps 81.7 % in 94.8 kB." in text


def test_all_measurements_are_in_the_page(family: Family, tmp_path: Path) -> None:
    text = page(family, tmp_path).text
    for figure in (
        "12.5 MB",
        "81.5 kB",
        "73.4 M",
        "91.1 %",
        "0.195",
        "2.49 MB",
        "99.73 %",
        "0.0156",
        "size<=100KB",
    ):
        assert figure in text
    for fact in ("11m 42s", "3,068 train", "AMD EPYC 9B14", "hat/0091.jpg", "set aside for validation"):
        assert fact in text
    assert family.command in text


def test_each_member_links_to_its_file_and_its_card(family: Family, tmp_path: Path) -> None:
    links = {attributes.get("href") for tag, attributes in page(family, tmp_path).elements if tag == "a"}
    cards = {path.relative_to(tmp_path).as_posix() for path in write_cards(family, tmp_path)}
    assert {member.file for member in family.members} | cards <= links


def test_hostile_class_names_and_paths_stay_text(family: Family, tmp_path: Path) -> None:
    names = (*HOSTILE, *family.dataset.class_names[len(HOSTILE) :])
    data = family.dataset.model_copy(update={"class_names": names, "source": "<img src=x onerror=alert(1)>"})
    odd = family.members[0].model_copy(update={"name": "<i>m</i>", "file": 'javascript:"><script>.tflite'})
    seen = page(family.model_copy(update={"dataset": data, "members": (odd, *family.members[1:])}), tmp_path)
    assert not [tag for tag, _ in seen.elements if tag in {"script", "img"}]
    assert not [a for _, attributes in seen.elements for a in attributes if a.startswith("on")]
    assert not [a["href"] for _, a in seen.elements if (a.get("href") or "").startswith("javascript:")]
    for name in (*HOSTILE, "<img src=x onerror=alert(1)>", "<i>m</i>"):
        assert name in seen.text


def test_classes_that_lose_most_come_first(family: Family, tmp_path: Path) -> None:
    text = page(family, tmp_path).text.split("Class by class")[1]
    assert text.index(" outwear ") < text.index(" hat ") < text.index(" dress ")
    assert "−22.0" in text


def test_of_many_classes_the_twenty_that_lose_most_are_shown(family: Family, tmp_path: Path) -> None:
    names = tuple(f"class-{i:04d}" for i in range(1000))

    def per_class(model: object, values: tuple[float | None, ...]) -> object:
        accuracy = model.accuracy.model_copy(update={"per_class_test": values})  # type: ignore[attr-defined]
        return model.model_copy(update={"accuracy": accuracy})  # type: ignore[attr-defined]

    lost = tuple(None if i == 3 else 0.4 if i % 50 == 7 else 0.9 for i in range(1000))
    big = family.model_copy(
        update={
            "dataset": family.dataset.model_copy(update={"class_names": names}),
            "teacher": per_class(family.teacher, (0.9,) * 1000),
            "members": tuple(per_class(m, lost) for m in family.members),
        }
    )
    text = page(big, tmp_path).text
    assert set(re.findall(r"class-\d{4}", text)) == {f"class-{i:04d}" for i in range(7, 1000, 50)}
    assert "The 20 of 1000 classes that lose most." in text


def test_class_without_test_examples_is_a_dash(family: Family, tmp_path: Path) -> None:
    first = family.members[0]
    values = (None, *first.accuracy.per_class_test[1:])
    member = first.model_copy(update={"accuracy": first.accuracy.model_copy(update={"per_class_test": values})})
    text = page(family.model_copy(update={"members": (member,)}), tmp_path).text
    assert re.search(r"dress 93 % – ", text)


def test_family_without_latency_sizes_or_class_figures(bare_family: Family, tmp_path: Path) -> None:
    text = page(bare_family, tmp_path).text
    assert "Three models of 94.8 kB to 1.18 MB." in text
    assert "Class by class" not in text
    assert "against latency" not in text
    assert "as it has no file" in text


def test_one_member_is_in_the_singular(family: Family, tmp_path: Path) -> None:
    text = page(family.model_copy(update={"members": family.members[:1]}), tmp_path).text
    assert "One model, 11× smaller than the teacher." in text


def test_report_is_made_without_tensorflow_keras_or_litert() -> None:
    code = (
        "import sys\n"
        "import learn2compress.report.page, learn2compress.report.plots, learn2compress.report.tables.family\n"
        "heavy = {'tensorflow', 'keras', 'ai_edge_litert'} & set(sys.modules)\n"
        "mine = {m.split('.')[1] for m in sys.modules if m.startswith('learn2compress.')}\n"
        "assert not heavy, heavy\n"
        "assert mine <= {'core', 'report'}, mine\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_what_a_precision_means_and_what_stays_in_float32_is_said(family: Family) -> None:
    from learn2compress.core.family import FloatPart, KeptWider, Mixed

    assert 'id="precision"' not in render(family)
    mixed = Mixed(
        kept=(KeptWider(output_of="block3", layers=("block3", "block4"), accuracy_alone=0.031, distance_alone=0.7),),
        most_loss=0.01,
        int8_loss=0.042,
        loss=0.008,
        images=341,
        sensitivity={"block3": 0.7, "stem": 0.1},
        int8_size_bytes=90_000,
        size_bytes=120_000,
        int8_latency_ms=0.18,
        latency_ms=0.25,
    )
    part = FloatPart(operators=("4:CONV_2D",), reason="the output of block3 is kept in float32: see mixed")
    odd = family.members[2].model_copy(update={"mixed": mixed, "float_parts": (part,), "precision_means": "int8"})
    floating = family.members[1].model_copy(
        update={"precision": "float16", "input_type": "float32", "output_type": "float32"}
    )
    page = render(family.model_copy(update={"members": (family.members[0], floating, odd)}))
    for words in (
        'id="precision"',
        "4:CONV_2D",
        "block3, block4",
        "4.2 points",
        "120 kB instead of 90 kB",
        "float16",
    ):
        assert words in page, words


def test_how_images_were_framed_is_said(family: Family, tmp_path: Path) -> None:
    cropped = page(family, tmp_path).text
    assert "typically 96×96, cropped to the input's shape" in cropped
    assert "A photo is scaled so that it fills that size and cropped to its centre, as when" in cropped
    data = family.dataset.model_copy(update={"framing": "squeeze"})
    squeezed = page(family.model_copy(update={"dataset": data}), tmp_path).text
    assert "typically 96×96, squeezed into the input's shape" in squeezed
    assert "A photo is squeezed into that size, whatever its shape, as when" in squeezed


def test_there_is_something_to_paste_for_each_kind_of_app(family: Family, tmp_path: Path) -> None:
    seen = page(family, tmp_path)
    best = ways(family.members[0])
    for way in best:
        assert way.command in seen.text
        assert " ".join(way.kind.call.split()) in seen.text  # as code: nothing of it is taken for HTML
    chosen = [a for tag, a in seen.elements if tag == "input"]
    assert len(chosen) == len([a for tag, a in seen.elements if a.get("class") == "panel"]) == len(best)
    assert [a["id"] for a in chosen if "checked" in a] == ["tab-1"]


def test_a_family_without_members_has_a_page(family: Family, tmp_path: Path) -> None:
    text = page(family.model_copy(update={"members": ()}), tmp_path).text
    assert "No model was made." in text
    assert "l2c export" not in text
