"""The form a member is trained in computes what the plain form computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from learn2compress.train.optimizers import ConvMuon, orthogonalized
from learn2compress.train.trainable import FusedBatchNormalization, plain, trainable, with_pixels


def pair(channels: int, seed: int, **more: Any) -> tuple[Any, Any]:
    """Keras' batch norm and ours, with the same weights."""
    import keras

    rng = np.random.default_rng(seed)
    norms = [kind(momentum=0.9, **more) for kind in (keras.layers.BatchNormalization, FusedBatchNormalization)]
    weights = [rng.normal(size=channels), rng.normal(size=channels), rng.normal(size=channels)]
    weights.append(rng.uniform(0.1, 2, channels))
    for norm in norms:
        norm.build((None, 5, 4, channels))
        norm.set_weights(weights)
    return norms[0], norms[1]


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 2**16), count=st.integers(2, 8), channels=st.integers(1, 9))
def test_the_fused_batch_norm_computes_what_keras_computes(seed: int, count: int, channels: int) -> None:
    of_keras, fused = pair(channels, seed)
    x = np.random.default_rng(seed).normal(1, 3, (count, 5, 4, channels)).astype(np.float32)
    for training in (False, True):
        expected = np.asarray(of_keras(x, training=training))
        np.testing.assert_allclose(np.asarray(fused(x, training=training)), expected, atol=1e-4)
    np.testing.assert_allclose(fused.moving_mean, of_keras.moving_mean, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_fused_batch_norm_tracks_the_variance_that_keras_tracks(count: int) -> None:
    of_keras, fused = pair(3, 0)
    x = np.random.default_rng(0).normal(1, 3, (count, 5, 4, 3)).astype(np.float32)
    for norm in (of_keras, fused):
        norm(x, training=True)
    np.testing.assert_allclose(fused.moving_variance, of_keras.moving_variance, rtol=1e-4)


def test_a_frozen_batch_norm_keeps_its_statistics() -> None:
    of_keras, fused = pair(3, 0)
    x = np.random.default_rng(0).normal(1, 3, (4, 5, 4, 3)).astype(np.float32)
    for norm in (of_keras, fused):
        norm.trainable = False
    before = np.asarray(fused.moving_mean)
    np.testing.assert_allclose(np.asarray(fused(x, training=True)), np.asarray(of_keras(x, training=True)), atol=1e-4)
    np.testing.assert_array_equal(fused.moving_mean, before)


def test_a_batch_norm_on_vectors_is_keras_own() -> None:
    import keras

    fused, of_keras = FusedBatchNormalization(), keras.layers.BatchNormalization()
    x = np.random.default_rng(0).normal(2, 3, (16, 5)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(fused(x, training=True)), np.asarray(of_keras(x, training=True)), atol=1e-5)
    np.testing.assert_allclose(fused.moving_variance, of_keras.moving_variance, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_member_is_the_same_before_and_after_it_is_made_trainable(
    tiny_member: Callable[..., Any], dtype: str
) -> None:
    model = tiny_member(8)
    rng = np.random.default_rng(0)
    model.set_weights([np.abs(rng.normal(0.3, 0.2, w.shape)) for w in model.get_weights()])
    x = rng.uniform(-1, 1, (4, 12, 12, 3)).astype(np.float32)
    expected = np.asarray(model(x))
    copy = trainable(model, dtype, 0.5)
    norms = [layer for layer in copy.layers if "BatchNormalization" in type(layer).__name__]
    assert norms
    assert all(type(norm) is FusedBatchNormalization and norm.momentum == 0.5 for norm in norms)
    again = plain(copy)
    assert not any(type(layer) is FusedBatchNormalization for layer in again.layers)
    assert {layer.dtype_policy.name for layer in again.layers} == {"float32"}
    np.testing.assert_allclose(np.asarray(again(x)), expected, rtol=1e-5, atol=1e-5)
    # bfloat16 has eight bits of mantissa.
    tolerance = 1e-5 if dtype == "float32" else 0.05
    np.testing.assert_allclose(np.asarray(copy(x)), expected, rtol=tolerance, atol=tolerance)
    assert copy.output.dtype == "float32"


def test_only_batch_norms_that_are_fast_in_bfloat16_are_trained_in_it() -> None:
    import keras

    inputs = keras.Input((8, 8, 3))
    x = inputs
    for channels in (24, 32, 40, 48):
        x = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"conv{channels}")(x)
        x = keras.layers.BatchNormalization(name=f"norm{channels}")(x)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    model = trainable(keras.Model(inputs, outputs), "mixed_bfloat16", 0.9)
    for channels in (24, 32, 40, 48):
        assert model.get_layer(f"conv{channels}").compute_dtype == "bfloat16"
        expected = "bfloat16" if channels % 16 == 0 else "float32"
        assert model.get_layer(f"norm{channels}").compute_dtype == expected


def test_a_kept_model_takes_pixels_and_gives_probabilities(tiny_member: Callable[..., Any]) -> None:
    member = tiny_member(8)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3)).astype(np.float32)
    found = np.asarray(with_pixels(member, "kept")(pixels))
    logits = np.asarray(member((pixels - 128) / 128))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (20, 6), (6, 20), (72, 16)])
def test_an_orthogonalized_matrix_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = np.asarray(orthogonalized(matrix))
    assert found.shape == shape
    singular = np.linalg.svd(found, compute_uv=False)
    spread = np.linalg.svd(matrix, compute_uv=False)
    assert singular.max() < 1.5
    assert singular.max() / singular.min() < 0.7 * spread.max() / spread.min()
    # The directions stay: it is the same rotation that is nearest to either.
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    assert np.trace(u.T @ found @ v.T) > 0.5 * min(shape)


def test_the_optimizer_learns_a_small_problem() -> None:
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 4))
    x = keras.layers.Conv2D(8, 3, activation="relu")(image)
    x = keras.layers.DepthwiseConv2D(3)(x)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(64, 6, 6, 4)).astype(np.float32)
    wanted = inputs.mean(axis=(1, 2))[:, :2] * 5
    model.compile(ConvMuon(0.02, decay=1e-4), "mse")
    before = model.evaluate(inputs, wanted, verbose=0)
    model.fit(inputs, wanted, batch_size=32, epochs=40, verbose=0)
    assert model.evaluate(inputs, wanted, verbose=0) < 0.2 * before


def test_the_optimizer_is_read_back_from_its_configuration() -> None:
    optimizer = ConvMuon(0.02, other=0.5, momentum=0.8, decay=0.1)
    again = ConvMuon.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
