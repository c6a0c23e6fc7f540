"""In a container of two cores on a large host, no more than two of anything are at work at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from learn2compress.core import cores
from learn2compress.core.cores import MOST_THREADS
from learn2compress.inputs import geometry
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.model_files.black_box import Names
from learn2compress.inputs.model_files.tflite_file import load_tflite
from learn2compress.measure import accuracy
from learn2compress.measure.accuracy import tflite_probabilities
from learn2compress.measure.host import environment
from learn2compress.measure.labeller import FileTeacher

CORES = 2


@pytest.fixture(autouse=True)
def container(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(cores, "folders", lambda *arguments: [])  # what limits the tests themselves
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(CORES)), raising=False)
    geometry.pool.cache_clear()
    yield
    geometry.pool.cache_clear()


def begun(before: set[threading.Thread]) -> int:
    """Threads that were begun since then and wait for more work."""
    return len(set(threading.enumerate()) - before)


@pytest.fixture
def before() -> set[threading.Thread]:
    return set(threading.enumerate())


def test_of_interpreters_that_measure_accuracy(
    models: dict[str, Path], photos: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work: set[int] = set()

    class Watched(type(photos)):  # type: ignore[misc]
        def batch(self, indices: Any, size: tuple[int, int]) -> Any:
            at_work.add(threading.get_ident())
            return super().batch(indices, size)

    monkeypatch.setattr(accuracy, "CHUNK_IMAGES", 1)
    tflite_probabilities(models["uint8"], Watched(photos.stacked, photos.labels))
    assert 1 <= len(at_work) <= CORES


def test_of_interpreters_that_label(models: dict[str, Path], photos: Any, before: set[threading.Thread]) -> None:
    teacher: Any = SimpleNamespace(input_size=(16, 16), fingerprint="")
    labeller = FileTeacher(teacher, models["float"])
    assert len(labeller.predict(photos.stacked)) == len(photos)
    assert 1 <= begun(before) <= CORES


def test_of_interpreters_of_a_teacher_that_is_a_file(
    tmp_path: Path, photos: Any, before: set[threading.Thread]
) -> None:
    import keras
    import tensorflow as tf

    layers = [keras.Input((16, 16, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    (tmp_path / "open.tflite").write_bytes(
        tf.lite.TFLiteConverter.from_keras_model(keras.Sequential(layers)).convert()
    )
    box = load_tflite(tmp_path / "open.tflite", Names())
    assert box.form.batch is None
    before.update(threading.enumerate())
    assert len(box.run(photos.stacked.astype(np.float32))) == len(photos)
    assert 1 <= begun(before) <= CORES


def test_of_threads_that_decode_and_resize(photos: Any, before: set[threading.Thread]) -> None:
    ArraySplit(photos.stacked, photos.labels).batch(np.arange(len(photos)), (32, 32))
    assert 1 <= begun(before) <= CORES


def test_the_cores_that_may_be_used_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment().cores == CORES
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(2 * MOST_THREADS)), raising=False)
    assert environment().cores > MOST_THREADS
