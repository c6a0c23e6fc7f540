"""Large photos are decoded once, into copies that views are cut from; the copies never change what is learnt."""

from __future__ import annotations

import errno
import os
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from learn2compress.core.cache import LOCK, trim
from learn2compress.core.errors import InputError
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.decode import inspect
from learn2compress.inputs.folders import FolderSplit
from learn2compress.stages.failures import legible_failures
from learn2compress.train import copies as module
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.views import Views, ViewSpec

Teacher = Callable[..., Any]
SPEC = ViewSpec(2, (48, 64), 0, mixed=True)
# (height, width): high, wide and panoramic.
SIZES = [(840, 900), (1100, 720), (700, 1500), (760, 1024), (901, 877), (733, 1999)]
everything = np.arange(len(SIZES))


class Counted(FolderSplit):
    """Tells which images were decoded from their files."""

    def image(self, index: int, at_least: int | None = None) -> Any:
        self.__dict__.setdefault("decoded", []).append(index)
        return super().image(index, at_least)


def picture(height: int, width: int, seed: int = 0) -> Any:
    """Shapes with sharp edges, and noise: what scaling would show in."""
    random = np.random.default_rng(seed)
    shapes = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).resize((width, height), Image.NEAREST)
    noise = random.integers(-12, 13, (height, width, 1), np.int16)
    return np.clip(np.asarray(shapes, np.int16) + noise, 0, 255).astype(np.uint8)


def photos(folder: Path, sizes: Sequence[tuple[int, int]] = SIZES, suffix: str = ".jpg", turned: int = 1) -> Counted:
    folder.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turned
    files = []
    for number, (height, width) in enumerate(sizes):
        path = folder / f"{number}{suffix}"
        Image.fromarray(picture(height, width, number)).save(path, quality=92, exif=exif)
        files.append(inspect(path))
    return Counted(folder, files, np.arange(len(sizes)) % 3)


def made(split: FolderSplit, cache: Path, spec: ViewSpec = SPEC) -> Views:
    views = Views(split, spec, cache)
    assert views.copies is not None
    views.copies.make(SILENT)
    return views


def contents(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.rglob("*.jpg")}


@pytest.mark.parametrize(("suffix", "turned"), [(".jpg", 1), (".jpg", 6), (".jpg", 3), (".png", 1), (".webp", 1)])
@pytest.mark.parametrize("framing", ["crop", "squeeze"])
def test_views_of_copies_are_nearly_those_of_the_photos(
    tmp_path: Path, framing: Any, suffix: str, turned: int
) -> None:
    split = photos(tmp_path / "photos", suffix=suffix, turned=turned)
    whole = ArraySplit([split.image(int(n)) for n in everything], split.labels, framing)
    small = split.framed(framing)
    views = Views(small, SPEC, tmp_path / "cache")
    for view in range(SPEC.count):
        for seed in (None, 1):
            found, expected = (
                of.batch(view, everything, None if seed is None else np.random.default_rng(seed)).astype(float)
                for of in (views, Views(whole, SPEC))
            )
            # Edges are as sharp as can be: what is left of them differs most.
            assert np.abs(found - expected).mean() < 1.5
            assert np.percentile(np.abs(found - expected), 99) < 12
    assert len(contents(tmp_path / "cache")) == len(SIZES)


def test_a_photo_is_decoded_once(tmp_path: Path) -> None:
    split = photos(tmp_path / "photos")
    views = made(split, tmp_path / "cache")
    assert sorted(split.decoded) == list(everything)
    for view in range(SPEC.count):
        views.batch(view, everything, np.random.default_rng(view))
    made(split, tmp_path / "cache")
    assert sorted(split.decoded) == list(everything)


