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
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from learn2compress.core.names import printable
from learn2compress.inputs.looks import look_of

_AVIF = ".avif"
# Pillow has what reads AVIF since 11.3, where it was built with it; its wheels are.
_HAS_AVIF = "avif" in features.modules and features.check("avif")
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
    *([_AVIF] if _HAS_AVIF else []),
)
# Photos too, which Pillow alone does not read.
OTHER_PHOTOS = (".heic", ".heif", ".dng", ".cr2", ".nef", ".arw", *([] if _HAS_AVIF else [_AVIF]))
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
        brightest: the largest stored value where grey is stored as whole numbers of more than 8 bits; else None.
    """

    height: int
    width: int
    format: str
    mode: str
    look: bytes
    brightest: int | None = None


class StoredImage(Protocol):
    """An image that lies on disk, was found decodable and is decoded again when it is needed."""

    @property
    def facts(self) -> Facts:
        """What decoding it found out."""

    @property
    def size_bytes(self) -> int:
        """What it takes on disk."""

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
        size_bytes: of the file.
    """

    path: Path
    facts: Facts
    size_bytes: int

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
    return ImageFile(path, facts_of(path), path.stat().st_size)


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
        brightest = int(np.asarray(image).max(initial=0)) if _is_deep_grey(image) else None
        look = look_of(_as_rgb(_upright(image)))
    return Facts(height, width, stored, mode, look.tobytes(), brightest)


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
    if _is_deep_grey(image):
        return _grey(np.asarray(image, dtype=np.float64) / 257)  # 65,535 is white, whatever is in the picture
    if image.mode == "F":
        return _from_floats(image)
    image.info.pop("transparency", None)
    return image if image.mode == "RGB" else image.convert("RGB")


def _is_deep_grey(image: Image.Image) -> bool:
    """Whether it is grey of more than 8 bits: Pillow's own conversion would clip it at 255 and leave it white."""
    return image.mode.startswith("I")


def _from_floats(image: Image.Image) -> Image.Image:
    """Grey floats as RGB: no format says what is white, so that is told by the largest of them."""
    pixels = np.asarray(image, dtype=np.float64)
    brightest = pixels.max(initial=0)
    if brightest <= 1:
        return _grey(pixels * 255)
    return _grey(pixels / 257 if brightest > 255 else pixels)


def _grey(pixels: NDArray[np.float64]) -> Image.Image:
    """Values (height, width) in 0..255 as an RGB image."""
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
