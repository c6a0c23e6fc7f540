from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.decode import decode, inspect
from learn2compress.inputs.geometry import fitted

RED = (200, 30, 40)


def solid(mode, color, size=(20, 10)):
    return Image.new(mode, size, color)


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (solid("RGB", RED), "a.png", RED),
        (solid("L", 77), "grey.png", (77, 77, 77)),
        (solid("LA", (77, 0)), "grey_alpha.png", (77, 77, 77)),
        (solid("RGBA", (*RED, 10)), "alpha.png", RED),
        (solid("1", 1), "bits.png", (255, 255, 255)),
        (Image.fromarray(np.full((10, 20), 0x8080, np.uint16)), "deep.png", (128, 128, 128)),
        (solid("RGB", RED).quantize(4), "palette.gif", RED),
        (solid("CMYK", (0, 255, 255, 0)), "cmyk.jpg", (255, 0, 0)),
        (solid("RGB", RED), "b.bmp", RED),
        (solid("RGB", RED), "b.webp", RED),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_of_picture_becomes_rgb(tmp_path, image, name, expected):
    image.save(tmp_path / name)
    pixels = np.asarray(decode(tmp_path / name))
    assert pixels.shape == (10, 20, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels[5, 10].astype(int) - expected).max() <= 6


def test_a_palette_with_transparency_becomes_rgb_without_a_warning(tmp_path, recwarn):
    solid("RGB", RED).quantize(4).save(tmp_path / "p.png", transparency=b"\x00\x80\xff\x00")
    assert decode(tmp_path / "p.png").getpixel((3, 3)) == RED
    assert not recwarn.list


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    upright = Image.new("RGB", (32, 16))
    upright.paste((255, 0, 0), (0, 0, 16, 8))  # top left corner red
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "x.jpg", exif=exif, quality=95)
    found = inspect(tmp_path / "x.jpg")
    image = decode(tmp_path / "x.jpg")
    assert (found.facts.width, found.facts.height) == image.size == (32, 16)
    assert image.getpixel((4, 2))[0] > 200
    assert max(image.getpixel((28, 13))) < 60


def test_a_truncated_jpeg_is_found(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "jpeg")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:-400])
    with pytest.raises(OSError, match="truncated"):
        inspect(tmp_path / "cut.jpg")


def test_fitting_leaves_the_right_size_alone_and_crops_the_centre():
    pixels = np.random.default_rng(0).integers(0, 256, (10, 21, 3), np.uint8)
    image = Image.fromarray(pixels)
    assert np.array_equal(fitted(image, (10, 21)), pixels)
    assert np.array_equal(fitted(image, (10, 10)), pixels[:, 5:15])