def test_a_copy_is_as_large_as_the_smallest_crop_needs_and_upright(tmp_path: Path) -> None:
    views = made(photos(tmp_path / "photos", [(720, 1440), *SIZES], turned=6), tmp_path)
    with Image.open(views.copies.folder / "0.jpg") as copy:  # type: ignore[union-attr]
        assert copy.mode == "RGB"
        assert not copy.getexif()
        width, height = copy.size
    assert height == pytest.approx(2 * width, abs=2)
    # Of a crop of 35 % of the area, 3 to 4, of a photo that is twice as high as wide.
    crop_width = np.sqrt(0.35 * width * height * 3 / 4)
    assert crop_width / SPEC.size[1] == pytest.approx(module.LEFT, rel=0.02)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "I;16"])
def test_a_copy_is_of_what_is_decoded_of_transparent_grey_and_palette_images(tmp_path: Path, mode: str) -> None:
    pixels = picture(800, 900)
    grey = pixels[:, :, 0]
    images = {
        "RGBA": lambda: Image.fromarray(np.dstack([pixels, grey])),
        "LA": lambda: Image.fromarray(np.dstack([grey, grey]), "LA"),
        "P": lambda: Image.fromarray(pixels).quantize(32),
        "L": lambda: Image.fromarray(grey),
        "I;16": lambda: Image.fromarray(grey.astype(np.uint16) * 257),
    }
    path = tmp_path / "one.png"
    images[mode]().save(path)
    split = FolderSplit(tmp_path, [inspect(path), inspect(path)], np.zeros(2, np.int64))
    split.__dict__["stacked"] = None  # as of images that memory would not hold
    spec = ViewSpec(1, (48, 48), 0)
    found = Views(split, spec, tmp_path / "cache").batch(0, np.arange(2)).astype(float)
    assert np.abs(found - Views(split, spec).batch(0, np.arange(2))).mean() < 1.5
    assert len(contents(tmp_path / "cache")) == 2


def arrays(*sizes: tuple[int, int]) -> ArraySplit:
    images = [picture(height, width, number) for number, (height, width) in enumerate(sizes)]
    return ArraySplit(np.stack(images) if len(set(sizes)) == 1 else images, np.arange(len(sizes)) % 3)


