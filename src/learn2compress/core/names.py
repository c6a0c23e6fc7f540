"""Names as people write them, such that they come back from a file as they went in."""

from __future__ import annotations

import unicodedata

# Unicode categories that no name may hold: control, surrogate, line separator, paragraph separator.
_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})


def composed(name: str) -> str:
    """The name with its accents written the one way (NFC): macOS writes `Ä` in a file name as `A` and two dots."""
    return unicodedata.normalize("NFC", name)


def printable(text: str) -> str:
    """The text with a question mark in a box for what is none: a file name may hold bytes that are no UTF-8."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_one_line(name: str) -> bool:
    """Whether the name is text, not blank, and without line breaks and control characters."""
    return bool(name.strip()) and not any(unicodedata.category(character) in _BREAKING for character in name)
