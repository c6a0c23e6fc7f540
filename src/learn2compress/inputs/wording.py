"""Small pieces of the sentences that input errors are made of."""

from __future__ import annotations

from collections.abc import Iterable


def shortened(error: BaseException, limit: int = 200) -> str:
    """The first informative line of an exception, at most `limit` characters, with the exception's type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def listed(items: Iterable[object], limit: int = 5) -> str:
    """`a, b, c and 7 more`."""
    texts = [str(item) for item in items]
    more = len(texts) - limit
    shown = ", ".join(texts[:limit])
    return shown if more <= 0 else f"{shown} and {more} more"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 image`, `3 images`, `2 classes` (plural given)."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
