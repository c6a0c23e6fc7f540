"""A file that does not behave like its model does not pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learn2compress.core.errors import VerificationError
from learn2compress.export.verify import LEAST_AGREEMENT, verify


def outputs(count: int, seed: int = 0) -> np.ndarray:
    """Probabilities in steps of 1/256, the first place clear of the second."""
    random = np.random.default_rng(seed)
    first = random.integers(0, 4, count)
    found = np.full((count, 4), 16 / 256, np.float32)
    found[np.arange(count), first] = 200 / 256
    return found


@given(wrong=st.integers(0, 200))
def test_a_file_passes_when_at_most_one_image_in_a_hundred_differs(wrong: int) -> None:
    of_model = outputs(200)
    of_file = of_model.copy()
    of_file[:wrong] = np.roll(of_file[:wrong], 1, axis=1)
    if wrong <= (1 - LEAST_AGREEMENT) * 200:
        found = verify("tiny", of_file, of_model, 0)
        assert found.top1_agreement == pytest.approx(1 - wrong / 200)
        assert found.images == 200
    else:
        with pytest.raises(VerificationError, match="tiny") as caught:
            verify("tiny", of_file, of_model, 0)
        assert caught.value.code == "verify.disagrees"


@given(count=st.integers(2, 99), seed=st.integers(0, 99))
def test_of_few_images_one_may_differ_and_not_two(count: int, seed: int) -> None:
    of_model = outputs(count, seed)
    of_file = of_model.copy()
    of_file[-1] = np.roll(of_file[-1], 1)
    assert verify("tiny", of_file, of_model, 0).top1_agreement == pytest.approx(1 - 1 / count)
    of_file[0] = np.roll(of_file[0], 1)
    with pytest.raises(VerificationError, match="2 differ, 1 may"):
        verify("tiny", of_file, of_model, 0)


def test_a_single_image_has_to_agree() -> None:
    with pytest.raises(VerificationError):
        verify("tiny", np.roll(outputs(1), 1, axis=1), outputs(1), 0)


@pytest.mark.parametrize(("least", "allowed"), [(0.99, 10), (0.97, 30), (0.95, 50), (0.995, 5)])
def test_of_many_images_the_share_of_the_precision_may_differ(least: float, allowed: int) -> None:
    of_model = outputs(1000)
    of_file = of_model.copy()
    of_file[:allowed] = np.roll(of_file[:allowed], 1, axis=1)
    verify("tiny", of_file, of_model, 0, least_agreement=least)
    of_file[allowed] = np.roll(of_file[allowed], 1)
    with pytest.raises(VerificationError):
        verify("tiny", of_file, of_model, 0, least_agreement=least)


def test_the_largest_difference_is_reported() -> None:
    of_model = outputs(10)
    of_file = of_model.copy()
    of_file[3, 0] += 5 / 256
    assert verify("tiny", of_file, of_model, 0).max_probability_difference == pytest.approx(5 / 256, abs=1e-6)


def test_where_two_classes_tie_either_is_right() -> None:
    of_model = np.array([[0.5, 0.5, 0.0]] * 3, np.float32)
    of_file = np.array([[0.49, 0.5, 0.01]] * 3, np.float32)
    assert verify("tiny", of_file, of_model, 0).top1_agreement == 1


def test_a_file_that_computes_in_float_is_refused() -> None:
    with pytest.raises(VerificationError) as caught:
        verify("tiny", outputs(10), outputs(10), 2)
    assert caught.value.code == "verify.float_island"


@pytest.mark.parametrize("broken", [np.full((10, 4), np.nan, np.float32), np.zeros((10, 3), np.float32)])
def test_outputs_that_are_no_probabilities_of_the_classes_are_refused(broken: np.ndarray) -> None:
    with pytest.raises(VerificationError) as caught:
        verify("tiny", broken, outputs(10), 0)
    assert caught.value.code == "verify.disagrees"


def test_a_file_that_says_the_same_of_all_classes_does_not_pass() -> None:
    with pytest.raises(VerificationError):
        verify("tiny", np.full((10, 4), 0.25, np.float32), outputs(10), 0)


def test_a_tie_in_the_file_between_two_classes_is_no_disagreement() -> None:
    of_model = np.array([[0.49, 0.5, 0.01]] * 3, np.float32)
    of_file = np.array([[0.5, 0.5, 0.0]] * 3, np.float32)
    assert verify("tiny", of_file, of_model, 0).top1_agreement == 1
