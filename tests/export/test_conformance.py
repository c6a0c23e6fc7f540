"""Members in the clients that apps use: ML Kit's published list item by item, MediaPipe in each of its modes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from learn2compress.export.conformance import ml_kit_findings
from learn2compress.export.metadata import add_metadata, read_metadata
from learn2compress.export.schema.packing import pack, unpack

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
MEMBER = FIXTURES / "clothing_small.tflite"
PHOTOS = sorted((ROOT / "examples" / "clothing" / "photos" / "test").glob("*/*.jpg"))[::31]
ABOUT = {"name": "n", "description": "d", "version": "1", "author": "me", "license": "CC0"}


def changed(source: Path, path: Path, change: Callable[[Any, Any, Any], None]) -> Path:
    """The file with something changed in its graph, input or output, its metadata as they were."""
    root = unpack(source.read_bytes())
    graph = root.subgraphs[0]
    change(graph, graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]])
    packed, whole = pack(root), source.read_bytes()
    path.write_bytes(packed + whole[whole.index(b"PK\x03\x04") :])
    return path


@pytest.mark.parametrize("name", ["clothing_small.tflite", "tiny_float32.tflite"])
def test_members_keep_all_that_ml_kit_asks(name: str) -> None:
    assert [finding for finding in ml_kit_findings(FIXTURES / name) if not finding.kept] == []


def resized(place: str, shape: list[int]) -> Callable[[Any, Any, Any], None]:
    def change(graph: Any, image_in: Any, out: Any) -> None:
        (image_in if place == "input" else out).shape = shape

    return change


def two_outputs(graph: Any, image_in: Any, out: Any) -> None:
    graph.outputs = [*graph.outputs, graph.outputs[0]]


def two_inputs(graph: Any, image_in: Any, out: Any) -> None:
    graph.inputs = [*graph.inputs, graph.inputs[0]]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (two_inputs, "one input tensor"),
        (resized("input", [1, 96, 96]), "input of 4 dimensions BxHxWxC"),
        (resized("input", [8, 96, 96, 3]), "a batch of 1"),
        (resized("input", [1, 96, 96, 1]), "3 channels"),
        (two_outputs, "one head, as only these are fully supported"),
        (resized("output", [1, 1, 10]), "output of dimensions 1xN or 1x1x1xN"),
        (resized("output", [10, 1]), "output of dimensions 1xN or 1x1x1xN"),
        (resized("output", [1, 9]), "a label for each class in a file of type TENSOR_AXIS_LABELS in the metadata"),
    ],
)
def test_each_of_ml_kits_demands_is_noticed_when_it_is_not_kept(
    tmp_path: Path, change: Callable[[Any, Any, Any], None], broken: str
) -> None:
    found = ml_kit_findings(changed(MEMBER, tmp_path / "model.tflite", change))
    assert broken in [finding.requirement for finding in found if not finding.kept]


def test_an_int8_input_and_missing_metadata_are_noticed(tmp_path: Path) -> None:
    broken = [finding.requirement for finding in ml_kit_findings(FIXTURES / "tiny_int8.tflite") if not finding.kept]
    assert broken == ["input of uint8 or float32"]
    root = unpack((FIXTURES / "tiny_float32.tflite").read_bytes())
    root.metadata = []
    (tmp_path / "bare.tflite").write_bytes(pack(root))
    broken = [finding.requirement for finding in ml_kit_findings(tmp_path / "bare.tflite") if not finding.kept]
    assert broken == [
        "a float32 input has NormalizationOptions in the metadata",
        "a label for each class in a file of type TENSOR_AXIS_LABELS in the metadata",
    ]


def pixels(photo: Path) -> np.ndarray:
    return np.asarray(Image.open(photo).convert("RGB"))


def litert(images: list[np.ndarray]) -> list[np.ndarray]:
    interpreter = Interpreter(str(MEMBER))
    interpreter.allocate_tensors()
    image_in, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for image in images:
        interpreter.set_tensor(image_in["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(out["index"])[0] / np.float32(256))
    return found


def in_image_mode(vision: Any, make: Any, images: list[Any], options: dict[str, Any]) -> list[Any]:
    with vision.ImageClassifier.create_from_options(
        vision.ImageClassifierOptions(**options, running_mode=vision.RunningMode.IMAGE)
    ) as classifier:
        return [classifier.classify(make(image)) for image in images]


def in_video_mode(vision: Any, make: Any, images: list[Any], options: dict[str, Any]) -> list[Any]:
    with vision.ImageClassifier.create_from_options(
        vision.ImageClassifierOptions(**options, running_mode=vision.RunningMode.VIDEO)
    ) as classifier:
        return [classifier.classify_for_video(make(image), 40 * n) for n, image in enumerate(images)]


def in_live_stream_mode(vision: Any, make: Any, images: list[Any], options: dict[str, Any]) -> list[Any]:
    found: dict[int, Any] = {}
    came = threading.Event()

    def take(result: Any, image: Any, timestamp_ms: int) -> None:
        found[timestamp_ms] = result
        came.set()

    with vision.ImageClassifier.create_from_options(
        vision.ImageClassifierOptions(**options, running_mode=vision.RunningMode.LIVE_STREAM, result_callback=take)
    ) as classifier:
        for n, image in enumerate(images):
            came.clear()
            classifier.classify_async(make(image), 40 * n)
            # A frame that comes while another is being classified is dropped: so one after the other.
            assert came.wait(60)
    return [found[40 * n] for n in range(len(images))]


@pytest.mark.parametrize("mode", [in_image_mode, in_video_mode, in_live_stream_mode])
def test_mediapipe_gives_litert_s_answer_in_each_of_its_modes(mode: Callable[..., list[Any]]) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    metadata = read_metadata(MEMBER)
    assert metadata is not None

    def image(array: np.ndarray) -> Any:
        return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=array)

    images = [pixels(photo) for photo in PHOTOS]
    options = {"base_options": mediapipe.tasks.BaseOptions(model_asset_path=str(MEMBER))}
    results = mode(mediapipe.tasks.vision, image, images, options)
    assert len(results) == len(PHOTOS)
    for result, expected in zip(results, litert(images), strict=True):
        categories = result.classifications[0].categories
        assert [c.category_name for c in categories] == [metadata.labels[c.index] for c in categories]
        scores = {c.index: c.score for c in categories}
        np.testing.assert_allclose([scores[n] for n in range(len(expected))], expected, atol=1.01 / 256)


def test_mediapipe_shows_labels_in_the_language_that_an_app_asks_for(tmp_path: Path) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    vision = mediapipe.tasks.vision
    metadata = read_metadata(MEMBER)
    assert metadata is not None
    german = [f"Klasse {n} ü" for n in range(len(metadata.labels))]
    path = tmp_path / "model.tflite"
    path.write_bytes(
        add_metadata(
            MEMBER.read_bytes(), labels=metadata.labels, display_labels={"de": german, "fr": german}, **ABOUT
        )
    )
    read = read_metadata(path)
    assert read is not None
    assert read.labels == metadata.labels
    assert read.display_labels == {"de": tuple(german), "fr": tuple(german)}
    options = vision.ImageClassifierOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(path)), display_names_locale="de"
    )
    with vision.ImageClassifier.create_from_options(options) as classifier:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels(PHOTOS[0]))
        categories = classifier.classify(image).classifications[0].categories
    assert {c.index: c.category_name for c in categories} == dict(enumerate(metadata.labels))
    assert {c.index: c.display_name for c in categories} == dict(enumerate(german))
