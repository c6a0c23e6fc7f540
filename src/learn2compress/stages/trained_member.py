"""A member before and after quantization-aware training, and which of the two is right more often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Dataset
from learn2compress.core.member import MemberSpec
from learn2compress.core.precision import FileFormat
from learn2compress.train.quantize import folded, right, unquantized


@dataclass(frozen=True)
class TrainedMember:
    """A member when training is over. Run on each split only once, and only when somebody asks.

    Attributes:
        spec: what it is.
        trained: before quantization-aware training.
        quantized: after it; None where no file needs that.
        dataset: whose validation and test split it is run on.
    """

    spec: MemberSpec
    trained: keras.Model
    quantized: keras.Model | None
    dataset: Dataset

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its images."""
        return self.spec.input_size

    @cached_property
    def right_before(self) -> NDArray[np.bool_]:
        """Which validation images it is right about before quantization-aware training, (n,)."""
        return right(self._folded, self.dataset.validation, self.size)

    @cached_property
    def accuracy_before(self) -> list[float]:
        """On the validation and on the test split, before quantization-aware training."""
        test = right(self._folded, self.dataset.test, self.size)
        return [float(self.right_before.mean()), float(test.mean())]

    @cached_property
    def accuracy_unrounded(self) -> list[float]:
        """On both splits, of the weights after quantization-aware training without their rounding."""
        model = self.unrounded(tuned=True)
        splits = (self.dataset.validation, self.dataset.test)
        return [float(right(model, split, self.size).mean()) for split in splits]

    def unrounded(self, *, tuned: bool) -> keras.Model:
        """The member in float32, made anew: with the weights after quantization-aware training, or before."""
        model = folded(self.trained)
        return unquantized(self.quantized, model) if tuned and self.quantized is not None else model

    @cached_property
    def _folded(self) -> keras.Model:
        return self.unrounded(tuned=False)


def float_weights(member: TrainedMember, formats: Sequence[FileFormat]) -> dict[str, Any]:
    """The weights of a file that is not rounded in training: those that are right more often on validation images.

    Quantization-aware training is training too: where it ran, the weights behind its rounding may be the better ones.
    Where every file is rounded in training nobody asks for them.

    Returns:
        `before`: accuracy on the validation and the test split of the member before quantization-aware training.
        `tuned`: whether the weights after it are the better ones; `best`: accuracy of the better ones.
    """
    before = after = member.accuracy_before
    if member.quantized is not None and not all(written.kind.rounded_in_training for written in formats):
        after = member.accuracy_unrounded
    tuned = after[0] > before[0]
    return {"before": before, "tuned": tuned, "best": after if tuned else before}
