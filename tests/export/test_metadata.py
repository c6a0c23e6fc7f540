"""The metadata in a file, read back by us and by the real client, MediaPipe's `ImageClassifier`."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learn2compress.core.errors import ConversionError, InputError
from learn2compress.export.metadata import add_metadata, check_labels, read_metadata
from learn2compress.export.schema.packing import pack, unpack
from learn2compress.export.schema.tensors import INT8, UINT8

SIZE = 8
MLPERF = Path(__file__).parents[3] / "shared/data/teachers/mlperf_tiny_resnet8_cifar10_int8.tflite"
AWKWARD = ["T-shirt / top", "jupe d'été", "帽子", " two  spaces ", '🧦,"socks"', "#5"]
FOR_PEOPLE = {
    "name": "clothes",
    "description": "Ten kinds.",
    "version": "1.2",
    "author": "me",
    "license": "CC0",
}

# Whatever fits on one line: everything but control characters, lone surrogates and line separators.
one_line = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(str.strip)

Classifier = Callable[..., bytes]


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """Makes the bytes of a tiny classifier of so many classes, uint8 or float32 at its ends."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    made: dict[tuple[int, str], bytes] = {}

    def images() -> Any:
        rng = np.random.default_rng(0)
        for _ in range(16):
            yield [rng.integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.float32)]

    def make(classes: int, ends: str = "uint8") -> bytes:
        if (classes, ends) not in made:
            keras.utils.set_random_seed(classes)
            image = keras.Input((SIZE, SIZE, 3), batch_size=1)
            x = keras.layers.Rescaling(1 / 255)(image) if ends == "uint8" else image
            x = keras.layers.Conv2D(8, 3, activation="relu")(x)
            x = keras.layers.GlobalAveragePooling2D()(x)
            x = keras.layers.Dense(classes, activation="softmax", kernel_initializer="random_normal")(x)
            converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, x))
            if ends == "uint8":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.representative_dataset = images
                converter.inference_input_type = converter.inference_output_type = tf.uint8
            with contextlib.redirect_stdout(io.StringIO()):
                made[classes, ends] = converter.convert()
        return made[classes, ends]

    return make


