"""Writing what a run hands over: the members' files, verified, and the teacher's baselines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from learn2compress.core.dataset import Images
from learn2compress.core.errors import ConversionError
from learn2compress.core.precision import FULL_INT8, FileFormat
from learn2compress.core.whole_files import write_whole
from learn2compress.export.convert import to_float32, to_int8, to_post_training_int8, to_unrounded
from learn2compress.export.schema.packing import unpack

FLOAT32 = FileFormat("float32", input_type="float32", output_type="float32")


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


def _unchanged(model: bytes, written: FileFormat) -> bytes:
    return model


def _raised(error: ConversionError) -> None:
    raise error


def _refuse_loops(float32: bytes) -> None:
    # Each body of a loop is a graph of its own; TensorFlow's calibrator takes the whole process down on them.
    if len(unpack(float32).subgraphs) > 1:
        raise ConversionError(
            "export.failed", "It has loops or branches, as recurrent layers do, which can't be calibrated."
        )


def write_baselines(
    pixels_to_probabilities: Callable[[Any], Any],
    size: tuple[int, int],
    samples: Images,
    folder: Path,
    *,
    add_metadata: Callable[[bytes, FileFormat], bytes] = _unchanged,
    refused: Callable[[ConversionError], None] = _raised,
) -> tuple[Path, ...]:
    """Writes the teacher as float32 and as post-training int8, both taking pixels 0..255.

    Args:
        pixels_to_probabilities: the teacher, as a function of tensors.
        size: (height, width) of its input.
        samples: uint8 (n, height, width, 3), what int8 is calibrated on.
        folder: to write into.
        add_metadata: puts the metadata into a file's bytes; gets how it is written too.
        refused: gets the error where the teacher can't be written as int8.

    Returns:
        The paths, float32 first, and that one alone where int8 was refused.

    Raises:
        ConversionError: the teacher can't be written as float32 either; no file is left then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    float32, int8 = folder / "teacher-float32.tflite", folder / "teacher-int8.tflite"
    for path in (float32, int8):
        path.unlink(missing_ok=True)  # of an attempt that was interrupted
    content = to_float32(pixels_to_probabilities, size)
    write_whole(float32, add_metadata(content, FLOAT32))
    try:
        _refuse_loops(content)
        write_whole(int8, add_metadata(to_post_training_int8(pixels_to_probabilities, size, samples), FULL_INT8))
    except ConversionError as error:
        refused(error)
        return (float32,)
    return float32, int8
