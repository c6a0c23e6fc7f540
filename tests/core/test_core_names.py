"""Names that come back from a file as they went in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.names import composed, printable


@given(st.text(st.characters(codec="utf-8")))  # Without a codec it draws lone surrogates, which no file holds.
def test_text_that_can_be_written_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
    assert composed(composed(text)) == composed(text)


@given(st.text(st.characters(categories=("Cs", "Lu", "So"))))
def test_what_can_not_be_written_is_replaced(text: str) -> None:
    shown = printable(text)
    assert shown.encode("utf-8").decode("utf-8") == shown


def test_bytes_of_a_file_name_that_are_no_utf_8_are_replaced() -> None:
    assert printable("k\udce4se") == "k\ufffdse"
    assert printable("\ud800x") == "\ufffdx"
