"""Data that can't be used, labels files that can't be, and images that are none."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bad_input.keras_files import Payload, bytes_of, part_of

COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200), "green": (30, 200, 30)}


def png(colour: str = "red", number: int = 0, size: tuple[int, int] = (8, 8)) -> bytes:
    """An image of one colour, no two of them quite alike."""
    pixels = np.full((*size, 3), COLOURS[colour], np.uint8)
    pixels[0, 0] = number
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def photos(path: Path, shop: Any) -> None:
    """Two classes that good.keras knows, twelve images each."""
    write(path, {"red": 12, "blue": 12})


def write(path: Path, counts: dict[str, int]) -> None:
    for folder, count in counts.items():
        (path / folder).mkdir(parents=True, exist_ok=True)
        colour = Path(folder).name if Path(folder).name in COLOURS else "red"
        for number in range(count):
            (path / folder / f"{number:02}.png").write_bytes(png(colour, number))


def folders(**counts: int) -> Callable[[Path, Any], object]:
    """A maker of class folders with so many images; `__` for a slash."""

    def make(path: Path, shop: Any) -> None:
        path.mkdir()
        write(path, {name.replace("__", "/"): count for name, count in counts.items()})

    return make


def photos_with(file: str, content: bytes | Callable[[], bytes]) -> Callable[[Path, Any], object]:
    """A maker of the photos, of which three are replaced by that content."""

    def make(path: Path, shop: Any) -> None:
        photos(path, shop)
        for number in range(3):
            (path / file.format(number)).write_bytes(content if isinstance(content, bytes) else content())

    return make


def bomb() -> bytes:
    """A small PNG file that says it has 2.5 thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    content = zlib.compress(bytes(10**6), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def class_inside_class(path: Path, shop: Any) -> None:
    """A link inside the data that leads back to the data: every image would be of two classes."""
    photos(path, shop)
    (path / "all").symlink_to(".")


def unreadable(path: Path, shop: Any) -> None:
    """Class folders, one of which is closed once it was copied (see the test)."""
    photos(path, shop)


def npz(**arrays: Any) -> Callable[[Path, Any], object]:
    """A maker of an .npz file of twenty images with the arrays replaced, or left out where they are None."""

    def make(path: Path, shop: Any) -> None:
        whole = {"x_train": np.full((20, 8, 8, 3), 100, np.uint8), "y_train": np.arange(20) % 2, **arrays}
        with path.open("wb") as file:
            np.savez_compressed(file, **{name: value for name, value in whole.items() if value is not None})

    return make


def declaring(shape: tuple[int, ...], unpacked: int | None = None) -> Callable[[Path, Any], object]:
    """A maker of an .npz file that says its images have that shape, or take so many bytes; none are there."""

    def make(path: Path, shop: Any) -> None:
        header, labels = io.BytesIO(), io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        np.save(labels, np.arange(20) % 2)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x_train.npy", header.getvalue())
            archive.writestr("y_train.npy", labels.getvalue())
            archive.getinfo("x_train.npy").file_size = unpacked or len(header.getvalue())

    return make


def objects(*payloads: Any) -> Any:
    return np.array(payloads, dtype=object)


def misnamed(path: Path, shop: Any) -> None:
    write(path, {"red": 5, "bl\nue": 5})


_FLOATS = np.full((20, 8, 8, 3), 100.0, np.float32)

DATA: dict[str, Callable[[Path, Any], object]] = {
    "photos": photos,
    # Folders.
    "notes.txt": bytes_of(b"no data\n"),
    "photos.zip": bytes_of(b"PK\x03\x04"),
    "empty": lambda path, shop: path.mkdir(),
    "flat": lambda path, shop: (path.mkdir(), (path / "1.png").write_bytes(png())),
    "one_class": folders(red=8),
    "one_image": folders(red=8, blue=1),
    "empty_class": folders(red=8, blue=0),
    "three_classes": folders(red=8, blue=8, green=8),
    "wrapped": folders(archive__red=8, archive__blue=8),
    "no_train": folders(test__red=8, test__blue=8),
    "two_trains": folders(train__red=8, training__red=8, train__blue=8, training__blue=8),
    "stranger": folders(train__red=8, train__blue=8, test__red=8, test__green=8),
    "empty_test": folders(train__red=8, train__blue=8, test__red=0, test__blue=0),
    "class_inside_class": class_inside_class,
    "unreadable": unreadable,
    "misnamed": misnamed,
    "round_trip": lambda path, shop: path.symlink_to(path.name),
    # Images.
    "zero_bytes": photos_with("red/{:02}.png", b""),
    "text_images": photos_with("red/{:02}.png", b"I am no image\n"),
    "cut_images": photos_with("red/{:02}.png", png(size=(64, 64))[:60]),
    "image_bomb": photos_with("red/{:02}.png", bomb),
    "pickled_images": photos_with("red/{:02}.png", bytes.fromhex("80049500")),
    # Arrays.
    "text.npz": bytes_of(b"no arrays\n"),
    "empty.npz": bytes_of(b""),
    "fine.npz": npz(),
    "cut.npz": part_of("fine.npz", 0.5),
    "pickled.npz": npz(x_train=objects(Payload(), Payload())),
    "pickled_labels.npz": npz(y_train=objects(Payload())),
    "pickled_names.npz": npz(class_names=objects(Payload(), Payload())),
    "huge_shape.npz": declaring((10**9, 1000, 1000, 3)),
    "npz_bomb.npz": declaring((1_500_000, 8, 8, 3), 288_000_000),
    "other_keys.npz": npz(x_train=None, images=np.zeros(3)),
    "no_labels.npz": npz(y_train=None),
    "few_labels.npz": npz(y_train=np.arange(19) % 2),
    "negative_labels.npz": npz(y_train=np.arange(20) % 2 - 1),
    "fractional_labels.npz": npz(y_train=np.arange(20) / 2),
    "text_labels.npz": npz(y_train=np.array(["cat", "dog"] * 10)),
    "gap_labels.npz": npz(y_train=np.arange(20) % 2 * 2),
    "huge_labels.npz": npz(y_train=np.arange(20) % 2 * 10**15),
    "one_class.npz": npz(y_train=np.zeros(20, int)),
    "few_names.npz": npz(y_train=np.arange(20) % 3, class_names=np.array(["a", "b"])),
    "same_names.npz": npz(class_names=np.array(["a", "a"])),
    "nan.npz": npz(x_train=np.where(np.arange(8)[:, None] == 3, np.nan, _FLOATS)),
    "normalised.npz": npz(x_train=_FLOATS / 50 - 2.5),
    "four_channels.npz": npz(x_train=np.zeros((20, 8, 8, 4), np.uint8)),
    "channels_first.npz": npz(x_train=np.zeros((20, 3, 8, 8), np.uint8)),
    "no_images.npz": npz(x_train=np.zeros((0, 8, 8, 3), np.uint8), y_train=np.zeros(0, int)),
    # Labels files.
    "empty.txt": bytes_of(b""),
    "binary.txt": bytes_of(bytes(range(128, 256))),
    "twice.txt": bytes_of(b"red\nred\n"),
    "few.txt": bytes_of(b"red\n"),
    "others.txt": bytes_of(b"cat\ndog\n"),
    "many.txt": bytes_of(b"red\nblue\ngreen\n"),
}
