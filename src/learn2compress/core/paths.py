"""Paths as people give them."""

from __future__ import annotations

import re
from pathlib import Path

# `Path` makes one slash of two, and an absolute path puts the working directory before it.
_ADDRESS = re.compile(r"(^|/)(https?|ftps?|s3|gs|hf|file):/", re.IGNORECASE)


def advice(path: str | Path, otherwise: str) -> str:
    """What to do about a path where nothing lies: of an address, to download it; else what is given."""
    if _ADDRESS.search(Path(path).as_posix()):
        return "that is an address: download it first, then give the path of what was downloaded."
    return otherwise


def at_home(path: str | Path) -> Path:
    """The path, with a leading `~` or `~user` as the home folder, where there is one.

    Where there is no such user, the name is taken as it is: Excel's lock files begin so (`~$labels.csv`).
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
