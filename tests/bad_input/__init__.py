"""The bad inputs that `tests/test_bad_input.py` names: each is a file or a folder that a function here makes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from bad_input.data import DATA
from bad_input.graph_files import GRAPH_FILES
from bad_input.keras_files import KERAS_FILES
from bad_input.lite_files import LITE_FILES
from bad_input.outs import OUTS
from bad_input.tables import TABLES

# By the name that a command calls it by; each function gets the path to make and the folder of all the others.
MAKERS: dict[str, Callable[[Path, Shop], object]] = {
    **KERAS_FILES,
    **DATA,
    **LITE_FILES,
    **OUTS,
    **GRAPH_FILES,
    **TABLES,
}


class Shop:
    """Makes each input once, and copies it to where a case wants it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def made(self, name: str) -> Path:
        """The path of the input of this name."""
        path = self._folder / name
        if not path.exists() and not path.is_symlink():
            MAKERS[name](path, self)
        return path

    def place(self, name: str, folder: Path) -> None:
        """Puts a copy of the input into the folder."""
        made = self.made(name)
        if made.is_dir() and not made.is_symlink():
            shutil.copytree(made, folder / name, symlinks=True)
        else:
            shutil.copy2(made, folder / name, follow_symlinks=False)
