"""A member's card says what is known of it, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from learn2compress.cli import main
from learn2compress.core.family import Delegation, Family
from learn2compress.report.card import card, write_cards
from learn2compress.report.headline import sampling_error


def test_each_member_gets_a_card_beside_its_file(family: Family, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    paths = write_cards(family, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "models/large.md",
        "models/medium.md",
        "models/small.md",
    ]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["large.md", "medium.md", "small.md"]
    assert paths[0].read_text() == card(family, family.members[0])


def test_the_card_has_what_was_measured_on_the_file(family: Family) -> None:
    member = family.members[1]
    text = card(family, member)
    assert "3,068 images" in text
    assert "**87.6 %** of 372" in text
    assert "The teacher: 92.5 %" in text
    assert "| shirt | " in text
    assert text.count("| --- |") == 1
    assert "318 kB" in text
    assert "AMD EPYC 9B14" in text
    assert "0.418 ms" in text
    assert "96 x 96" in text
    for name in family.dataset.class_names:
        assert name in text


def test_a_file_that_gives_logits_is_not_said_to_give_probabilities(family: Family) -> None:
    member = family.members[0]
    said = card(family, member)
    assert "One probability for each class." in said
    assert "how pixels and probabilities are stored" in said
    assert "logit" not in said
    said = card(family, member.model_copy(update={"output": "logits"}))
    assert "One logit for each class, of which softmax makes a probability." in said
    assert "how pixels and logits are stored" in said
    assert "A probability is what softmax makes of the logits" in said
    assert "One probability" not in said


def test_the_weakest_classes_are_named(family: Family) -> None:
    member = family.members[0]
    (line,) = [line for line in card(family, member).splitlines() if "weakest classes" in line]
    ordered = sorted(zip(member.accuracy.per_class_test, family.dataset.class_names, strict=True))
    for _, name in ordered[:3]:
        assert name in line
    assert ordered[-1][1] not in line


def test_licences_stand_as_they_were_given_and_not_given_otherwise(family: Family) -> None:
    assert card(family, family.members[0]).count("not given") == 2
    stated = family.model_copy(update={"teacher_licence": "Apache-2.0", "data_licence": "CC-BY 4.0"})
    text = card(stated, stated.members[0])
    assert "of the teacher: Apache-2.0" in text
    assert "of the data: CC-BY 4.0" in text
    assert "not given" not in text


def test_what_was_not_measured_is_left_out(bare_family: Family) -> None:
    text = card(bare_family, bare_family.members[0])
    assert " ms for an image" not in text
    assert "| class |" not in text
    assert "weakest" not in text
    assert "None" not in text


def test_a_class_without_test_images_is_said_to_be_unknown(family: Family) -> None:
    member = family.members[0]
    per_class = (None, *member.accuracy.per_class_test[1:])
    untested = member.model_copy(
        update={"accuracy": member.accuracy.model_copy(update={"per_class_test": per_class})}
    )
    text = card(family, untested)
    assert "No test image shows dress" in text
    assert "| dress | – |" in text


def test_names_are_text_and_no_markup(family: Family) -> None:
    names = ("a|b", "<script>", "*c*", "[d](e)", *family.dataset.class_names[4:])
    awkward = family.model_copy(update={"dataset": family.dataset.model_copy(update={"class_names": names})})
    text = card(awkward, awkward.members[0])
    assert "a\\|b" in text
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\\*c\\*" in text
    assert "[d](e)" not in text


def test_the_card_says_how_much_of_the_file_the_fast_kernels_run(family: Family) -> None:
    assert "XNNPACK" not in card(family, family.members[0])
    taken = Delegation(operators=69, delegated=66, pieces=1, outside=("GELU",) * 3)
    member = family.members[0].model_copy(update={"xnnpack": taken})
    assert "runs 66 of 69 operators, 1 piece, there" in card(family, member)


@pytest.mark.parametrize(
    ("fraction", "examples", "expected"), [(1.0, 60, 0.0602), (0.0, 60, 0.0602), (0.9, 10_000, 0.006), (0.5, 0, 1.0)]
)
def test_no_accuracy_is_certain(fraction: float, examples: int, expected: float) -> None:
    """Of 60 right of 60, Wilson's interval begins at 94.0 %."""
    assert sampling_error(fraction, examples) == pytest.approx(expected, abs=3e-4)


def test_the_card_of_a_collapsed_member_says_so_first_among_its_limits(family: Family) -> None:
    member = family.members[-1]
    said = "small has collapsed: it is right on 40.0% of the validation images. No member holds."
    text = card(family, member.model_copy(update={"collapsed": said}))
    _, limits = text.split("## Limits\n\n")
    assert limits.startswith(f"- {said}\n")
    assert "has collapsed" not in card(family, member)


def test_the_card_says_how_photos_are_framed(family: Family) -> None:
    member = family.members[0]
    assert "scaled so that it fills that size and cropped to its centre" in card(family, member)
    data = family.dataset.model_copy(update={"framing": "squeeze"})
    said = card(family.model_copy(update={"dataset": data}), member)
    assert "96 x 96 pixels (width x height), squeezed into that size, whatever its shape" in said
    assert "cropped" not in said


FULL = Path("/dev/full")  # a device that is as a full disk is


@pytest.mark.skipif(not FULL.exists(), reason=f"no {FULL}")
@pytest.mark.parametrize("file", ["report.html", "models/medium.md"])
def test_a_full_disk_ends_a_report_in_words_and_leaves_no_part_of_a_file(
    family: Family, tmp_path: Path, file: str
) -> None:
    family.write(tmp_path)
    part = tmp_path / f"{file}.part"
    part.parent.mkdir(exist_ok=True)
    part.symlink_to(FULL)
    found = CliRunner().invoke(main, ["report", str(tmp_path), "--json"])
    assert found.exit_code == 2, found.exception
    assert json.loads(found.stdout)["error"]["code"] == "disk.full"
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / file).exists()
    assert CliRunner().invoke(main, ["report", str(tmp_path)]).exit_code == 0
    assert (tmp_path / file).stat().st_size > 1000
