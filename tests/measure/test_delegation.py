from __future__ import annotations

from pathlib import Path

import pytest

from learn2compress.core.errors import InputError
from learn2compress.measure.delegation import delegation

CLOTHING = Path(__file__).parents[1] / "fixtures" / "clothing_small.tflite"


def test_what_xnnpack_runs_is_counted() -> None:
    found = delegation(CLOTHING)
    assert 0 < found.delegated <= found.operators
    assert found.delegated + len(found.outside) == found.operators
    assert found.pieces >= 1
    assert found.words.startswith(f"{found.delegated} of {found.operators} operators, ")


def test_an_operator_that_xnnpack_has_no_kernel_for_is_named(tmp_path: Path) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 4, 4, 8), tf.float32)])
    def call(x: tf.Tensor) -> tf.Tensor:
        y = tf.cumsum(tf.nn.relu(x * 2.0), axis=1)
        return tf.nn.relu(y * 3.0)

    path = tmp_path / "cumsum.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function()]).convert())
    found = delegation(path)
    assert found.outside == ("CUMSUM",)
    assert found.pieces == 2
    assert found.words.endswith("2 pieces")


def test_a_damaged_file_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(CLOTHING.read_bytes()[:900])
    with pytest.raises(InputError) as caught:
        delegation(path)
    assert caught.value.code == "tflite.unreadable"
