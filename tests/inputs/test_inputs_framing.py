"""Teachers that were trained on images brought to their input's shape in another way than ours."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from learn2compress.core.progress import SILENT
from learn2compress.inputs import decode
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.folders import FolderSplit
from learn2compress.inputs.framing import advise_framing
from learn2compress.inputs.teacher import load_teacher


def ends(height, width, n=120, seed=0):
    """Two classes that differ in which end of a wide image is bright, beside a middle of noise."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = random.integers(80, 120, (n, height, width, 3))
    edge = width // 6
    x[y == 0, :, :edge] = 230
    x[y == 1, :, -edge:] = 230
    return x.astype(np.uint8), y


def brighter_end(images):
    """Which quarter of the image is brighter; where neither clearly is, always the first."""
    columns = np.asarray(images, np.float32).mean(axis=(1, 3))
    quarter = columns.shape[1] // 4
    difference = columns[:, -quarter:].mean(axis=1) - columns[:, :quarter].mean(axis=1)
    return np.stack([np.full(len(difference), 20.0), difference], axis=1)


@pytest.fixture
def told(events):
    return lambda kind: [event.message for event in events if event.kind == kind and "cropped" in event.message]


def test_a_teacher_that_needs_the_whole_image_squeezed_is_recognised_and_what_to_do_is_told(told, progress):
    data = load_dataset(ends(16, 48))
    teacher = load_teacher(brighter_end, dataset=data, input_size=(16, 16), progress=progress)
    (warning,) = told("warning")
    assert "100.0% squeezed" in warning
    assert "--framing squeeze" in warning
    assert warning in teacher.findings
    # Nothing else is done: teacher, students and app keep getting what is measured.
    assert (teacher.predict(data.test.batch(np.arange(4), (16, 16))).argmax(1) == 0).all()


def test_with_the_framing_that_was_advised_the_teacher_is_right_and_nothing_is_warned_of(told, progress):
    data = load_dataset(ends(16, 48), framing="squeeze")
    teacher = load_teacher(brighter_end, dataset=data, input_size=(16, 16), progress=progress)
    assert not told("warning")
    (note,) = told("note")
    assert note.index("squeezed") < note.index("cropped")
    for split in (data.train, data.validation, data.test):
        said = teacher.predict(split.batch(np.arange(len(split)), (16, 16))).argmax(1)
        assert (said == split.labels).all()


def test_a_teacher_that_needs_images_cropped_is_recognised_where_they_are_squeezed(told, progress):
    def fine(images):
        """Whether there are stripes of four pixels: squeezed, nothing is left of them."""
        differences = np.abs(np.diff(np.asarray(images, np.float32), axis=2)).mean(axis=(1, 2, 3))
        return np.stack([np.full(len(differences), 20.0), differences], axis=1)

    x, y = np.full((120, 16, 48, 3), 100, np.uint8), np.arange(120) % 2
    x[:, :, ::4], x[:, :, 1::4] = 180, 180
    x[y == 0] = 140
    data = load_dataset((x + np.random.default_rng(0).integers(0, 8, x.shape, np.uint8), y), framing="squeeze")
    load_teacher(fine, dataset=data, input_size=(16, 16), progress=progress)
    (warning,) = told("warning")
    assert "--framing crop " in warning


def test_nothing_is_said_of_images_that_have_the_input_s_size(told, progress):
    load_teacher(brighter_end, dataset=load_dataset(ends(16, 16)), progress=progress)
    assert not told("warning")
    assert not told("note")


def test_a_framing_that_is_no_better_is_no_warning(told, progress):
    def brightness(images):
        mean = np.asarray(images, np.float32).mean(axis=(1, 2, 3))
        return np.stack([np.full(len(mean), 127.0), mean], axis=1)

    x, y = ends(16, 48)
    x[y == 0] //= 3
    x[y == 1] |= 128
    load_teacher(brightness, dataset=load_dataset((x, y)), input_size=(16, 16), progress=progress)
    assert not told("warning")
    assert len(told("note")) == 1


def test_what_shape_photos_have_is_told_without_decoding_any_whole(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, seen upright
    Image.new("RGB", (4000, 3000), (90, 120, 60)).save(tmp_path / "photo.jpg", exif=exif)
    photos = FolderSplit(tmp_path, [decode.inspect(tmp_path / "photo.jpg")] * 8, np.arange(8) % 2)
    sides, as_it_is = [], decode.decode

    def counted(source, at_least=None):
        sides.append(at_least)
        return as_it_is(source, at_least)

    monkeypatch.setattr(decode, "decode", counted)

    def advised(size):
        return advise_framing(lambda images: np.zeros(len(images), np.int64), photos, size, "it", SILENT)

    assert advised((4000, 3000)) == {}
    assert sides == []
    # Seen upright they have this input's shape: to squeeze them would be the same.
    assert set(advised((64, 48))) == {"crop", "closer"}
    assert len(sides) == 2 * len(photos)
    assert None not in sides