# Images that are not worth a copy, and the size of their views.
KINDS: dict[str, Callable[[Path], tuple[Any, tuple[int, int]]]] = {
    "CIFAR": lambda folder: (arrays(*[(32, 32)] * 6), (32, 32)),
    "arrays of several sizes": lambda folder: (arrays((32, 30), (32, 31), (32, 32)), (24, 24)),
    "photos of the size of the views": lambda folder: (photos(folder, [(224, 224), (224, 225)]), (224, 224)),
    "photos for the web": lambda folder: (photos(folder, [(375, 500), (500, 375), (333, 500)]), (224, 224)),
    "photos for the web, and small views": lambda folder: (photos(folder, [(375, 500), (500, 375)]), (32, 32)),
    "hardly larger than needed": lambda folder: (photos(folder, [(640, 860), (650, 860)]), (224, 224)),
    "so few that memory holds them": lambda folder: (photos(folder, [(900, 900)] * 3), (48, 48)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_small_images_are_what_they_were_and_so_are_their_soft_labels(
    tmp_path: Path, counting_teacher: Teacher, kind: str
) -> None:
    split, size = KINDS[kind](tmp_path / "photos")
    spec, some = ViewSpec(2, size, 0), np.arange(len(split))
    before, now = Views(split, spec), Views(split, spec, tmp_path / "cache")
    assert now.copies is None
    assert now.recipe == before.recipe
    assert "copies" not in now.recipe
    for view in range(2):
        np.testing.assert_array_equal(before.batch(view, some), now.batch(view, some))
    soft_labels(counting_teacher(), before, 3, tmp_path / "labels", SILENT)
    teacher = counting_teacher()
    assert soft_labels(teacher, now, 3, tmp_path / "labels", SILENT)[1] == 0
    assert teacher.images == 0
    assert not (tmp_path / "cache").exists()


def test_only_large_images_have_copies_and_the_recipe_tells_so_whatever_is_on_disk(tmp_path: Path) -> None:
    split = photos(tmp_path / "photos", [(100, 90), *SIZES, (300, 200)])
    views = Views(split, SPEC, tmp_path / "cache")
    assert views.copies is not None
    assert views.copies.count == len(SIZES)
    recipe = views.recipe
    assert recipe != Views(split, SPEC).recipe
    views.copies.make(SILENT)
    assert set(contents(tmp_path / "cache")) == {f"{1 + n}.jpg" for n in everything}
    for cache in ("cache", "another"):
        again = Views(split, SPEC, tmp_path / cache)
        assert again.recipe == recipe
        assert again.copies is not None
        assert again.copies.folder.name == views.copies.folder.name
    np.testing.assert_array_equal(
        Views(split, SPEC, tmp_path / "another").batch(0, everything), views.batch(0, everything)
    )


def test_other_images_and_views_of_another_size_have_copies_of_their_own(tmp_path: Path) -> None:
    split = photos(tmp_path / "photos")
    others = photos(tmp_path / "others", [(height + 1, width) for height, width in SIZES])
    larger = ViewSpec(2, (48, 72), 0)
    folders = [
        Views(of, spec, tmp_path).copies.folder  # type: ignore[union-attr]
        for of, spec in ((split, SPEC), (others, SPEC), (split.framed("squeeze"), SPEC), (split, larger))
    ]
    assert len(set(folders)) == 4
    # Seed and mirroring choose what is cut out, of the same copies.
    for spec in (ViewSpec(5, SPEC.size, 7), ViewSpec(2, SPEC.size, 0, flip=False)):
        assert Views(split, spec, tmp_path).copies.folder == folders[0]  # type: ignore[union-attr]


def test_soft_labels_of_the_photos_are_not_taken_for_those_of_copies(
    tmp_path: Path, counting_teacher: Teacher
) -> None:
    split = photos(tmp_path / "photos")
    soft_labels(counting_teacher(), Views(split, SPEC), 3, tmp_path / "cache", SILENT)
    views = Views(split, SPEC, tmp_path / "cache")
    soft, computed = soft_labels(counting_teacher(), views, 3, tmp_path / "cache", SILENT)
    assert computed == SPEC.count
    expected = counting_teacher().predict(views.batch(0, everything))
    np.testing.assert_allclose(np.exp(soft.batch(0, everything)), expected, atol=2e-3)
    assert soft_labels(counting_teacher(), views, 3, tmp_path / "cache", SILENT)[1] == 0


def gone(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def of_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def no_image(path: Path) -> None:
    path.write_bytes(b"no image" + zlib.crc32(b"no image").to_bytes(4, "little"))


def half_an_image(path: Path) -> None:
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half + zlib.crc32(half).to_bytes(4, "little"))


@pytest.mark.parametrize("damage", [gone, empty, truncated, of_one_bit, no_image, half_an_image])
def test_a_copy_that_is_missing_or_damaged_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    split = photos(tmp_path / "photos")
    views = made(split, tmp_path / "cache")
    whole, kept = views.batch(1, everything), contents(tmp_path / "cache")
    damage(views.copies.folder / "2.jpg")  # type: ignore[union-attr]
    split.decoded.clear()
    np.testing.assert_array_equal(views.batch(1, everything), whole)
    # Who reads it as its own and as what another one is mixed with reads it once.
    assert split.decoded == [2]
    assert contents(tmp_path / "cache") == kept
    # What is not there is made before training begins.
    gone(views.copies.folder / "2.jpg")  # type: ignore[union-attr]
    assert Views(split, SPEC, tmp_path / "cache").copies.make(SILENT) == 1  # type: ignore[union-attr]
    assert contents(tmp_path / "cache") == kept


def test_a_folder_that_was_removed_while_it_is_in_use_is_made_again(tmp_path: Path) -> None:
    views = made(photos(tmp_path / "photos"), tmp_path / "cache")
    whole, kept = views.batch(0, everything), contents(tmp_path / "cache")
    assert views.copies is not None
    assert trim(tmp_path / "cache", most_bytes=0, least_seconds=-1) == [views.copies.folder]
    np.testing.assert_array_equal(views.batch(0, everything), whole)
    assert contents(tmp_path / "cache") == kept
    # Nor is that one there for ever.
    assert trim(tmp_path / "cache", most_bytes=0, least_seconds=-1) == [views.copies.folder]


def test_copies_count_as_what_is_kept_between_runs_does(tmp_path: Path) -> None:
    views = made(photos(tmp_path / "photos"), tmp_path / "cache")
    assert views.copies is not None
    folder, size = views.copies.folder, sum(map(len, contents(tmp_path / "cache").values()))
    then = time.time() - 30 * 24 * 3600
    os.utime(folder, (then, then))
    assert trim(tmp_path / "cache", most_bytes=size) == []
    views.copies.make(SILENT)  # in use again
    assert trim(tmp_path / "cache", most_bytes=size - 1) == []
    os.utime(folder, (then, then))
    assert trim(tmp_path / "cache", most_bytes=size - 1) == [folder]


def test_what_a_killed_process_was_writing_is_no_copy_and_is_cleared_away(tmp_path: Path) -> None:
    split = photos(tmp_path / "photos")
    first = Views(split, SPEC, tmp_path / "cache")
    killed: list[Event] = []

    def kill(event: Event) -> None:
        killed.append(event)
        if event.kind == "step" and event.done == 2:
            raise KeyboardInterrupt

    assert first.copies is not None
    with pytest.raises(KeyboardInterrupt):
        first.copies.make(Progress(kill))
    assert killed[-1].kind == "stopped"
    there = contents(tmp_path / "cache")
    assert 2 <= len(there) < len(SIZES)
    stale = first.copies.folder / "5-123-456.part"
    stale.write_bytes(next(iter(there.values()))[:1000])
    split.decoded.clear()
    views = made(split, tmp_path / "cache")
    assert len(split.decoded) == len(SIZES) - len(there)
    assert not stale.exists()
    np.testing.assert_array_equal(views.batch(0, everything), made(split, tmp_path / "whole").batch(0, everything))


def test_threads_and_runs_that_make_the_same_copies_at_once_get_whole_ones(tmp_path: Path) -> None:
    split = photos(tmp_path / "photos")
    whole = made(split, tmp_path / "whole")
    found: list[Any] = []

    def one() -> None:
        views = Views(split, SPEC, tmp_path / "cache")
        assert views.copies is not None
        if len(found) % 2:
            views.copies.make(SILENT)
        found.append(views.batch(0, everything))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == len(threads)
    for batch in found:
        np.testing.assert_array_equal(batch, whole.batch(0, everything))
    assert contents(tmp_path / "cache") == contents(tmp_path / "whole")
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_run_that_waits_for_another_ones_copies_says_so_and_takes_them(tmp_path: Path) -> None:
    split = photos(tmp_path / "photos")
    views = made(split, tmp_path / "cache")
    copies: Any = views.copies
    said, count = threading.Event(), []

    def listen(event: Event) -> None:
        if "another run" in event.message:
            said.set()

    waiting = threading.Thread(target=lambda: count.append(copies.make(Progress(listen))), daemon=True)
    with FileLock(copies.folder / LOCK):
        waiting.start()
        assert said.wait(20)
        assert not count
    waiting.join(20)
    assert count == [0]


def test_progress_tells_how_many_copies_are_made_and_what_they_may_take(tmp_path: Path) -> None:
    events: list[Event] = []
    copies: Any = Views(photos(tmp_path / "photos"), SPEC, tmp_path / "cache").copies
    copies.make(Progress(events.append))
    note, *steps = events
    assert note.kind == "note"
    assert f"copies of {len(SIZES)} large photos" in note.message
    assert "MB more on disk" in note.message
    assert steps[-1].kind == "done"
    assert steps[-1].done == steps[-1].total == len(SIZES)
    events.clear()
    assert copies.make(Progress(events.append)) == 0
    assert events == []


def test_a_disk_that_is_too_small_is_told_of_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = photos(tmp_path / "photos")
    copies: Any = Views(split, SPEC, tmp_path / "cache").copies
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=50_000_000))
        with pytest.raises(InputError, match="L2C_CACHE") as caught:
            copies.make(SILENT)
    assert caught.value.code == "disk.full"
    assert f"{len(SIZES)} large photos" in caught.value.what
    assert "decoded" not in split.__dict__
    assert copies.make(SILENT) == len(SIZES)


