"""The teacher's baselines compute what the teacher computes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.core.errors import ConversionError
from learn2compress.export.write import write_baselines
from learn2compress.measure.graph import describe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SIZE = (10, 8)


@pytest.fixture(scope="module")
def teacher() -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((*SIZE, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.BatchNormalization()(layers.Conv2D(64, 5, activation="swish")(x))
    x = layers.Dense(4, kernel_initializer="random_normal")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Softmax()(x))


def run(path: Path, images: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image_in, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = out["quantization"]
    outputs = []
    for image in images:
        interpreter.set_tensor(image_in["index"], image[None].astype(image_in["dtype"]))
        interpreter.invoke()
        stored = interpreter.get_tensor(out["index"])[0].astype(np.float32)
        outputs.append((stored - zero_point) * scale if scale else stored)
    return np.stack(outputs)


def test_both_baselines_take_pixels_and_say_what_the_teacher_says(teacher: Any, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (32, *SIZE, 3), np.uint8)
    float32, int8 = write_baselines(lambda x: teacher(x, training=False), SIZE, images, tmp_path / "baseline")
    expected = np.asarray(teacher(images.astype(np.float32)))
    np.testing.assert_allclose(run(float32, images), expected, atol=1e-5)
    np.testing.assert_allclose(run(int8, images), expected, atol=0.03)
    assert describe(float32).inputs[0].dtype == "FLOAT32"
    found = describe(int8)
    assert found.fully_integer
    assert (found.inputs[0].dtype, found.inputs[0].shape) == ("UINT8", (1, *SIZE, 3))
    assert int8.stat().st_size < float32.stat().st_size


def test_a_teacher_that_litert_has_no_operators_for_is_refused_quietly(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import tensorflow as tf

    def strange(image: Any) -> Any:
        return tf.reshape(tf.linalg.det(tf.reshape(image[0, :9, :, 0][:8, :8], (1, 8, 8))), (1, 1))

    with pytest.raises(ConversionError, match="the teacher") as caught:
        write_baselines(strange, SIZE, np.zeros((1, *SIZE, 3), np.uint8), tmp_path)
    assert caught.value.code == "export.failed"
    assert list(tmp_path.iterdir()) == []
    assert "det" not in capfd.readouterr().err.lower()