def litert(model: bytes, fed: Any) -> Any:
    """LiteRT's dequantized outputs, shape (classes,)."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], fed[None])
    interpreter.invoke()
    detail = interpreter.get_output_details()[0]
    scale, zero_point = detail["quantization"]
    stored = interpreter.get_tensor(detail["index"])[0].astype(np.float32)
    return (stored - zero_point) * scale if scale else stored


def mediapipe(path: Path, image: Any) -> dict[int, tuple[str, float]]:
    """Index -> (name, score), as an app gets them from the file on disk."""
    mp = pytest.importorskip("mediapipe")
    vision = mp.tasks.vision
    base = mp.tasks.BaseOptions(model_asset_path=str(path))
    with vision.ImageClassifier.create_from_options(vision.ImageClassifierOptions(base_options=base)) as app:
        result = app.classify(mp.Image(image_format=mp.ImageFormat.SRGB, data=image))
    return {c.index: (c.category_name, c.score) for c in result.classifications[0].categories}


def picture(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def write(path: Path, model: bytes, labels: list[str], **more: Any) -> Path:
    path.write_bytes(add_metadata(model, **{**FOR_PEOPLE, "labels": labels, **more}))
    return path


@pytest.mark.parametrize("labels", [AWKWARD, ["no", "yes"], [f"class {n}" for n in range(1000)], ["crane", "crane"]])
def test_mediapipe_gives_names_and_scores_of_the_file(
    classifier: Classifier, tmp_path: Path, labels: list[str]
) -> None:
    model = classifier(len(labels))
    answers = mediapipe(write(tmp_path / "model.tflite", model, labels), picture())
    assert [answers[index][0] for index in range(len(labels))] == labels
    scores = [answers[index][1] for index in range(len(labels))]
    np.testing.assert_allclose(scores, litert(model, picture()), atol=1e-6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(one_line, min_size=3, max_size=3))
def test_mediapipe_reads_any_one_line_labels(classifier: Classifier, tmp_path: Path, labels: list[str]) -> None:
    answers = mediapipe(write(tmp_path / "model.tflite", classifier(3), labels), picture())
    assert [answers[index][0] for index in range(3)] == labels


def test_mediapipe_normalises_for_a_float_input(classifier: Classifier, tmp_path: Path) -> None:
    model = classifier(3, "float32")
    path = write(tmp_path / "float.tflite", model, list("abc"), input_mean=[127.5], input_std=[127.5])
    answers = mediapipe(path, picture())
    expected = litert(model, (picture().astype(np.float32) - 127.5) / 127.5)
    np.testing.assert_allclose([answers[index][1] for index in range(3)], expected, atol=1e-4)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(one_line, min_size=3, max_size=3), words=st.text())
def test_what_is_written_is_read_back(classifier: Classifier, tmp_path: Path, labels: list[str], words: str) -> None:
    path = write(tmp_path / "model.tflite", classifier(3), labels, description=words)
    metadata = read_metadata(path)
    assert metadata is not None
    assert metadata.labels == tuple(labels)
    assert metadata.description == words
    assert (metadata.name, metadata.version, metadata.author, metadata.license) == (
        "clothes",
        "1.2",
        "me",
        "CC0",
    )
    assert (metadata.input_name, metadata.output_name) == ("image", "probability")
    assert metadata.min_parser_version == "1.0.0"


def test_the_file_is_an_archive_that_lists_its_labels(classifier: Classifier, tmp_path: Path) -> None:
    path = write(tmp_path / "model.tflite", classifier(6), AWKWARD)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED
        assert archive.read("labels.txt").decode().split("\n") == AWKWARD


def test_outputs_do_not_change(classifier: Classifier, tmp_path: Path) -> None:
    model = classifier(6)
    described = write(tmp_path / "model.tflite", model, AWKWARD).read_bytes()
    for seed in range(20):
        np.testing.assert_array_equal(litert(described, picture(seed)), litert(model, picture(seed)))


@pytest.mark.data
@pytest.mark.skipif(not MLPERF.is_file(), reason="the MLPerf Tiny reference file is not here")
def test_a_real_int8_file_keeps_its_outputs(tmp_path: Path) -> None:
    described = write(tmp_path / "model.tflite", MLPERF.read_bytes(), [f"class {n}" for n in range(10)])
    assert described.stat().st_size < MLPERF.stat().st_size + 4096
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = rng.integers(-128, 128, (32, 32, 3)).astype(np.int8)
        np.testing.assert_array_equal(litert(described.read_bytes(), image), litert(MLPERF.read_bytes(), image))


def test_weights_stay_aligned(classifier: Classifier) -> None:
    from ai_edge_litert import schema_py_generated as schema

    described = add_metadata(classifier(6), labels=AWKWARD, **FOR_PEOPLE)
    start = np.frombuffer(described, np.uint8).__array_interface__["data"][0]
    model = schema.Model.GetRootAs(described, 0)
    buffers = [model.Buffers(n) for n in range(model.BuffersLength())]
    places = [b.DataAsNumpy().__array_interface__["data"][0] - start for b in buffers if b.DataLength()]
    assert len(places) > 4
    assert all(place % 16 == 0 for place in places)


def test_the_same_input_gives_the_same_bytes_and_new_metadata_replaces_old(classifier: Classifier) -> None:
    model = classifier(2)
    once = add_metadata(model, labels=["a", "b"], **FOR_PEOPLE)
    other = add_metadata(model, labels=["other", "names"], **FOR_PEOPLE)
    assert add_metadata(model, labels=["a", "b"], **FOR_PEOPLE) == once
    assert add_metadata(other, labels=["a", "b"], **FOR_PEOPLE) == once


def test_a_description_changes_within_its_room_and_the_file_keeps_its_size(
    classifier: Classifier, tmp_path: Path
) -> None:
    model, room = classifier(2), 101
    sizes = set()
    for words in ("", "é", "short", "x" * 100, "é" * 50, "x" * room):
        path = write(tmp_path / "model.tflite", model, ["a", "b"], description=words, description_room=room)
        metadata = read_metadata(path)
        assert metadata is not None
        assert metadata.description == words
        assert mediapipe(path, picture()).keys() == {0, 1}
        sizes.add(path.stat().st_size)
    assert len(sizes) == 1
    longer = write(tmp_path / "longer.tflite", model, ["a", "b"], description="x" * 500, description_room=room)
    metadata = read_metadata(longer)
    assert metadata is not None
    assert metadata.description == "x" * 500


def test_a_file_says_how_photos_are_framed_and_mediapipe_takes_it_all_the_same(
    classifier: Classifier, tmp_path: Path
) -> None:
    path = write(tmp_path / "model.tflite", classifier(2), ["a", "b"], framing="squeeze")
    metadata = read_metadata(path)
    assert metadata is not None
    assert metadata.framing == "squeeze"
    assert mediapipe(path, picture()).keys() == {0, 1}
    cropped = add_metadata(path.read_bytes(), labels=["a", "b"], **FOR_PEOPLE)
    assert cropped == add_metadata(classifier(2), labels=["a", "b"], **FOR_PEOPLE)
    path.write_bytes(cropped)
    metadata = read_metadata(path)
    assert metadata is not None
    assert metadata.framing == "crop"


def test_a_file_that_says_nothing_of_framing_crops_and_one_that_says_what_is_not_known_is_refused(
    classifier: Classifier, tmp_path: Path
) -> None:
    path = write(tmp_path / "model.tflite", classifier(2), ["a", "b"], framing="squeeze")
    root, rest = unpack(path.read_bytes()), path.read_bytes()
    rest = rest[rest.index(b"PK\x03\x04") :]
    (said,) = (entry for entry in root.metadata if entry.name == b"learn2compress.framing")
    root.buffers[said.buffer].data = np.frombuffer(b"letterbox", np.uint8)
    path.write_bytes(pack(root) + rest)
    with pytest.raises(ConversionError, match="'letterbox' is no framing") as caught:
        read_metadata(path)
    assert caught.value.code == "metadata.unreadable"
    root.metadata.remove(said)
    path.write_bytes(pack(root) + rest)
    metadata = read_metadata(path)
    assert metadata is not None
    assert metadata.framing == "crop"


def test_a_file_without_metadata_has_none(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "bare.tflite").write_bytes(classifier(2))
    assert read_metadata(tmp_path / "bare.tflite") is None


@pytest.mark.parametrize(
    ("dtype", "quantization", "expected"),
    [
        (UINT8, (1.0, 0), (0, 1)),
        (UINT8, (1 / 255, 0), (0, 255)),
        (UINT8, (2 / 255, 127), (127, 127.5)),
        (INT8, (1.0, -128), (0, 1)),
        (INT8, (1 / 128, 0), (128, 128)),
    ],
)
def test_by_default_normalisation_and_quantization_cancel(
    classifier: Classifier,
    tmp_path: Path,
    dtype: int,
    quantization: tuple[float, int],
    expected: tuple[float, float],
) -> None:
    root = unpack(classifier(2))
    image_in = root.subgraphs[0].tensors[root.subgraphs[0].inputs[0]]
    scale, zero_point = quantization
    image_in.type, image_in.quantization.scale, image_in.quantization.zeroPoint = dtype, [scale], [zero_point]
    metadata = read_metadata(write(tmp_path / "model.tflite", pack(root), ["a", "b"]))
    assert metadata is not None
    assert (*metadata.input_mean, *metadata.input_std) == pytest.approx(expected)
    pixels = np.arange(256)
    stored = np.round((pixels - metadata.input_mean[0]) / metadata.input_std[0] / scale + zero_point)
    np.testing.assert_array_equal(stored, pixels if dtype == UINT8 else pixels - 128)


def test_values_that_would_not_feed_the_pixels_as_they_are_are_refused(classifier: Classifier) -> None:
    with pytest.raises(ConversionError, match=r"-1\.0 to 1\.0") as caught:
        add_metadata(classifier(2), labels=["a", "b"], input_mean=[127.5], input_std=[127.5], **FOR_PEOPLE)
    assert caught.value.code == "metadata.normalization"


@pytest.mark.parametrize(
    ("mean", "std"),
    [(None, None), ([0.0], None), ([0.0, 1.0], [1.0, 1.0]), ([0.0], [0.0]), ([0.0], [np.nan])],
)
def test_a_float_input_needs_sound_values(classifier: Classifier, mean: Any, std: Any) -> None:
    model = classifier(3, "float32")
    with pytest.raises(ConversionError) as caught:
        add_metadata(model, labels=list("abc"), input_mean=mean, input_std=std, **FOR_PEOPLE)
    assert caught.value.code == "metadata.normalization"


@pytest.mark.parametrize("labels", [[], ["one"], ["one", "two", "three"]])
def test_a_label_count_that_differs_from_the_outputs_is_refused(classifier: Classifier, labels: list[str]) -> None:
    with pytest.raises(InputError, match="2 outputs") as caught:
        add_metadata(classifier(2), labels=labels, **FOR_PEOPLE)
    assert caught.value.code == "labels.count"


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "a\r", "a\tb", "a\u2028b", "a\x85b", "\x00", "\ud800"])
def test_a_label_that_is_no_line_of_text_is_refused(label: str) -> None:
    with pytest.raises(InputError, match="class 1") as caught:
        check_labels(["fine", label])
    assert caught.value.code == "labels.unreadable"


@pytest.mark.parametrize("kept", [0, 4, 100, 600])
def test_bytes_that_are_no_whole_model_are_refused(classifier: Classifier, kept: int) -> None:
    with pytest.raises(ConversionError) as caught:
        add_metadata(classifier(2)[:kept], labels=["a", "b"], **FOR_PEOPLE)
    assert caught.value.code == "metadata.not_tflite"
