"""How big a file is: on disk, and compressed as it is downloaded."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path


def size_bytes(path: str | Path) -> int:
    """Bytes of the file."""
    return Path(path).stat().st_size


def zipped_bytes(path: str | Path) -> int:
    """Bytes of a ZIP archive that holds only this file, deflated at level 9, as an app store would send it.

    The name inside is fixed, so that two files with the same bytes have the same zipped size.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as pack:
        pack.writestr(zipfile.ZipInfo("model.tflite"), Path(path).read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return archive.getbuffer().nbytes
