"""Reading one image: decoded, turned upright, as RGB; and finding out cheaply whether that will work."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from learn2compress.core.names import printable
from learn2compress.inputs.looks import look_of

EXTENSIONS = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# Photos too, which Pillow alone does not read.
OTHER_PHOTOS = (".heic", ".heif", ".avif", ".dng", ".cr2", ".nef", ".arw")
_ORIENTATION = 0x0112
_LOOK_PIXELS = 32  # a side; enough to take the look from
_TURNED = (5, 6, 7, 8)  # EXIF orientations whose stored width is the height people see


@dataclass(frozen=True)
class Facts:
    """What decoding an image found out.

    Attributes:
        height, width: pixels, after the EXIF orientation is applied.
        format: as Pillow calls it: `JPEG`, `PNG`, ...
        mode: of the stored pixels, as Pillow calls it: `RGB`, `L` (grey), `P` (palette), `RGBA`, `CMYK`, `I;16`, ...
        look: the thumbnail of `inputs.looks`, 9 x 9 x 3 bytes.
    """

    height: int
    width: int
    format: str
    mode: str
    look: bytes


class StoredImage(Protocol):
    """An image that lies on disk, was found decodable and is decoded again when it is needed."""

    @property
    def facts(self) -> Facts:
        """What decoding it found out."""

    @property
    def size_bytes(self) -> int:
        """What it takes on disk."""

    @property
    def mtime_ns(self) -> int:
        """Modification time of the file that it is in."""

    def told(self, root: Path) -> str:
        """Its name for people, relative to `root` where it lies below it."""

    def content(self) -> bytes:
        """The bytes it is stored as."""

    def decoded(self, at_least: int | None) -> Image.Image:
        """See `decode`."""


@dataclass(frozen=True)
class ImageFile:
    """An image file that was found decodable; satisfies `StoredImage`.

    Attributes:
        path: where it lies.
        facts: what decoding it found out.
        size_bytes, mtime_ns: of the file.
    """

    path: Path
    facts: Facts
    size_bytes: int
    mtime_ns: int

    def told(self, root: Path) -> str:
        """The path, relative to `root` where the file lies below it."""
        return told(self.path, root)

    def content(self) -> bytes:
        """The file's bytes."""
        return self.path.read_bytes()

    def decoded(self, at_least: int | None) -> Image.Image:
        """See `decode`."""
        return decode(self.path, at_least)


def told(path: Path, root: Path) -> str:
    """The path as it is said to people: relative to `root` where it lies below it, with `/`."""
    return printable((path.relative_to(root) if path.is_relative_to(root) else path).as_posix())


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
    return ImageFile(path, facts_of(path), status.st_size, status.st_mtime_ns)


def facts_of(source: Path | BytesIO) -> Facts:
    """Decodes an encoded image as cheaply as its format allows.

    Raises:
        Exception: whatever the decoder raises on damaged bytes; it may be anything.
    """
    with Image.open(source) as image:
        stored, mode = image.format or "", image.mode
        width, height = image.size
        # Pillow has already turned the size of a TIFF.
        if stored != "TIFF" and _orientation(image) in _TURNED:
            width, height = height, width
        # A JPEG is read at an eighth of its size: every byte is parsed, so a truncated file shows.
        image.draft(None, (_LOOK_PIXELS, _LOOK_PIXELS))
        image.load()
        look = look_of(_as_rgb(_upright(image)))
    return Facts(height, width, stored, mode, look.tobytes())


def decode(source: Path | BytesIO, at_least: int | None = None) -> Image.Image:
    """The image upright and in RGB; transparency is dropped, as Keras' own loaders do.

    Args:
        source: an image file, or its bytes; of an animation the first picture is taken.
        at_least: the caller needs no more than this many pixels a side: a JPEG may be decoded at a half, a
            quarter or an eighth of its size, which is several times faster. None: at full size.

    Raises:
        Exception: whatever the decoder raises on a damaged file.
    """
    with Image.open(source) as opened:
        if at_least is not None:
            opened.draft(None, (at_least, at_least))
        opened.load()
        return _as_rgb(_upright(opened))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    image.info.pop("transparency", None)
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """16-bit or float grey as RGB: Pillow's own conversion would clip at 255 and leave the image white."""
    pixels = np.asarray(image, dtype=np.float64)
    if image.mode == "F" and pixels.max(initial=0) <= 1:
        pixels = pixels * 255
    elif pixels.max(initial=0) > 255:
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