@pytest.mark.parametrize("ask", [lambda views: views.copies.make(SILENT), lambda views: views.batch(0, everything)])
def test_a_disk_that_gets_full_is_told_and_nothing_of_it_is_taken_for_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Views], Any]
) -> None:
    split = photos(tmp_path / "photos")
    views = Views(split, SPEC, tmp_path / "cache")
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if not path.name.startswith("3-"):
            return write(path, content)
        write(path, content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError) as caught, legible_failures(tmp_path / "family"):
            ask(views)
    assert caught.value.code == "disk.full"
    assert str(tmp_path / "cache") in caught.value.what
    assert not list((tmp_path / "cache").rglob("*.part"))
    assert "3.jpg" not in contents(tmp_path / "cache")
    made(split, tmp_path / "cache")
    made(split, tmp_path / "new")
    assert contents(tmp_path / "cache") == contents(tmp_path / "new")


def test_a_photo_that_is_gone_is_told_by_name_where_its_copy_has_to_be_made(tmp_path: Path) -> None:
    split = photos(tmp_path / "photos")
    views = made(split, tmp_path / "cache")
    whole = views.batch(0, everything)
    (tmp_path / "photos" / "4.jpg").unlink()
    np.testing.assert_array_equal(views.batch(0, everything), whole)
    gone(views.copies.folder / "4.jpg")  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"4\.jpg") as caught:
        views.copies.make(SILENT)  # type: ignore[union-attr]
    assert caught.value.code == "dataset.image_lost"


