"""Reading one image file: decoded, turned upright, as RGB; and finding out cheaply whether that will work."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # EXIF orientations whose stored width is the height people see


@dataclass(frozen=True)
class ImageFile:
    """An image file that was found decodable.

    Attributes:
        path: where it lies.
        height, width: pixels, after the EXIF orientation is applied.
        size_bytes, mtime_ns: of the file.
    """

    path: Path
    height: int
    width: int
    size_bytes: int
    mtime_ns: int


@contextmanager
def bombs_refused() -> Iterator[None]:
    """Inside, an image of more than `PIL.Image.MAX_IMAGE_PIXELS` raises; Pillow alone would only warn.

    Warning filters belong to the process, so this is entered once around a pool of threads, not in each.
    """
    with warnings.catch_warnings():
        # Damaged EXIF blocks and the like are Pillow's to grumble about, not the user's to read.
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def inspect(path: Path) -> ImageFile:
    """Decodes the whole file as cheaply as its format allows.

    Raises:
        Exception: whatever the decoder raises on a damaged file; it may be anything.
    """
    status = path.stat()
    with Image.open(path) as image:
        width, height = image.size
        if _orientation(image) in _TURNED:
            width, height = height, width
        # A JPEG is read at an eighth of its size: every byte is parsed, so a truncated file shows.
        image.draft(None, (1, 1))
        image.load()
    return ImageFile(path, height, width, status.st_size, status.st_mtime_ns)


def decode(path: Path, at_least: int | None = None) -> Image.Image:
    """The image upright and in RGB; transparency is dropped, as Keras' own loaders do.

    Args:
        path: an image file; of an animation the first picture is taken.
        at_least: the caller needs no more than this many pixels a side: a JPEG may be decoded at a half, a
            quarter or an eighth of its size, which is several times faster. None: at full size.

    Raises:
        Exception: whatever the decoder raises on a damaged file.
    """
    with Image.open(path) as opened:
        if at_least is not None:
            opened.draft(None, (at_least, at_least))
        opened.load()
        image = _upright(opened)
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    image.info.pop("transparency", None)
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """16-bit grey as RGB: Pillow's own conversion would clip at 255 and leave the image white."""
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.max(initial=0) > 255:
        pixels = pixels / 257
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a damaged EXIF block may raise anything, and the pixels are fine without it
        return 1
    return value if isinstance(value, int) else 1


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) in range(2, 9):
        return ImageOps.exif_transpose(image)
    return image.copy()