def test_fitting_can_squeeze_the_whole_image_into_another_shape():
    ramp = np.broadcast_to(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], (40, 120, 3))
    squeezed = fitted(Image.fromarray(ramp), (40, 40), "squeeze")
    assert np.abs(squeezed[0, :, 0].astype(int) - (6 * np.arange(40) + 2)).max() <= 2
    cropped = fitted(Image.fromarray(ramp), (40, 40), "crop")
    assert np.array_equal(cropped, ramp[:, 40:80])
    stripes = np.zeros((64, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = fitted(Image.fromarray(stripes), (64, 32), "squeeze")[:, 1:-1]
    assert np.abs(inside.astype(int) - 127).max() <= 3


@pytest.mark.parametrize("source", ["folder", "arrays", "npz", "several sizes"])
def test_all_splits_of_data_are_framed_as_asked_for(make_folder, tmp_path, source):
    random = np.random.default_rng(0)
    arrays = random.integers(0, 256, (40, 10, 30, 3), np.uint8), np.arange(40) % 2
    if source == "npz":
        np.savez(tmp_path / "data.npz", x_train=arrays[0], y_train=arrays[1])
        data = tmp_path / "data.npz"
    elif source == "arrays":
        data = arrays
    else:
        data = make_folder({"cat": 20, "dog": 20}, size=(10, 30))
        if source == "several sizes":
            make_folder({"cat": 5}, size=(30, 40))
    one, other = (load_dataset(data, seed=1, framing=framing) for framing in ("crop", "squeeze"))
    assert (one.framing, other.framing) == ("crop", "squeeze")
    for part in ("train", "validation", "test"):
        cropped, squeezed = getattr(one, part), getattr(other, part)
        assert cropped.fingerprint == squeezed.fingerprint
        indices = np.arange(len(squeezed))
        expected = [fitted(Image.fromarray(squeezed.image(i)), (8, 8), "squeeze") for i in indices]
        # As a JPEG, it would be decoded at a part of its size; these are lossless.
        assert np.array_equal(squeezed.batch(indices, (8, 8)), np.stack(expected))
        assert not np.array_equal(squeezed.batch(indices, (8, 8)), cropped.batch(indices, (8, 8)))
        for derived in (squeezed.subset(indices[:2]), squeezed.with_labels(squeezed.labels)):
            assert np.array_equal(derived.batch(indices[:2], (8, 8)), np.stack(expected[:2]))


def test_fitting_resizes_the_short_side_without_aliasing():
    stripes = np.zeros((64, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    small = fitted(Image.fromarray(stripes), (8, 8))
    assert small.shape == (8, 8, 3)
    assert np.abs(small.astype(int) - 127).max() <= 3


def test_a_folder_gives_the_pixels_that_an_array_gives(make_folder):
    dataset = load_dataset(make_folder({"cat": 12, "dog": 12}), seed=1)
    train = dataset.train
    assert dataset.image_size == (16, 12)
    indices = np.array([3, 0, 7])
    before = [train.batch(indices, size) for size in ((16, 12), (8, 8))]
    in_memory = ArraySplit(train.stacked, train.labels)
    after = [train.batch(indices, size) for size in ((16, 12), (8, 8))]
    for first, second, size in zip(before, after, ((16, 12), (8, 8)), strict=True):
        assert np.array_equal(first, second)
        assert np.array_equal(first, in_memory.batch(indices, size))
    assert np.array_equal(train.image(3), in_memory.image(3))


@pytest.mark.parametrize("turned", [1, 6])
def test_a_photo_of_which_less_is_needed_comes_smaller_but_no_smaller_than_that(tmp_path, turned):
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = turned
    for number in range(24):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (201 + number, 320, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", exif=exif)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    train = load_dataset(tmp_path).train
    photos = [index for index, kind in enumerate(train.kinds) if kind[0] == "JPEG"]
    assert photos
    for index, size in enumerate(train.sizes):
        assert train.image(index).shape[:2] == tuple(size)
        assert train.image(index, 1000).shape[:2] == tuple(size)
        height, width = train.image(index, 50).shape[:2]
        if index in photos:
            assert 50 <= min(height, width) < 100
            assert height / width == pytest.approx(size[0] / size[1], rel=0.02)
        else:
            assert (height, width) == tuple(size)


def test_images_of_several_sizes_are_not_stacked(make_folder):
    root = make_folder({"cat": 10, "dog": 10})
    make_folder({"cat": 3}, size=(30, 40))
    dataset = load_dataset(root)
    assert dataset.train.stacked is None
    assert dataset.train.batch(np.arange(len(dataset.train)), (8, 8)).shape[1:] == (8, 8, 3)


@pytest.mark.parametrize("name", ["a.tif", "a.jpg", "a.png"])
def test_the_size_of_a_turned_picture_is_that_of_the_upright_one(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112] = 6
    solid("RGB", RED, (100, 40)).save(tmp_path / name, exif=exif)
    facts = inspect(tmp_path / name).facts
    assert (facts.width, facts.height) == decode(tmp_path / name).size == (40, 100)


def test_floats_of_0_to_1_are_no_black_picture(tmp_path):
    Image.fromarray(np.linspace(0, 1, 200, dtype=np.float32).reshape(10, 20)).save(tmp_path / "a.tif")
    pixels = np.asarray(decode(tmp_path / "a.tif"))
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert len(np.unique(pixels)) > 150
