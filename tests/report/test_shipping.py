from __future__ import annotations

import shlex

import pytest

from learn2compress.core.family import Family
from learn2compress.report.shipping import fed_and_given, ways


def test_each_kind_of_app_has_the_command_for_the_member(family: Family) -> None:
    assert [way.command for way in ways(family.members[1])] == [
        "l2c export . --member medium --to android",
        "l2c export . --member medium --to ios",
        "l2c export . --member medium --to web",
        "l2c export . --member medium --to python",
        "l2c export . --member medium --to micro",
    ]


def test_a_name_stays_one_word_of_the_command(family: Family) -> None:
    member = family.members[0].model_copy(update={"name": "a b; rm *"})
    for way in ways(member):
        assert shlex.split(way.command)[:5] == ["l2c", "export", ".", "--member", "a b; rm *"]


@pytest.mark.parametrize(
    ("input_type", "output_type", "in_browsers"),
    [("uint8", "uint8", True), ("float32", "uint8", True), ("int8", "float32", False), ("uint8", "int8", False)],
)
def test_browsers_are_left_out_where_an_end_is_int8(
    family: Family, input_type: str, output_type: str, in_browsers: bool
) -> None:
    member = family.members[0].model_copy(update={"input_type": input_type, "output_type": output_type})
    assert ("web" in {way.kind.name for way in ways(member)}) == in_browsers


@pytest.mark.parametrize(
    ("update", "said"),
    [
        (
            {},
            "takes uint8 RGB pixels as they come from a camera, 128×96, without normalisation, and gives the "
            "probability of each class",
        ),
        (
            {"input_type": "int8", "output_type": "int8", "output": "logits"},
            "takes RGB pixels 0..255 less 128, as int8, 128×96, without normalisation, and gives a logit for each "
            "class, of which softmax makes probabilities, as int8",
        ),
        (
            {"input_type": "float32", "output_type": "float32"},
            "takes RGB pixels 0.0 to 255.0 as float32, 128×96, without normalisation, and gives the probability of "
            "each class, as float32",
        ),
    ],
)
def test_what_goes_in_and_what_comes_out_is_said(family: Family, update: dict[str, str], said: str) -> None:
    member = family.members[0].model_copy(update={"input_size": (96, 128), **update})
    assert fed_and_given(member) == said
