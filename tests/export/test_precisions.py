"""Each precision, as a file: its ports, what it computes, what it says of itself, and what of it is in float32."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.core.precision import PRECISIONS, FileFormat, file_formats
from learn2compress.export.metadata import add_metadata, read_metadata
from learn2compress.export.write import write_member
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.measure.accuracy import softmax, tflite_probabilities
from learn2compress.measure.graph import describe, gives_logits
from learn2compress.stages.files import ready_to_write
from learn2compress.stages.float_parts import float_parts
from learn2compress.train.fake_quant import fake_quantize, set_tracking

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIZE, COUNT, CLASSES = 12, 48, 4
FORMATS = [
    *file_formats(list(PRECISIONS)),
    *file_formats(["int8", "float16", "int16x8"], output="logits"),
    *file_formats(["int8"], "int8", "int8"),
    *file_formats(["int8"], "float32", "uint8"),
    *file_formats(["int8"], "uint8", "float32", "logits"),
]
# It feeds uint8 or float32, and shows scores as they come.
FOR_MEDIAPIPE = [
    written
    for written in FORMATS
    if written.output == "probabilities" and "int8" not in (written.input_type, written.output_type)
]


@dataclass(frozen=True)
class Member:
    """Folded, and its calibrated fake-quantized twin; both give logits."""

    folded: Any
    quantized: Any
    photos: ArraySplit

    def logits(self, written: FileFormat) -> Any:
        return self.quantized if written.kind.rounded_in_training else self.folded


@pytest.fixture(scope="module")
def member() -> Member:
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (COUNT, 1, 1, 3))
    pixels = np.clip(base + random.normal(0, 50, (COUNT, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    bias = keras.initializers.RandomUniform(0.1, 0.3)
    x = layers.Conv2D(16, 3, strides=2, padding="same", bias_initializer=bias, name="stem")(image)
    x = layers.ReLU(6.0, name="stem_relu")(x)
    x = layers.Conv2D(24, 3, padding="same", bias_initializer=bias, name="conv")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU(name="relu")(x))
    x = layers.Dense(CLASSES, kernel_initializer="random_normal", name="logits")(x)
    folded = keras.Model(image, x)
    inputs = (pixels.astype(np.float32) - 128) / 128
    kernel, bias = folded.get_layer("logits").get_weights()
    logits = np.asarray(folded(inputs))
    scale = 3 / logits.std()
    folded.get_layer("logits").set_weights([kernel * scale, bias - logits.mean(axis=0) * scale])
    quantized = fake_quantize(folded)
    set_tracking(quantized, 1.0)
    quantized(inputs, training=True)
    set_tracking(quantized, 0.0)
    return Member(folded, quantized, ArraySplit(pixels, np.arange(COUNT) % CLASSES))


@pytest.fixture(scope="module")
def files(member: Member, tmp_path_factory: pytest.TempPathFactory) -> Callable[[FileFormat], Path]:
    """The file of each format, converted once."""
    made: dict[FileFormat, Path] = {}

    def file(written: FileFormat) -> Path:
        if written not in made:
            made[written] = written_file(member, written, tmp_path_factory.mktemp("files"))
        return made[written]

    return file


def written_file(member: Member, written: FileFormat, folder: Path) -> Path:
    floats = written.input_type == "float32"

    def about(model: bytes) -> bytes:
        return add_metadata(
            model,
            name="tiny",
            description="",
            version="1",
            author="",
            license="",
            labels=["a", "b", "c", "d"],
            input_mean=(0.0,) if floats else None,
            input_std=(1.0,) if floats else None,
            logits=written.output == "logits",
        )

    ready = ready_to_write(member.logits(written), written, "tiny")
    return write_member(
        ready, None, folder, "tiny", (SIZE, SIZE), about, written=written, samples=member.photos.stacked
    )


@pytest.mark.parametrize("written", FORMATS, ids=lambda w: f"{w.precision}-{w.input_type}-{w.output_type}-{w.output}")
def test_a_file_takes_pixels_as_they_are_and_agrees_with_its_model(
    member: Member, files: Callable[[FileFormat], Path], written: FileFormat
) -> None:
    path = files(written)
    inputs = (member.photos.stacked.astype(np.float32) - 128) / 128
    expected = softmax(np.asarray(member.logits(written)(inputs, training=False), np.float32))
    found = tflite_probabilities(path, member.photos)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.02)
    np.testing.assert_allclose(found, expected, atol=0.03 if written.precision != "float32" else 1e-5)
    description = describe(path)
    assert description.inputs[0].dtype.lower() == written.input_type
    assert description.outputs[0].dtype.lower() == written.output_type
    assert gives_logits(path) == (written.output == "logits")
    assert ("SOFTMAX" in description.ops) == (written.output == "probabilities")
    assert description.custom_ops == ()

    metadata = read_metadata(path)
    assert metadata is not None
    assert metadata.labels == ("a", "b", "c", "d")
    # What an app makes of a pixel by (pixel - mean) / std, and by quantizing that, is what was measured.
    if written.input_type == "float32":
        assert (metadata.input_mean, metadata.input_std) == ((0.0,), (1.0,))
    else:
        assert metadata.input_std == (128.0,)


@pytest.mark.parametrize("written", FORMATS, ids=lambda w: f"{w.precision}-{w.input_type}-{w.output_type}")
def test_everything_in_float32_in_an_integer_file_has_a_reason(
    files: Callable[[FileFormat], Path], written: FileFormat
) -> None:
    path = files(written)
    parts, unexplained = float_parts(path, written, {})
    assert unexplained == ()
    if not written.precision.startswith("int"):
        assert describe(path).float_islands
        return
    named = {label for part in parts for label in part.operators}
    assert named == set(describe(path).float_islands)
    assert bool(named) == ("float32" in (written.input_type, written.output_type))
    # The same file, had it been asked for as integer throughout, would not pass.
    assert float_parts(path, FileFormat(), {})[1] == describe(path).float_islands


def test_a_wider_precision_is_a_larger_file(files: Callable[[FileFormat], Path]) -> None:
    sizes = {
        written.precision: files(written).stat().st_size for written in file_formats(["float32", "float16", "int8"])
    }
    assert sizes["float32"] > 1.2 * sizes["float16"] > 1.2 * sizes["int8"]


@pytest.mark.parametrize("written", FOR_MEDIAPIPE, ids=lambda w: f"{w.precision}-{w.input_type}-{w.output_type}")
def test_mediapipe_gives_the_probabilities_that_are_measured(
    member: Member, files: Callable[[FileFormat], Path], written: FileFormat
) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    path = files(written)
    options = mediapipe.tasks.vision.ImageClassifierOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(path))
    )
    expected = tflite_probabilities(path, member.photos)
    tolerance = 1.01 / 256 if written.kind.rounded_in_training else 1e-3
    with mediapipe.tasks.vision.ImageClassifier.create_from_options(options) as classifier:
        for number in range(8):
            pixels = np.ascontiguousarray(member.photos.image(number))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            scores = {c.index: c.score for c in classifier.classify(image).classifications[0].categories}
            np.testing.assert_allclose([scores[n] for n in range(CLASSES)], expected[number], atol=tolerance)
