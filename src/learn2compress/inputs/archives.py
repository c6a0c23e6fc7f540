"""What an archive says of itself, looked at before anything in it is unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath

EXPANSION_LIMIT = 100  # weights and photos hardly compress; what unpacks to far more than its size is a bomb
EXPANSION_FREE_BYTES = 256 * 10**6


def unpacked_bytes(entries: Sequence[zipfile.ZipInfo]) -> int:
    """What the members take when they are unpacked, as the archive declares it."""
    return sum(entry.file_size for entry in entries)


def is_bomb(packed: int, unpacked: int) -> bool:
    """Whether so many bytes unpack to more than such files ever do."""
    return unpacked > max(EXPANSION_LIMIT * packed, EXPANSION_FREE_BYTES)


def escaping(entries: Sequence[zipfile.ZipInfo]) -> list[str]:
    """The members that would be unpacked outside of the folder that they are unpacked to."""
    return [entry.filename for entry in entries if _escapes(entry.orig_filename) or _escapes(entry.filename)]


def _escapes(name: str) -> bool:
    # A name may be meant for either system: a backslash separates on one of them.
    windows = PureWindowsPath(name)
    return bool(PurePosixPath(name).is_absolute() or windows.anchor or ".." in windows.parts)
