"""A trained member, on real photos, in the real client: MediaPipe's `ImageClassifier` loads the file from disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageFilter

from learn2compress.core.framing import FRAMINGS
from learn2compress.export.metadata import read_metadata
from learn2compress.inputs.geometry import fitted
from learn2compress.measure.graph import describe

ROOT = Path(__file__).parents[2]
# `small` of a `make demo`: the first 25 weight layers of the example's teacher, int8.
MEMBER = ROOT / "tests" / "fixtures" / "clothing_small.tflite"
PHOTOS = sorted((ROOT / "examples" / "clothing" / "photos" / "test").glob("*/*.jpg"))[::6]


def test_the_member_is_full_int8_with_standard_operators() -> None:
    file = describe(MEMBER)
    assert file.fully_integer
    assert not file.custom_ops
    assert [port.dtype for port in (*file.inputs, *file.outputs)] == ["UINT8", "UINT8"]


def test_labels_and_normalisation_stand_in_the_file() -> None:
    metadata = read_metadata(MEMBER)
    assert metadata is not None
    assert metadata.labels == tuple(sorted({photo.parent.name for photo in PHOTOS}))
    assert metadata.input_mean == (128.0,)
    assert metadata.input_std == (128.0,)


def test_mediapipe_names_real_photos_as_litert_does() -> None:
    mediapipe = pytest.importorskip("mediapipe")
    vision = mediapipe.tasks.vision
    options = vision.ImageClassifierOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(MEMBER)), max_results=1
    )
    metadata = read_metadata(MEMBER)
    assert metadata is not None
    interpreter = Interpreter(str(MEMBER))
    interpreter.allocate_tensors()
    image_in, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    right, same = [], []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for photo in PHOTOS:
            pixels = np.asarray(Image.open(photo).convert("RGB"))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            best = classifier.classify(image).classifications[0].categories[0]
            interpreter.set_tensor(image_in["index"], pixels[None])
            interpreter.invoke()
            scores = interpreter.get_tensor(out["index"])[0]
            right.append(best.category_name == photo.parent.name)
            same.append(scores[metadata.labels.index(best.category_name)] == scores.max())
    assert all(same)
    assert np.mean(right) > 0.7  # 0.798 on all 372 photos


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Between two sets of probabilities: 0 where they are the same, 1 where they have nothing in common."""
    return float(np.abs(one - other).sum() / 2)


def test_mediapipe_stretches_a_photo_of_another_shape_and_takes_one_of_the_models_size_as_it_is() -> None:
    """Why apps must crop a photo before MediaPipe gets it, as the code that is written for them does."""
    mediapipe = pytest.importorskip("mediapipe")
    vision = mediapipe.tasks.vision
    options = vision.ImageClassifierOptions(base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(MEMBER)))
    interpreter = Interpreter(str(MEMBER))
    interpreter.allocate_tensors()
    image_in, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def litert(pixels: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(image_in["index"], pixels[None])
        interpreter.invoke()
        scores: np.ndarray = interpreter.get_tensor(out["index"])[0] / np.float32(256)
        return scores

    off: dict[str, list[float]] = {"cropped": [], "whole, cropped": [], "whole, squeezed": []}
    with vision.ImageClassifier.create_from_options(options) as classifier:

        def seen(pixels: np.ndarray) -> np.ndarray:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
            found = classifier.classify(image).classifications[0].categories
            return np.array([category.score for category in sorted(found, key=lambda category: category.index)])

        for photo in PHOTOS[:20]:
            # 4:3, and smooth, so that it matters little by which filter it is scaled.
            whole = Image.open(photo).convert("RGB").resize((128, 96)).filter(ImageFilter.GaussianBlur(1))
            cropped, squeezed = (fitted(whole, (96, 96), framing) for framing in FRAMINGS)
            off["cropped"].append(float(np.abs(seen(cropped) - litert(cropped)).max()))
            as_it_is = seen(np.asarray(whole))
            off["whole, cropped"].append(distance(as_it_is, litert(cropped)))
            off["whole, squeezed"].append(distance(as_it_is, litert(squeezed)))
    assert max(off["cropped"]) < 1.01 / 256
    assert np.mean(off["whole, squeezed"]) < 0.05
    assert np.mean(off["whole, cropped"]) > 0.1
