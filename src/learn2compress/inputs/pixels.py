"""Arrays of images as users have them, checked and brought to uint8 RGB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Images
from learn2compress.core.errors import InputError

_EXPECTED = "expected are images of shape (examples, height, width, 3) with values 0..255"
_FIX = "give uint8 pixels 0..255 in the order red, green, blue, as they are before any normalisation."
_CHUNK = 4096  # examples converted at a time, so that a large float array is not copied whole


def as_pixels(arrays: Mapping[str, Any]) -> dict[str, Images | list[Images]]:
    """Brings arrays of images to uint8 RGB, all on one scale.

    Args:
        arrays: images by name (the name appears in errors), each (examples, height, width, 3 or 1) or, for
            grey images, (examples, height, width), or a list of images of several sizes; uint8, or numbers
            that clearly are 0..1 or 0..255. The scale is told from all of them together.

    Returns:
        By the same names, arrays (examples, height, width, 3), or lists of (height, width, 3); uint8.

    Raises:
        InputError: `dataset.object_array`, `dataset.not_numeric`, `dataset.image_shape`, `dataset.nan`,
            `dataset.pixel_range`.
    """
    checked = {name: _pieces(name, value) for name, value in arrays.items()}
    scale = pixel_scale(" and ".join(arrays), [piece for pieces in checked.values() for piece in pieces])
    result: dict[str, Images | list[Images]] = {}
    for name, pieces in checked.items():
        converted = [to_rgb(piece, scale) for piece in pieces]
        result[name] = [image[0] for image in converted] if len(converted) > 1 else converted[0]
    return result


def _pieces(name: str, value: Any) -> list[NDArray[Any]]:
    """The value as one array (examples, height, width, channels), or as several of one example each."""
    if isinstance(value, list) and len({np.shape(image) for image in value}) > 1:
        return [image_array(f"An image of {name}", np.asarray(image)[None]) for image in value]
    return [image_array(name, value)]


def image_array(name: str, value: Any) -> NDArray[Any]:
    """Checks the kind and shape of an array of images.

    Returns:
        The same values, shape (examples, height, width, 3 or 1).

    Raises:
        InputError: `dataset.object_array`, `dataset.not_numeric`, `dataset.image_shape`.
    """
    array = _as_array(name, value)
    shape = array.shape
    if array.ndim == 3 and shape[2] not in (1, 3):
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        hint = _FIX
        if array.ndim == 4 and array.shape[1] in (1, 3):
            hint = f"move the channels to the end: {name} = {name}.transpose(0, 2, 3, 1)."
        elif array.ndim == 4 and array.shape[3] == 4:
            hint = f"drop the transparency: {name} = {name}[..., :3]."
        raise InputError("dataset.image_shape", f"{name} has the shape {shape}; {_EXPECTED}.", hint)
    if 0 in array.shape:
        raise InputError("dataset.image_shape", f"{name} holds no images: its shape is {shape}; {_EXPECTED}.", _FIX)
    return array


def _as_array(name: str, value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:  # a list of images of several sizes
        raise InputError(
            "dataset.image_shape",
            f"{name} can't be read as one array: its images differ in size; {_EXPECTED}.",
            "resize them to one size, or give a folder with a folder per class instead.",
        ) from error
    if array.dtype == object:
        raise InputError(
            "dataset.object_array",
            f"{name} holds Python objects, not numbers (often: images of several sizes); {_EXPECTED}.",
            "stack images of one size with np.stack, or give a folder with a folder per class instead.",
        )
    if array.dtype.kind not in "uif":
        raise InputError("dataset.not_numeric", f"{name} holds {array.dtype} values; {_EXPECTED}.", _FIX)
    return array


def pixel_scale(name: str, arrays: Iterable[NDArray[Any]], known: float | None = None) -> float | None:
    """What to multiply values with to get 0..255: 1 or 255; None where all are uint8 and it does not matter.

    Args:
        name: what to call them in errors.
        arrays: numeric arrays, judged together.
        known: the scale that earlier arrays of the same set had; these are then only checked against it.

    Raises:
        InputError: `dataset.nan` or `dataset.pixel_range`.
    """
    judged = [array for array in arrays if array.dtype != np.uint8]
    if not judged:
        return known
    if not all(np.isfinite(array).all() for array in judged if array.dtype.kind == "f"):
        raise InputError(
            "dataset.nan",
            f"{name} holds values that are not numbers (NaN or infinite); {_EXPECTED}.",
            "find out where they come from (np.isnan), and drop or repair those images.",
        )
    low = min(float(array.min()) for array in judged)
    high = max(float(array.max()) for array in judged)
    floats = all(array.dtype.kind == "f" for array in judged)
    # Resampling overshoots by a rounding error. A set whose brightest value is between 1 and 16 is neither.
    if known != 1.0 and floats and low >= -1e-3 and high <= 1 + 1e-3 and (known or high >= 0.1):
        return 255.0
    if known != 255.0 and low >= -0.5 and high <= 255.5 and (known or high >= 16):
        return 1.0
    hint = " (they look normalised already)" if low < -1e-3 else ""
    raise InputError(
        "dataset.pixel_range",
        f"The values of {name} go from {low:.4g} to {high:.4g}{hint}; expected are 0..255, or 0..1 as floats.",
        _FIX,
    )


def to_rgb(array: NDArray[Any], scale: float | None) -> Images:
    """Images (examples, height, width, 3 or 1) as uint8 RGB; grey is repeated, `scale` is `pixel_scale`'s."""
    if array.dtype != np.uint8:
        pixels = np.empty(array.shape, np.uint8)
        for start in range(0, len(array), _CHUNK):
            part = array[start : start + _CHUNK] * np.float32(scale or 1)
            pixels[start : start + _CHUNK] = np.clip(np.rint(part), 0, 255).astype(np.uint8)
        array = pixels
    return np.repeat(array, 3, axis=-1) if array.shape[3] == 1 else np.ascontiguousarray(array)
