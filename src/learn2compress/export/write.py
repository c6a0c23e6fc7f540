"""Writing what a run hands over: the members' files, verified, and the teacher's baselines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from learn2compress.core.dataset import Images
from learn2compress.core.precision import FULL_INT8, FileFormat
from learn2compress.export.convert import to_float32, to_int8, to_post_training_int8, to_unrounded


def write_member(
    model: keras.Model,
    trained: keras.Model | None,
    folder: Path,
    name: str,
    size: tuple[int, int],
    add_metadata: Callable[[bytes], bytes],
    *,
    written: FileFormat = FULL_INT8,
    samples: Images | None = None,
) -> Path:
    """Writes `NAME.tflite` and `NAME.keras` into `folder`; returns the former's path.

    Args:
        model: ends in what the file gives; fake-quantized where its precision is one that is trained for.
        trained: the trained Keras model that is kept, pixels 0..255 to probabilities; None for a rehearsal.
        size: (height, width) of the input.
        add_metadata: puts the metadata into the file's bytes.
        written: how the file is written.
        samples: uint8 (n, height, width, 3) for calibration, where the precision needs it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.tflite"
    rounded = written.kind.rounded_in_training
    content = to_int8(model, size, written) if rounded else to_unrounded(model, size, written, samples)
    path.write_bytes(add_metadata(content))
    if trained is not None:
        trained.save(folder / f"{name}.keras")
    return path


def write_baselines(
    pixels_to_probabilities: Callable[[Any], Any], size: tuple[int, int], samples: Images, folder: Path
) -> tuple[Path, Path]:
    """Writes the teacher as float32 and as post-training int8, both taking pixels 0..255; returns the paths.

    Raises:
        ConversionError: the converter refuses the teacher.
    """
    folder.mkdir(parents=True, exist_ok=True)
    float32 = folder / "teacher-float32.tflite"
    float32.write_bytes(to_float32(pixels_to_probabilities, size))
    int8 = folder / "teacher-int8.tflite"
    int8.write_bytes(to_post_training_int8(pixels_to_probabilities, size, samples))
    return float32, int8
