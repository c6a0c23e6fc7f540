from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.measure.accuracy import tflite_probabilities
from learn2compress.measure.runtime import Port, check_file, open_interpreter


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_an_input_error_and_no_crash(
    models: dict[str, Path], tmp_path: Path, share: float
) -> None:
    content = models["uint8"].read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError) as caught:
        open_interpreter(path)
    assert caught.value.code in {"tflite.not_tflite", "tflite.unreadable"}
    assert "cut.tflite" in caught.value.what
    assert caught.value.fix


def test_a_file_of_another_kind_is_refused_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "photo.tflite"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError) as caught:
        check_file(path)
    assert caught.value.code == "tflite.not_tflite"


def test_opening_prints_nothing(models: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    open_interpreter(models["uint8"]).invoke()
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_model_that_takes_no_rgb_image_is_refused(tmp_path: Path, photos: object) -> None:
    import contextlib
    import io

    import keras
    import tensorflow as tf

    vector = keras.Input((7,), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(vector, keras.layers.Dense(2)(vector)))
    with contextlib.redirect_stdout(io.StringIO()):
        (tmp_path / "vector.tflite").write_bytes(converter.convert())
    with pytest.raises(InputError) as caught:
        tflite_probabilities(tmp_path / "vector.tflite", photos)  # type: ignore[arg-type]
    assert caught.value.code == "tflite.input_shape"


def test_quantizing_and_dequantizing_are_inverse_and_clip() -> None:
    port = Port(0, (1,), np.dtype(np.int8), 0.5, -10)
    stored = np.arange(-128, 128).astype(np.int8)
    np.testing.assert_array_equal(port.quantize(port.dequantize(stored)), stored)
    np.testing.assert_array_equal(port.quantize(np.array([-1e6, 1e6])), [-128, 127])
