"""The teacher is asked once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from learn2compress.core.cache import LOCK
from learn2compress.core.errors import InputError
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.stages.failures import legible_failures
from learn2compress.train import soft_labels as module
from learn2compress.train.soft_labels import TOP_K, soft_labels
from learn2compress.train.views import Views, ViewSpec

Split = Callable[..., Any]
Teacher = Callable[..., Any]
IMAGES = 30
everything = np.arange(IMAGES)
SPEC = ViewSpec(2, (12, 12), 0)


def ask(teacher: Any, views: Views, cache: Path) -> tuple[Any, int]:
    return soft_labels(teacher, views, teacher.classes, cache, SILENT)


def test_soft_labels_are_the_teachers_outputs_on_the_views(
    split: Split, counting_teacher: Teacher, tmp_path: Path
) -> None:
    teacher, views = counting_teacher(), Views(split(IMAGES), SPEC)
    soft, computed = ask(teacher, views, tmp_path)
    assert (computed, teacher.images) == (2, 2 * IMAGES)
    for view in range(2):
        expected = teacher.predict(views.batch(view, everything))
        np.testing.assert_allclose(np.exp(soft.batch(view, everything)), expected, atol=2e-3)
        chosen = np.array([7, 3, 29])
        np.testing.assert_array_equal(soft.batch(view, chosen), soft.batch(view, everything)[chosen])


def test_a_second_run_does_not_ask_the_teacher(split: Split, counting_teacher: Teacher, tmp_path: Path) -> None:
    first, _ = ask(counting_teacher(), Views(split(IMAGES), SPEC), tmp_path)
    teacher = counting_teacher()
    again, computed = ask(teacher, Views(split(IMAGES), SPEC), tmp_path)
    assert (computed, teacher.images) == (0, 0)
    np.testing.assert_array_equal(first.batch(1, everything), again.batch(1, everything))


def test_images_that_are_framed_otherwise_are_labelled_anew(
    split: Split, counting_teacher: Teacher, tmp_path: Path
) -> None:
    spec, images = ViewSpec(2, (12, 12), 0), split(IMAGES, size=(12, 30))
    ask(counting_teacher(), Views(images, spec), tmp_path)
    teacher = counting_teacher()
    _, computed = ask(teacher, Views(images.framed("squeeze"), spec), tmp_path)
    assert (computed, teacher.images) == (2, 2 * IMAGES)
    _, computed = ask(counting_teacher(), Views(images, spec), tmp_path)
    assert computed == 0


def test_labels_of_long_ago_make_room(split: Split, counting_teacher: Teacher, tmp_path: Path) -> None:
    old = tmp_path / "0123456789abcdef"
    old.mkdir()
    (old / "lock").touch()
    with (old / "view-0-0.bin").open("wb") as file:
        file.truncate(6_000_000_000)  # a hole: it takes no disk
    then = time.time() - 30 * 24 * 3600
    os.utime(old, (then, then))
    ask(counting_teacher(), Views(split(IMAGES), SPEC), tmp_path)
    assert not old.exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_more_views_are_added_to_those_there_are(split: Split, counting_teacher: Teacher, tmp_path: Path) -> None:
    ask(counting_teacher(), Views(split(IMAGES), SPEC), tmp_path)
    teacher = counting_teacher()
    soft, computed = ask(teacher, Views(split(IMAGES), ViewSpec(5, (12, 12), 0)), tmp_path)
    assert (computed, teacher.images, soft.count) == (3, 3 * IMAGES, 5)


def test_mixed_views_are_added_to_those_that_are_not_and_the_other_way_round(
    split: Split, counting_teacher: Teacher, tmp_path: Path
) -> None:
    mixed, whole = (Views(split(IMAGES), ViewSpec(4, (12, 12), 0, mixed=mixed)) for mixed in (True, False))
    for number, (first, second) in enumerate([(mixed, whole), (whole, mixed)]):
        cache = tmp_path / str(number)
        ask(counting_teacher(), first, cache)
        teacher = counting_teacher()
        soft, computed = ask(teacher, second, cache)
        assert (computed, teacher.images) == (2, 2 * IMAGES)
        for view in range(4):
            expected = teacher.predict(second.batch(view, everything))
            np.testing.assert_allclose(np.exp(soft.batch(view, everything)), expected, atol=2e-3)


@pytest.mark.parametrize(
    ("fingerprint", "seed", "spec"),
    [
        ("another teacher", 0, SPEC),
        ("teacher", 1, SPEC),
        ("teacher", 0, ViewSpec(2, (12, 12), 1)),
        ("teacher", 0, ViewSpec(2, (12, 10), 0)),
        ("teacher", 0, ViewSpec(2, (12, 12), 0, flip=False)),
    ],
)
def test_another_teacher_other_data_or_other_views_have_labels_of_their_own(
    split: Split, counting_teacher: Teacher, tmp_path: Path, fingerprint: str, seed: int, spec: ViewSpec
) -> None:
    ask(counting_teacher(), Views(split(IMAGES), SPEC), tmp_path)
    teacher = counting_teacher(fingerprint=fingerprint)
    _, computed = ask(teacher, Views(split(IMAGES, seed=seed), spec), tmp_path)
    assert (computed, teacher.images) == (2, 2 * IMAGES)
    old, still = ask(counting_teacher(), Views(split(IMAGES), SPEC), tmp_path)
    assert (still, old.count) == (0, 2)


def test_a_run_that_was_interrupted_goes_on_at_the_missing_view(
    split: Split, counting_teacher: Teacher, tmp_path: Path
) -> None:
    views = Views(split(IMAGES), ViewSpec(4, (12, 12), 0))
    with pytest.raises(KeyboardInterrupt):
        ask(counting_teacher(after=int(2.5 * IMAGES)), views, tmp_path)
    teacher = counting_teacher()
    soft, computed = ask(teacher, views, tmp_path)
    assert (computed, teacher.images) == (2, 2 * IMAGES)
    fresh, _ = ask(counting_teacher(), views, tmp_path / "other")
    for view in range(4):
        np.testing.assert_array_equal(soft.batch(view, everything), fresh.batch(view, everything))


def test_a_run_that_was_killed_goes_on_in_the_middle_of_a_view(
    split: Split, counting_teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 5)
    monkeypatch.setattr(module, "KEPT_EVERY_SECONDS", 0.0)
    views = Views(split(IMAGES), SPEC)
    whole, _ = ask(counting_teacher(), views, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        ask(counting_teacher(after=17), views, tmp_path)
    teacher = counting_teacher()
    soft, _ = ask(teacher, views, tmp_path)
    assert teacher.images == 2 * IMAGES - 15
    for view in range(2):
        np.testing.assert_array_equal(soft.batch(view, everything), whole.batch(view, everything))


@pytest.mark.parametrize("finished", [True, False])
def test_labels_that_were_damaged_are_made_anew(
    split: Split, counting_teacher: Teacher, tmp_path: Path, finished: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 5)
    monkeypatch.setattr(module, "KEPT_EVERY_SECONDS", 0.0)
    views = Views(split(IMAGES), SPEC)
    whole, _ = ask(counting_teacher(), views, tmp_path / "whole")
    if finished:
        ask(counting_teacher(), views, tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            ask(counting_teacher(after=17), views, tmp_path)
    (file,) = tmp_path.glob("*/view-0-*.bin" if finished else "*/view-0.part")
    content = bytearray(file.read_bytes())
    content[7] ^= 1
    file.write_bytes(content)
    teacher = counting_teacher()
    soft, _ = ask(teacher, views, tmp_path)
    assert teacher.images == (1 if finished else 2) * IMAGES
    np.testing.assert_array_equal(soft.batch(0, everything), whole.batch(0, everything))


def test_with_many_classes_the_large_probabilities_are_kept(
    split: Split, counting_teacher: Teacher, tmp_path: Path
) -> None:
    classes = 100
    teacher, views = counting_teacher(classes), Views(split(IMAGES), SPEC)
    soft, _ = ask(teacher, views, tmp_path)
    expected = teacher.predict(views.batch(0, everything))
    found = np.exp(soft.batch(0, everything))
    assert found.shape == (IMAGES, classes)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=2e-3)
    order = np.argsort(-expected, axis=1)
    largest = order[:, : TOP_K - 3]
    for values in (largest, order[:, :1]):
        np.testing.assert_allclose(
            np.take_along_axis(found, values, 1), np.take_along_axis(expected, values, 1), rtol=1e-2, atol=1e-4
        )
    smallest_kept = np.take_along_axis(expected, order[:, TOP_K - 1 : TOP_K], 1)
    rest = np.take_along_axis(found, order[:, TOP_K + 3 :], 1)
    assert (rest <= smallest_kept * 1.02 + 1e-4).all()
    stored = sum(path.stat().st_size for path in tmp_path.rglob("*.bin"))
    # Two bytes for a probability, two for which class it is of; for each of two views.
    assert stored <= 2 * IMAGES * TOP_K * (2 + 2)


def test_progress_tells_how_many_images_were_labelled(
    split: Split, counting_teacher: Teacher, tmp_path: Path
) -> None:
    events: list[Event] = []
    soft_labels(counting_teacher(), Views(split(IMAGES), SPEC), 3, tmp_path, Progress(events.append))
    assert events[-1].kind == "done"
    assert events[-1].done == events[-1].total == 2 * IMAGES
    assert "2 views computed, 0 taken" in events[-1].message


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_no_number_is_refused_and_never_kept(
    split: Split, counting_teacher: Teacher, tmp_path: Path, broken: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 10)
    monkeypatch.setattr(module, "KEPT_EVERY_SECONDS", 0.0)
    views = Views(split(IMAGES), SPEC)
    bad = views.batch(1, np.array([13, 17]))

    class Broken:
        def __init__(self) -> None:
            self.teacher = counting_teacher()
            self.classes, self.fingerprint = self.teacher.classes, self.teacher.fingerprint

        def predict(self, images: Any) -> Any:
            found = self.teacher.predict(images)
            found[[any(np.array_equal(image, one) for one in bad) for image in images], 1] = broken
            return found

    for _ in range(2):  # the second time nothing of the first is taken for a label
        with pytest.raises(InputError, match="2 of the training images 10 to 19, first on number 13") as caught:
            ask(Broken(), views, tmp_path)
        assert caught.value.code == "teacher.nan"
        assert caught.value.fix
    soft, _ = ask(counting_teacher(), views, tmp_path)
    whole, _ = ask(counting_teacher(), views, tmp_path / "whole")
    for view in range(2):
        np.testing.assert_array_equal(soft.batch(view, everything), whole.batch(view, everything))


def test_a_run_that_waits_for_another_says_so(split: Split, counting_teacher: Teacher, tmp_path: Path) -> None:
    views = Views(split(IMAGES), SPEC)
    ask(counting_teacher(), views, tmp_path)
    (folder,) = tmp_path.iterdir()
    said, found = threading.Event(), []

    def listen(event: Event) -> None:
        if "another run" in event.message:
            said.set()

    def second() -> None:
        found.append(soft_labels(counting_teacher(), views, 3, tmp_path, Progress(listen)))

    waiting = threading.Thread(target=second, daemon=True)
    with FileLock(folder / LOCK):
        waiting.start()
        assert said.wait(20)
        assert not found
    waiting.join(20)
    ((soft, computed),) = found
    assert (soft.count, computed) == (2, 0)
    said.clear()
    second()
    assert not said.is_set()  # nobody was waited for


def test_when_the_disk_is_too_small_the_teacher_is_not_asked(
    split: Split, counting_teacher: Teacher, tmp_path: Path
) -> None:
    class Huge(Views):
        def __len__(self) -> int:
            return 10**16

    teacher = counting_teacher()
    with pytest.raises(InputError, match="L2C_CACHE") as caught:
        ask(teacher, Huge(split(IMAGES), SPEC), tmp_path)
    assert caught.value.code == "disk.full"
    assert teacher.images == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_is_full_of_soft_labels_is_the_one_that_they_lie_on(
    split: Split, counting_teacher: Teacher, tmp_path: Path
) -> None:
    teacher, views = counting_teacher(), Views(split(IMAGES), SPEC)
    folder = tmp_path / "cache" / module._key(teacher, views, teacher.classes)
    folder.mkdir(parents=True)
    shard = folder / f"{views.name(0)}.part"
    shard.symlink_to("/dev/full")
    with pytest.raises(InputError) as caught, legible_failures(tmp_path / "family"):
        ask(teacher, views, tmp_path / "cache")
    assert caught.value.code == "disk.full"
    assert f"{shard} could not be written" in caught.value.what
    shard.unlink()
    assert ask(counting_teacher(), views, tmp_path / "cache")[1] == 2
