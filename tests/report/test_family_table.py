from __future__ import annotations

import pytest
from rich.console import Console

from learn2compress.core.family import Family
from learn2compress.report.tables.family import family_table


def shown(family: Family, width: int) -> str:
    console = Console(width=width, record=True, color_system=None, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(family_table(family, width))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 100, 140])
def test_table_fits_the_terminal_and_cuts_no_figure(family: Family, width: int) -> None:
    text = shown(family, width)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    assert "…" not in text
    for figure in (
        "13.6 MB",
        "94.8 kB",
        "81.5 kB",
        "2.6 M",
        "92.5 %",
        "81.7 %",
        "10.7",
        "0.181",
        "143×",
        "38×",
    ):
        assert figure in text


def test_narrow_table_leaves_out_memory_and_wide_table_has_it(family: Family) -> None:
    assert "31.2 MB" in shown(family, 100)
    assert "31.2 MB" not in shown(family, 80)


def test_order_is_teacher_baselines_then_members_by_size(family: Family) -> None:
    text = shown(family, 100)
    places = [text.index(f" {name} ") for name in ("teacher", "teacher-int8", "large", "medium", "small")]
    assert places == sorted(places)


def test_a_baseline_that_is_the_teachers_own_file_is_not_listed_twice(family: Family) -> None:
    assert "teacher-float32" not in shown(family, 100)


def test_caption_says_where_and_on_what_the_figures_were_taken(family: Family) -> None:
    words = " ".join(shown(family, 100).split())
    assert "Accuracy is that of the .tflite file on 372 test examples" in words
    assert "1 thread, files interleaved, on AMD EPYC 9B14, 2 cores" in words


def test_what_was_not_measured_is_a_dash(bare_family: Family) -> None:
    teacher = next(line for line in shown(bare_family, 100).splitlines() if line.startswith(" teacher "))
    assert teacher.split()[1:] == ["–", "–", "92.5", "%", "–", "–", "–", "–"]


def test_markup_in_a_name_is_shown_as_it_is(family: Family) -> None:
    odd = family.members[0].model_copy(update={"name": "[red]x[/red]"})
    assert "[red]x[/red]" in shown(family.model_copy(update={"members": (odd,)}), 100)
