"""What was measured of a member stands in its file, which is otherwise the one that was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from learn2compress.core.family import Accuracy, Verification
from learn2compress.core.member import MemberSpec
from learn2compress.export.metadata import FIELD, read_metadata
from learn2compress.export.schema.packing import pack, text, unpack
from learn2compress.manifest import WrittenMember
from learn2compress.tasks import IMAGE_CLASSIFICATION

TINY = Path(__file__).parents[1] / "fixtures" / "tiny_int8.tflite"
COLOURS = ("red", "green", "blue")
TEACHER: Any = SimpleNamespace(name="shapes", licence="MIT")
one_line = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(str.strip)
# The weakest and the strongest of many, which are named, are those whose names take the most bytes.
LONG_AT_BOTH_ENDS = [("é" * (3 if 3 < n < 28 else 60), n / 30) for n in range(1, 31)]
shares = st.one_of(st.none(), st.floats(0, 1))

Exported = Callable[..., WrittenMember]


def accuracy(test: float, per_class: Sequence[float | None], examples: int = 60) -> Accuracy:
    return Accuracy(
        validation=0.5,
        test=test,
        validation_examples=60,
        test_examples=examples,
        per_class_test=tuple(per_class),
    )


@pytest.fixture(scope="session")
def data(bright: Callable[[int], Any]) -> Callable[..., Any]:
    dataset = bright(8)
    return lambda names: replace(dataset, class_names=tuple(names), licence="CC0")


def exported(dataset: Any, folder: Path, name: str = "small") -> WrittenMember:
    """A member's file as export leaves it, with an output for each class."""
    from learn2compress.stages.metadata import metadata

    spec = MemberSpec(name, "fresh", 1.0, (10, 12))
    root = unpack(TINY.read_bytes())
    graph = root.subgraphs[0]
    graph.tensors[graph.outputs[0]].shape = [1, dataset.classes]
    path = folder / f"{name}.tflite"
    path.write_bytes(metadata(IMAGE_CLASSIFICATION, spec, TEACHER, dataset)(pack(root)))
    agreed = Verification(images=60, top1_agreement=1.0, max_probability_difference=0.0)
    return WrittenMember(spec, path, 0.9, 0.9, agreed, 0.0)


def write_measured(dataset: Any, members: Sequence[WrittenMember], accuracies: Sequence[Accuracy]) -> None:
    from learn2compress.stages.metadata import write_measured

    write_measured(IMAGE_CLASSIFICATION, TEACHER, dataset, members, accuracies)


def description(member: WrittenMember) -> str:
    found = read_metadata(member.path)
    assert found is not None
    return found.description


def test_a_file_says_how_right_it_is_and_how_large(data: Callable[..., Any], tmp_path: Path) -> None:
    dataset = data(COLOURS)
    member = exported(dataset, tmp_path)
    assert "Not measured yet." in description(member)
    write_measured(dataset, [member], [accuracy(0.7123, (0.65, 1.0, None), examples=1234)])
    said = description(member)
    assert "Right on 71.2 % of 1,234 test images that no training saw (red 65.0 %, green 100.0 %, blue –)." in said
    assert f"{member.path.stat().st_size:,} bytes, " in said
    assert "multiply-accumulates for an image" in said
    assert "also where a photo shows none of them" in said
    assert said.endswith("More: small.md.")
    assert "Not measured" not in said


def test_of_many_classes_the_weakest_and_the_strongest_are_named(data: Callable[..., Any], tmp_path: Path) -> None:
    names = [f"class {n}" for n in range(40)]
    dataset = data(names)
    member = exported(dataset, tmp_path)
    per_class = [None, *(n / 100 for n in range(50, 89))]
    write_measured(dataset, [member], [accuracy(0.7, per_class)])
    weakest = "weakest: class 1 50.0 %, class 2 51.0 %, class 3 52.0 %"
    strongest = "strongest: class 39 88.0 %, class 38 87.0 %, class 37 86.0 %"
    assert f"({weakest}; {strongest})" in description(member)
    write_measured(dataset, [member], [accuracy(0.5, [None] * 38 + [0.5, 0.4])])
    assert "(weakest: class 39 40.0 %, class 38 50.0 %)" in description(member)
    write_measured(dataset, [member], [accuracy(0.0, [None] * 40)])
    assert "that no training saw. " in description(member)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    classes=st.lists(st.tuples(one_line, shares), min_size=1, max_size=30),
    test=st.floats(0, 1),
)
@example(classes=LONG_AT_BOTH_ENDS, test=1.0)
@example(classes=[("blue", 1.0)] * 20, test=1.0)
def test_a_file_keeps_its_size_and_all_but_its_description(
    data: Callable[..., Any], tmp_path: Path, classes: list[tuple[str, float | None]], test: float
) -> None:
    names, per_class = zip(*classes, strict=True)
    dataset = data(names)
    member = exported(dataset, tmp_path)
    before, was = member.path.read_bytes(), read_metadata(member.path)
    write_measured(dataset, [member], [accuracy(test, per_class)])
    after, now = member.path.read_bytes(), read_metadata(member.path)
    assert was is not None
    assert now is not None
    assert now != was
    assert replace(now, description=was.description) == was
    start, end = metadata_place(before)
    assert len(after) == len(before)
    assert (after[:start], after[end:]) == (before[:start], before[end:])


def metadata_place(file: bytes) -> tuple[int, int]:
    """Where the metadata lie in the file."""
    root = unpack(file)
    (entry,) = (entry for entry in root.metadata if text(entry.name) == FIELD)
    held = root.buffers[entry.buffer].data.tobytes()
    start = file.index(held)
    return start, start + len(held)


def test_a_run_that_was_killed_between_two_files_ends_with_the_same(data: Callable[..., Any], tmp_path: Path) -> None:
    dataset = data(COLOURS)
    accuracies = [accuracy(0.9, (0.9, 1.0, 0.8)), accuracy(0.8, (0.8, 0.9, 0.7))]
    found = {}
    for course in ("in one go", "killed"):
        folder = tmp_path / course
        folder.mkdir()
        members = [exported(dataset, folder, name) for name in ("large", "small")]
        if course == "killed":
            write_measured(dataset, members[:1], accuracies[:1])
            members[1].path.with_name("small.tflite.part").write_bytes(b"half")
        write_measured(dataset, members, accuracies)
        found[course] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found["killed"] == found["in one go"]
    assert set(found["killed"]) == {"large.tflite", "small.tflite"}


@pytest.mark.parametrize(
    ("framing", "said"),
    [
        ("crop", "of 12x10: a photo scaled so that it fills that size and cropped to its centre."),
        ("squeeze", "of 12x10: a photo squeezed into that size, whatever its shape."),
    ],
)
def test_a_file_says_how_its_photos_were_framed(
    data: Callable[..., Any], tmp_path: Path, framing: str, said: str
) -> None:
    dataset = data(COLOURS)
    framed = {part: getattr(dataset, part).framed(framing) for part in ("train", "validation", "test")}
    found = read_metadata(exported(replace(dataset, **framed), tmp_path).path)
    assert found is not None
    assert found.framing == framing
    assert said in found.description
