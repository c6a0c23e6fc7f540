"""Each kind of file is decoded to the pixels that it stands for, all of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize("name", ["rgb.jpg", "rgb.jfif", "rgb.webp", "cmyk.jpg", "grey.jpg"])
def test_lossy_files_give_nearly_their_pixels(tmp_path, name):
    image, expected = Image.fromarray(SMOOTH), SMOOTH
    if name.startswith("cmyk"):
        image = image.convert("CMYK")
    elif name.startswith("grey"):
        image, expected = Image.fromarray(SMOOTH[..., 0]), as_grey(SMOOTH[..., 0])
    image.save(tmp_path / name, quality=98)
    assert np.abs(np.asarray(decode(tmp_path / name)).astype(int) - expected).max() <= 8


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    frames = [Image.new("RGB", (12, 8), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    for name in ("a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert np.abs(np.asarray(decode(tmp_path / name)).astype(int) - (250, 0, 0)).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_every_exif_orientation_gives_the_picture_that_people_see(tmp_path, orientation, name):
    # The stored rows and columns are named by where they are seen: EXIF 2.32, table 6.
    stored = {
        1: SMOOTH, 2: SMOOTH[:, ::-1], 3: SMOOTH[::-1, ::-1], 4: SMOOTH[::-1],
        5: SMOOTH.swapaxes(0, 1), 6: np.rot90(SMOOTH, 1), 7: np.rot90(SMOOTH, 2).swapaxes(0, 1),
        8: np.rot90(SMOOTH, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 98} if name == "a.jpg" else {"lossless": True}
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
