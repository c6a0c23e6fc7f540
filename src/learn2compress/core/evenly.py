"""Numbers that are spread evenly however many of them are taken."""

_GOLDEN_RATIO = (5**0.5 - 1) / 2


def evenly(number: int) -> float:
    """A value in 0..1 for each number; those of 0, 1, 2 ... n - 1 lie evenly, whatever n (Weyl's sequence)."""
    return number * _GOLDEN_RATIO % 1
