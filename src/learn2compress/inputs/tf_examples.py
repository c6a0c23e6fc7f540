"""One record of a TFRecord file: a `tf.train.Example` with an image and its label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from learn2compress.inputs.wording import listed

IMAGE_KEYS = ("image/encoded", "image", "image_raw", "image/raw", "encoded", "image_bytes", "img", "jpeg", "png")
TEXT_KEYS = ("image/class/text", "label/text", "label_text", "class/text", "class_name", "label_name")
LABEL_KEYS = ("image/class/label", "label", "class", "class/label", "image/label", "category", "target")
_SHAPE_KEYS = (
    ("height", "image/height", "rows"),
    ("width", "image/width", "cols"),
    ("depth", "image/depth", "image/channels", "channels"),
)  # fmt: skip


class RecordError(ValueError):
    """A record that can't be used; the text says why."""


@dataclass(frozen=True)
class Pixels:
    """How the bytes of an image are to be read: encoded (`shape` is None), or raw uint8 of that shape."""

    shape: tuple[int, int, int] | None

    def image(self, content: bytes) -> Image.Image:
        """Raw pixels as an RGB image; only where there is a shape."""
        if self.shape is None:
            raise RecordError("the image is encoded, not raw")
        pixels = np.frombuffer(content, np.uint8).reshape(self.shape)
        return Image.fromarray(pixels[..., 0] if self.shape[2] == 1 else pixels[..., :3]).convert("RGB")


@dataclass(frozen=True)
class Example:
    """What a record holds.

    Attributes:
        content: the image's bytes.
        pixels: how to read them.
        label: class index; None where the record has only a text.
        text: class name; None where the record has only a number.
    """

    content: bytes
    pixels: Pixels
    label: int | None
    text: str | None


def parse(features: Mapping[str, Any]) -> Example:
    """Reads the features of a `tf.train.Example`.

    Raises:
        RecordError: when there is no image, no label, or raw pixels without a shape.
    """
    content = _first(features, IMAGE_KEYS, "bytes_list")
    if not isinstance(content, bytes) or not content:
        raise RecordError(f"it has no image bytes under a known name (it has {listed(sorted(features), 10)})")
    text = _first(features, TEXT_KEYS, "bytes_list")
    label = _first(features, LABEL_KEYS, "int64_list")
    if label is None and text is None:
        text = _first(features, LABEL_KEYS, "bytes_list")
    if label is None and not text:
        raise RecordError(f"it has no label under a known name (it has {listed(sorted(features), 10)})")
    if label is not None and label < 0:
        raise RecordError(f"its label is {label}")
    name = text.decode("utf-8", "replace").strip() if isinstance(text, bytes) else ""
    return Example(content, Pixels(_shape(features, content)), None if label is None else int(label), name or None)


def _first(features: Mapping[str, Any], names: tuple[str, ...], kind: str) -> Any:
    """The single value under the first of the names that has one of this kind."""
    for name in names:
        if name in features:
            values = getattr(features[name], kind).value
            if len(values) == 1:
                return values[0]
    return None


def _shape(features: Mapping[str, Any], content: bytes) -> tuple[int, int, int] | None:
    """The shape of raw pixels; None where the bytes are an encoded image."""
    if _encoded(content):
        return None
    height, width, depth = (_first(features, names, "int64_list") for names in _SHAPE_KEYS)
    if not height or not width:
        raise RecordError(
            "its image is of no known format, and height and width are not there to read it as raw pixels"
        )
    depth = depth or len(content) // (height * width)
    if depth not in (1, 3, 4) or len(content) != height * width * depth:
        raise RecordError(f"its image has {len(content)} bytes, which are no {height} x {width} x {depth} pixels")
    return int(height), int(width), int(depth)


def _encoded(content: bytes) -> bool:
    try:
        with Image.open(BytesIO(content)):
            return True
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no image that can be decoded
        return type(error).__name__.startswith("DecompressionBomb")
