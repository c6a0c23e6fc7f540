"""`family.json` is read back as it was written, and picks the right member."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.errors import InputError
from learn2compress.core.family import MANIFEST, SCHEMA_VERSION, Family, Member

MakeFamily = Callable[..., Family]
MakeMember = Callable[..., Member]

fractions = st.floats(0, 1)
words = st.text(max_size=20)
sizes = st.integers(0, 10**10)


@given(
    figures=st.lists(st.tuples(sizes, st.none() | st.floats(1e-3, 1e6), fractions), min_size=1, max_size=4),
    names=st.tuples(words, words),
    notes=st.lists(words, max_size=3),
)
def test_a_manifest_is_read_back_as_it_was_written(
    make_family: MakeFamily,
    make_member: MakeMember,
    figures: list[tuple[int, float | None, float]],
    names: tuple[str, str],
    notes: list[str],
) -> None:
    members = [make_member(f"member-{i}", *figure) for i, figure in enumerate(figures)]
    with tempfile.TemporaryDirectory() as folder:
        family = make_family(members, command=names[0], notes=tuple(notes), folder=Path(folder))
        family.write(Path(folder))
        assert Family.load(folder) == family
        assert [path.name for path in Path(folder).iterdir()] == [MANIFEST]


def test_the_manifest_does_not_say_where_it_lies(make_family: MakeFamily, tmp_path: Path) -> None:
    make_family(folder=tmp_path).write(tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["schema_version"] == SCHEMA_VERSION
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / MANIFEST).rename(moved / MANIFEST)
    assert Family.load(moved).best().path == moved / "models/large.tflite"


def test_a_manifest_of_a_newer_version_is_refused(make_family: MakeFamily, tmp_path: Path) -> None:
    path = make_family().write(tmp_path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "schema_version": SCHEMA_VERSION + 1, "unheard of": 1}))
    with pytest.raises(InputError, match="newer") as caught:
        Family.load(tmp_path)
    assert caught.value.code == "family.newer"


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "null", "{}", '{"schema_version": "one"}', '{"schema_version": null}', "\udcff"]
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as caught:
        Family.load(tmp_path)
    assert caught.value.code == "family.unreadable"


@pytest.mark.parametrize("key", ["file", "keras_file"])
@pytest.mark.parametrize("file", ["../x.tflite", "models/../../x", "/etc/x", "C:/x", "models\\..\\..\\x", "", "."])
def test_a_manifest_whose_files_lie_elsewhere_is_refused(
    make_family: MakeFamily, tmp_path: Path, key: str, file: str
) -> None:
    path = make_family().write(tmp_path)
    document = json.loads(path.read_text())
    document["members"][0][key] = file
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"members\.0") as caught:
        Family.load(tmp_path)
    assert caught.value.code == "family.unreadable"


@pytest.mark.parametrize("part", ["teacher", "baselines", "members"])
@pytest.mark.parametrize("shares", [[0.9], [0.9, None, 0.8]])
def test_a_manifest_whose_classes_are_of_two_numbers_is_refused(
    make_family: MakeFamily, tmp_path: Path, part: str, shares: list[float | None]
) -> None:
    family = make_family()
    path = family.model_copy(update={"baselines": (family.teacher,)}).write(tmp_path)
    document = json.loads(path.read_text())
    model = document[part] if part == "teacher" else document[part][0]
    model["accuracy"]["per_class_test"] = []
    path.write_text(json.dumps(document))
    Family.load(tmp_path)
    model["accuracy"]["per_class_test"] = shares
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=f"{model['name']} has the accuracy of {len(shares)} classes") as caught:
        Family.load(tmp_path)
    assert caught.value.code == "family.unreadable"
    assert ": :" not in caught.value.what


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Family.load(tmp_path)
    assert caught.value.code == "family.missing"


@pytest.mark.parametrize(
    ("bounds", "name"),
    [
        ({}, "large"),
        ({"size_bytes": 300_000}, "large"),
        ({"size_bytes": 100_000}, "small"),
        ({"latency_ms": 0.5}, "tiny"),
        ({"macs": 900_000}, "small"),
        ({"peak_memory_bytes": 60_000}, "tiny"),
        ({"size_bytes": 100_000, "latency_ms": 0.5}, "tiny"),
    ],
)
def test_best_is_the_most_accurate_member_within_all_bounds(
    make_family: MakeFamily, bounds: dict[str, Any], name: str
) -> None:
    choice = make_family().best(**bounds)
    assert choice.member.name == name
    assert choice.path == Path("family/models") / f"{name}.tflite"


def test_best_goes_by_accuracy_not_by_size(make_family: MakeFamily, make_member: MakeMember) -> None:
    members = [make_member("large", 300, 3.0, 0.7), make_member("small", 100, 1.0, 0.8)]
    assert make_family(members).best().member.name == "small"


def test_when_nothing_is_within_the_bounds_the_smallest_is_named(make_family: MakeFamily) -> None:
    with pytest.raises(InputError, match="tiny") as caught:
        make_family().best(size_bytes=1000)
    assert caught.value.code == "family.none_within"


def test_a_member_whose_latency_is_unknown_is_not_within_a_latency(
    make_family: MakeFamily, make_member: MakeMember
) -> None:
    members = [make_member("unknown", 100, None, 0.99), make_member("known", 100, 1.0, 0.5)]
    assert make_family(members).best(latency_ms=2).member.name == "known"


@pytest.mark.parametrize("field", ["size_bytes", "macs", "peak_memory_bytes"])
def test_a_member_whose_cost_is_unknown_is_not_within_a_bound_on_it(
    make_family: MakeFamily, make_member: MakeMember, field: str
) -> None:
    unknown = make_member("unknown", 100, 1.0, 0.99).model_copy(update={field: None})
    bounds: dict[str, Any] = {field: 10_000}
    assert make_family([unknown, make_member("known", 100, 1.0, 0.5)]).best(**bounds).member.name == "known"


def test_a_teacher_without_a_file_has_no_path(make_family: MakeFamily) -> None:
    family = make_family()
    with pytest.raises(InputError) as caught:
        family.path(family.teacher)
    assert caught.value.code == "family.no_file"
