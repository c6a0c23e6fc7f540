"""Class names that come back from a file as they went in: the labels file in a model has one a line."""

from __future__ import annotations

import unicodedata

# Unicode categories that no name may hold: control, surrogate, line separator, paragraph separator.
_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})


def is_one_line(name: str) -> bool:
    """Whether the name is text, not blank, and without line breaks and control characters."""
    return bool(name.strip()) and not any(unicodedata.category(character) in _BREAKING for character in name)
