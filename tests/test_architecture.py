"""The page on the architecture names every file and folder of the package, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "learn2compress"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def listed() -> list[str]:
    """The paths of the list at the end, in its order; what is in a folder is two spaces further in."""
    folders: list[str] = []
    found = []
    for spaces, name in re.findall(r"(?m)^ {4}( *)([\w/]+(?:\.py)?)(?: |$)", PAGE.partition("## Every file")[2]):
        folders = folders[: len(spaces) // 2]
        found.append("".join(folders) + name)
        folders.append(name)
    return found


def test_every_file_and_folder_is_listed_once_and_nothing_else() -> None:
    there = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    files = {path.as_posix() for path in there if path.suffix == ".py" and path.name != "__init__.py"}
    folders = {f"{folder.as_posix()}/" for path in there for folder in path.parents if folder.name}
    assert sorted(listed()) == sorted(files | folders)


def test_every_path_in_the_text_is_there() -> None:
    for path in re.findall(r"`((?:[a-z]\w*/)*[a-z]\w*(?:\.py|/))`", PAGE.partition("## Every file")[0]):
        assert (PACKAGE / path).exists() or (ROOT / path).exists(), path
