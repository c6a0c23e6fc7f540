"""Each kind of file is decoded to the pixels that it stands for, all of them."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, features

from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.decode import decode, facts_of

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)
GREY = PIXELS[..., 0]
SMOOTH = np.stack(np.meshgrid(np.linspace(20, 230, 64), np.linspace(230, 20, 48)), -1)[..., [0, 1, 0]].astype(
    np.uint8
)


def as_grey(values) -> np.ndarray:
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=-1)


def with_alpha(pixels):
    alpha = np.random.default_rng(1).integers(0, 256, (*pixels.shape[:2], 1), np.uint8)
    return np.concatenate([pixels if pixels.ndim == 3 else pixels[..., None], alpha], axis=-1)


def png16(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel: uint16 (height, width, channels) of grey, grey and alpha, RGB or RGBA."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


PALETTE = Image.fromarray(GREY // 64)
PALETTE.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0, 0, 0, 200], "RGB")
COLOURS = np.array([(10, 20, 30), (200, 0, 0), (0, 200, 0), (0, 0, 200)], np.uint8)[GREY // 64]

EXACT = {
    "rgb.png": (Image.fromarray(PIXELS), {}, PIXELS),
    "grey.png": (Image.fromarray(GREY), {}, as_grey(GREY)),
    "bits.png": (Image.fromarray(GREY > 127), {}, as_grey((GREY > 127) * 255)),
    "rgba.png": (Image.fromarray(with_alpha(PIXELS)), {}, PIXELS),
    "grey_alpha.png": (Image.fromarray(with_alpha(GREY), "LA"), {}, as_grey(GREY)),
    "palette.png": (PALETTE, {}, COLOURS),
    "palette_alpha.png": (PALETTE, {"transparency": 1}, COLOURS),
    "deep.png": (Image.fromarray(GREY.astype(np.uint16) * 257), {}, as_grey(GREY)),
    "rgb.bmp": (Image.fromarray(PIXELS), {}, PIXELS),
    "rgb.tif": (Image.fromarray(PIXELS), {}, PIXELS),
    "packed.tiff": (Image.fromarray(PIXELS), {"compression": "tiff_lzw"}, PIXELS),
    "palette.bmp": (PALETTE, {}, COLOURS),
    "palette.gif": (PALETTE, {}, COLOURS),
    "lossless.webp": (Image.fromarray(PIXELS), {"lossless": True}, PIXELS),
    "lossless_alpha.webp": (Image.fromarray(with_alpha(PIXELS)), {"lossless": True, "exact": True}, PIXELS),
}


@pytest.mark.parametrize("name", EXACT)
def test_lossless_files_give_their_pixels(tmp_path, name):
    image, options, expected = EXACT[name]
    image.save(tmp_path / name, **options)
    assert np.array_equal(np.asarray(decode(tmp_path / name)), expected)


AVIF = ["rgb.avif", "grey.avif"] if features.check("avif") else []


@pytest.mark.parametrize("name", ["rgb.jpg", "rgb.jfif", "rgb.webp", "cmyk.jpg", "grey.jpg", *AVIF])
def test_lossy_files_give_nearly_their_pixels(tmp_path, name):
    image, expected = Image.fromarray(SMOOTH), SMOOTH
    if name.startswith("cmyk"):
        image = image.convert("CMYK")
    elif name.startswith("grey"):
        image, expected = Image.fromarray(SMOOTH[..., 0]), as_grey(SMOOTH[..., 0])
    image.save(tmp_path / name, quality=98)
    assert np.abs(np.asarray(decode(tmp_path / name)).astype(int) - expected).max() <= 8
    assert facts_of(tmp_path / name).height == expected.shape[0]


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    frames = [Image.new("RGB", (12, 8), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    for name in ("a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert np.abs(np.asarray(decode(tmp_path / name)).astype(int) - (250, 0, 0)).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", *(["a.avif"] if AVIF else [])])
def test_every_exif_orientation_gives_the_picture_that_people_see(tmp_path, orientation, name):
    # The stored rows and columns are named by where they are seen: EXIF 2.32, table 6.
    stored = {
        1: SMOOTH, 2: SMOOTH[:, ::-1], 3: SMOOTH[::-1, ::-1], 4: SMOOTH[::-1],
        5: SMOOTH.swapaxes(0, 1), 6: np.rot90(SMOOTH, 1), 7: np.rot90(SMOOTH, 2).swapaxes(0, 1),
        8: np.rot90(SMOOTH, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 98} if name in ("a.jpg", "a.avif") else {"lossless": True}
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif, **options)
    seen = np.asarray(decode(tmp_path / name)).astype(int)
    assert seen.shape == SMOOTH.shape
    assert np.abs(seen - SMOOTH).max() <= 8
    facts = facts_of(tmp_path / name)
    assert (facts.height, facts.width) == SMOOTH.shape[:2]
    assert np.abs(np.frombuffer(facts.look, np.uint8).reshape(9, 9, 3)[0, -1].astype(int) - SMOOTH[2, -4]).max() <= 8


def test_a_folder_of_every_kind_loads_with_what_each_file_is(tmp_path):
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for name, (image, options, _) in EXACT.items():
            image.save(tmp_path / kind / name, **options)
    dataset = load_dataset(tmp_path)
    splits = (dataset.train, dataset.validation, dataset.test)
    assert sum(map(len, splits)) == 2 * len(EXACT)
    modes = {}
    for split in splits:
        for i in range(len(split)):
            name = split.told(i).split("/")[1]
            assert np.array_equal(split.image(i), EXACT[name][2])
            modes[name] = split.kinds[i]
    assert modes["deep.png"] == ("PNG", "I;16")
    assert modes["palette.gif"] == ("GIF", "P")
    assert modes["rgba.png"] == ("PNG", "RGBA")


@pytest.mark.skipif(not AVIF, reason="this Pillow was built without AVIF")
def test_a_folder_of_avif_photos_loads(tmp_path, events, progress):
    for number in range(12):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.roll(SMOOTH, number, axis=0)).save(folder / f"{number}.AVIF")
    dataset = load_dataset(tmp_path, progress=progress)
    assert set(dataset.train.kinds) == {("AVIF", "RGB")}
    assert not [event for event in events if event.kind == "warning"]


WITHOUT_AVIF = """
import sys
from PIL import features
features.check = lambda name: False
from learn2compress.core.progress import Progress
from learn2compress.inputs.dataset import load_dataset
load_dataset(sys.argv[1], progress=Progress(lambda event: print(event.kind, event.message)))
"""


def test_where_pillow_reads_no_avif_its_photos_are_said_to_be_left_out(make_folder):
    root = make_folder({"a": 6, "b": 6})
    for number in range(2):
        (root / "a" / f"{number}.avif").write_bytes(b"x")
    done = subprocess.run([sys.executable, "-c", WITHOUT_AVIF, str(root)], capture_output=True, text=True, check=True)
    assert "warning 2 photos left out: .avif can't be read; convert to JPEG" in done.stdout


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_of_grey_or_colour_become_the_8_they_stand_for(tmp_path, channels):
    pixels = np.random.default_rng(channels).integers(0, 65536, (10, 14, channels)).astype(np.uint16)
    pixels[0, :3, 0] = 0, 32768, 65535
    (tmp_path / "a.png").write_bytes(png16(pixels))
    colours = pixels[..., :3] if channels > 2 else np.repeat(pixels[..., :1], 3, axis=-1)
    found = np.asarray(decode(tmp_path / "a.png")).astype(int)
    assert found.shape == (10, 14, 3)
    assert np.abs(found - colours / 257).max() <= (0.5 if channels == 1 else 1)
    look = np.frombuffer(facts_of(tmp_path / "a.png").look, np.uint8)
    assert abs(look.mean() - found.mean()) < 2


def write_16_bits(folder, scales):
    """Grey images of 16 bits in two classes, whose brightest values are these."""
    for number, most in enumerate(scales):
        pixels = np.random.default_rng(number).integers(0, most + 1, (8, 8, 1)).astype(np.uint16)
        pixels[0, 0] = most
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        (folder / "ab"[number % 2] / f"{number:02}.png").write_bytes(png16(pixels))


def test_a_dark_frame_of_16_bits_stays_dark_beside_the_others_and_is_named(tmp_path, events, progress):
    write_16_bits(tmp_path, [255, 4095, 4096, *[65535] * 9])
    for name, brightest in {"a/00.png": 1, "b/01.png": 16, "a/02.png": 16, "b/03.png": 255}.items():
        assert np.asarray(decode(tmp_path / name)).max() == brightest
    dataset = load_dataset(tmp_path, progress=progress)
    (warning,) = [event.message for event in events if event.kind == "warning"]
    assert "2 of 12 images in 16-bit grey" in warning
    assert "a/00.png (up to 255), b/01.png (up to 4,095)" in warning
    assert "multiply them by 16" in warning
    assert "02.png" not in warning
    assert warning in dataset.notes


def test_dark_images_of_8_bits_are_not_warned_of(tmp_path, events, progress):
    write_16_bits(tmp_path, [65535] * 12)
    for number in range(12):
        Image.new("L", (8, 8), number % 3).save(tmp_path / "ab"[number % 2] / f"grey{number}.png")
    load_dataset(tmp_path, progress=progress)
    assert not [event for event in events if event.kind == "warning"]
