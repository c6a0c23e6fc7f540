"""Framing: how an image of another shape is brought to a model's input."""

from __future__ import annotations

from typing import Literal, get_args

Framing = Literal["crop", "squeeze"]
CROP: Framing = "crop"
SQUEEZE: Framing = "squeeze"
FRAMINGS: tuple[Framing, ...] = get_args(Framing)
# What becomes of a photo, for people.
FRAMED: dict[Framing, str] = {
    CROP: "scaled so that it fills that size and cropped to its centre",
    SQUEEZE: "squeezed into that size, whatever its shape",
}


def as_framing(name: str) -> Framing:
    """The framing of that name.

    Raises:
        ValueError: there is none.
    """
    for framing in FRAMINGS:
        if framing == name:
            return framing
    raise ValueError(f"{name!r} is no framing of images that is known; known are {', '.join(FRAMINGS)}")
