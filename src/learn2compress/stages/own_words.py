"""What a teacher that is a `.tflite` file says of itself: the names of its outputs, and the pixels that it wants."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from learn2compress.core.errors import ConversionError, InputError
from learn2compress.core.paths import at_home
from learn2compress.export.metadata import Metadata, read_metadata
from learn2compress.inputs.archives import is_bomb, unpacked_bytes
from learn2compress.inputs.model_files.black_box import OwnWords
from learn2compress.inputs.model_files.kinds import kind_of
from learn2compress.inputs.preprocessing import RAW, Preprocessing, parse_preprocess


def own_words(model: Any) -> OwnWords:
    """What the file's metadata say; nothing of any other model, and of a file whose metadata can't be read.

    Args:
        model: as it was given: a path, a live model, a callable.
    """
    if not isinstance(model, str | Path):
        return OwnWords()
    path = at_home(model)
    try:
        if kind_of(path) != "tflite" or _unpacks_to_too_much(path):
            return OwnWords()
        metadata = read_metadata(path)
        return OwnWords() if metadata is None else OwnWords(metadata.labels, _preprocessing(metadata))
    except (ConversionError, InputError):
        # What is wrong with the model itself is said by who loads it; what it computes needs no metadata.
        return OwnWords()


def _unpacks_to_too_much(path: Path) -> bool:
    """Whether the lists of names behind the model are a bomb."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return is_bomb(path.stat().st_size, unpacked_bytes(archive.infolist()))
    except zipfile.BadZipFile:
        return True


def _preprocessing(metadata: Metadata) -> Preprocessing | None:
    """Mean and deviation of a pixel 0..255, by the channel; None where they are not given.

    Raises:
        InputError: `preprocess.unknown` where they are no such numbers.
    """
    if not metadata.input_std:
        return None
    means, stds = ([*values, *values, *values][:3] for values in (metadata.input_mean, metadata.input_std))
    if (*means, *stds) == (0, 0, 0, 1, 1, 1):
        return RAW
    return parse_preprocess(",".join(f"{value:g}" for value in (*means, *stds)))
