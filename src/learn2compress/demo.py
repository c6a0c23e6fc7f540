"""The embedded example: clothing photos and a classifier trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from learn2compress.core.errors import InputError

BUDGET = "4m"


@dataclass(frozen=True)
class Example:
    """Paths of the example's teacher and photos."""

    teacher: Path
    photos: Path


def find_example() -> Example:
    """The example's files: in the installed package, else in the clone that the package lies in.

    Raises:
        InputError: `demo.missing`.
    """
    here = Path(__file__).resolve()
    for folder in (here.parent / "examples" / "clothing", here.parents[2] / "examples" / "clothing"):
        if (folder / "teacher.keras").is_file():
            return Example(folder / "teacher.keras", folder / "photos")
    raise InputError(
        "demo.missing",
        "The demo's photos and teacher are not part of this installation.",
        "clone the repository and run `make demo` there.",
    )
