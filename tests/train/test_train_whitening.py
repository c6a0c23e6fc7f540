"""The stem starts as filters that decorrelate pixels."""

from __future__ import annotations

import numpy as np

from learn2compress.train.whitening import whiten_stems, whitening_filters


def pictures(count: int = 200) -> np.ndarray:
    """Smooth pictures: neighbouring pixels say nearly the same."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(coarse + rng.normal(0, 10, coarse.shape), 0, 255).astype(np.uint8)


def test_responses_are_uncorrelated_and_of_equal_size() -> None:
    images = pictures()
    filters = whitening_filters(images, 2).reshape(12, 12)
    windows = np.lib.stride_tricks.sliding_window_view((images - 128.0) / 128, (2, 2), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12)
    responses = patches @ filters
    covariance = responses.T @ responses / len(responses)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=0.1)
    raw = patches.T @ patches / len(patches)
    assert np.linalg.cond(covariance) < 2
    assert np.linalg.cond(raw) > 20


def test_each_filter_comes_with_both_signs_and_the_stems_of_all_members_are_equal() -> None:
    from keras import Input, Model, layers

    def member(channels: int) -> Model:
        image = Input((16, 16, 3))
        return Model(image, layers.Conv2D(channels, 2, use_bias=False)(image))

    members = [member(28), member(8)]
    random = members[0].get_weights()[0]
    whiten_stems(members, pictures())
    wide, narrow = (model.get_weights()[0] for model in members)
    np.testing.assert_array_equal(wide[..., 0:24:2], -wide[..., 1:24:2])
    np.testing.assert_array_equal(wide[..., :8], narrow)
    np.testing.assert_array_equal(wide[..., 24:], random[..., 24:])
