from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.errors import InputError
from learn2compress.core.progress import Event, Progress
from learn2compress.measure.accuracy import accuracy_of, score, tflite_probabilities


def one_by_one(path: Path, images: Any) -> Any:
    """The stored outputs of LiteRT, without any of the code under test."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    place_in, place_out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for image in images:
        interpreter.set_tensor(place_in["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(place_out["index"])[0])
    return np.stack(rows), place_out["quantization"]


def test_a_uint8_input_takes_the_pixels_as_they_are(models: dict[str, Path], photos: Any) -> None:
    stored, (scale, zero_point) = one_by_one(models["uint8"], photos.stacked)
    outputs = tflite_probabilities(models["uint8"], photos, threads=2)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, (stored.astype(np.float32) - zero_point) * scale, atol=1e-7)
    assert len(np.unique(outputs, axis=0)) > 1


def test_an_int8_input_takes_the_pixels_shifted(models: dict[str, Path], photos: Any) -> None:
    shifted = (photos.stacked.astype(np.int16) - 128).astype(np.int8)
    stored, (scale, zero_point) = one_by_one(models["int8"], shifted)
    expected = (stored.astype(np.float32) - zero_point) * scale
    np.testing.assert_allclose(tflite_probabilities(models["int8"], photos), expected, atol=1e-7)


@pytest.mark.parametrize("kind", ["float", "float_ends"])
def test_a_float_input_takes_pixel_values(models: dict[str, Path], photos: Any, kind: str) -> None:
    expected, _ = one_by_one(models[kind], photos.stacked.astype(np.float32))
    np.testing.assert_allclose(tflite_probabilities(models[kind], photos), expected, rtol=1e-6)


def test_preprocessed_values_reach_a_float_input(models: dict[str, Path], photos: Any) -> None:
    expected, _ = one_by_one(models["float"], photos.stacked.astype(np.float32) / 2 - 3)
    outputs = tflite_probabilities(
        models["float"], photos, preprocess=lambda images: images.astype(np.float32) / 2 - 3
    )
    np.testing.assert_allclose(outputs, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_preprocessed_values_are_quantized_for_an_integer_input(
    models: dict[str, Path], photos: Any, kind: str
) -> None:
    # The tiny models rescale inside: their real input is the pixel value, and no preprocessing no change.
    outputs = tflite_probabilities(models[kind], photos, preprocess=lambda images: images.astype(np.float32))
    np.testing.assert_array_equal(outputs, tflite_probabilities(models[kind], photos))


def test_outputs_follow_the_indices_and_not_the_threads(models: dict[str, Path], photos: Any) -> None:
    everything = tflite_probabilities(models["uint8"], photos, threads=1)
    order = np.random.default_rng(2).permutation(150)[:90]
    for threads in (1, 3):
        some = tflite_probabilities(models["uint8"], photos, order, threads=threads)
        np.testing.assert_array_equal(some, everything[order])


def test_no_images_give_no_rows(models: dict[str, Path], photos: Any) -> None:
    assert tflite_probabilities(models["uint8"], photos, np.array([], np.int64)).shape == (0, 5)


def test_progress_counts_every_image(models: dict[str, Path], photos: Any) -> None:
    events: list[Event] = []
    with Progress(events.append).stage("accuracy", len(photos)) as stage:
        tflite_probabilities(models["uint8"], photos, stage=stage)
    assert [event.done for event in events if event.kind == "step"][-1] == 150


def test_an_image_that_fails_ends_the_run_with_its_own_error(models: dict[str, Path], photos: Any) -> None:
    class Broken(type(photos)):  # type: ignore[misc]
        def batch(self, indices: Any, size: tuple[int, int]) -> Any:
            raise InputError("dataset.unreadable", "no such image")

    with pytest.raises(InputError, match="no such image"):
        tflite_probabilities(models["uint8"], Broken(photos.stacked, photos.labels))


def test_accuracy_is_that_of_the_largest_output(models: dict[str, Path], photos: Any) -> None:
    outputs = tflite_probabilities(models["uint8"], photos)
    perfect = type(photos)(photos.stacked, outputs.argmax(axis=1))
    assert accuracy_of(models["uint8"], perfect).accuracy == 1.0
    assert accuracy_of(models["uint8"], photos).examples == 150


def test_a_class_without_examples_has_no_accuracy() -> None:
    outputs = np.eye(4, dtype=np.float32)[[0, 1, 1, 3]]
    result = score(outputs, np.array([0, 0, 1, 3]))
    assert result.accuracy == 0.75
    assert result.per_class == (0.5, 1.0, None, 1.0)


@given(st.data())
def test_accuracy_is_the_mean_of_the_classes_weighted_by_their_examples(data: st.DataObject) -> None:
    classes, count = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 30))
    column = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    labels, predicted = np.array(data.draw(column)), data.draw(column)
    result = score(np.eye(classes, dtype=np.float32)[predicted], labels)
    weighted = sum(
        share * (labels == index).sum() for index, share in enumerate(result.per_class) if share is not None
    )
    assert weighted / count == pytest.approx(result.accuracy)


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 2, 5], [0, 1, 2, -1]])
def test_labels_that_do_not_fit_the_outputs_are_refused(labels: list[int]) -> None:
    with pytest.raises(InputError) as caught:
        score(np.zeros((4, 5), np.float32), np.array(labels))
    assert caught.value.code == "accuracy.shapes"