def test_a_copy_is_a_jpeg_that_any_program_opens(tmp_path: Path) -> None:
    made(photos(tmp_path / "photos"), tmp_path / "cache")
    for content in contents(tmp_path / "cache").values():
        with Image.open(BytesIO(content)) as image:
            image.load()
            assert image.format == "JPEG"


@pytest.mark.parametrize("source", ["folders", "table", "records", "compressed records"])
def test_photos_of_every_source_on_disk_have_copies(tmp_path: Path, source: str) -> None:
    root = tmp_path / "photos"
    for number in range(24):
        path = root / f"class{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(720, 800 + number % 3, number)).save(path)
    files = sorted(root.rglob("*.jpg"))
    if source == "table":
        root = root / "photos.csv"
        rows = [f"{file.relative_to(root.parent)},{file.parent.name}" for file in files]
        root.write_text("\n".join(["path,label", *rows]))
    elif source != "folders":
        root = tmp_path / "photos.tfrecord"
        write_records(root, files, "GZIP" if source == "compressed records" else None)
    train = load_dataset(root, seed=0).train
    views, some = Views(train, SPEC, tmp_path / "cache"), np.arange(len(train))
    found, expected = (of.batch(0, some).astype(float) for of in (views, Views(train, SPEC)))
    assert len(contents(tmp_path / "cache")) == len(train)
    assert 0 < np.abs(found - expected).mean() < 1.5


def write_records(path: Path, files: Sequence[Path], compression: str | None) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for file in files:
            image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[file.read_bytes()]))
            label = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(file.parent.name[-1])]))
            features = tf.train.Features(feature={"image/encoded": image, "image/class/label": label})
            writer.write(tf.train.Example(features=features).SerializeToString())
