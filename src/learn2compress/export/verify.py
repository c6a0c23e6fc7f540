"""Verification: the written file must behave like the model it was made from, on real images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.errors import VerificationError
from learn2compress.core.family import Verification

LEAST_AGREEMENT = 0.99


def verify(
    name: str,
    from_file: NDArray[np.float32],
    from_model: NDArray[np.float32],
    float_ops: int,
    *,
    least_agreement: float = LEAST_AGREEMENT,
    where: str = "",
) -> Verification:
    """Compares the file's probabilities with the trained model's.

    Args:
        name: the member, for the message.
        from_file, from_model: probabilities (images, classes) on the same images.
        float_ops: operators in the file that compute in float32 without a reason.
        least_agreement: share of the images on which both must name the same class; of few images one may differ.
        where: names of those operators, for the message.

    Raises:
        VerificationError: `verify.float_island` or `verify.disagrees`.
    """
    if float_ops:
        raise VerificationError(
            "verify.float_island",
            f"The file of {name} has {float_ops} operators that compute in float32; it should have none"
            f"{f' but those that are named: {where}' if where else ''}.",
        )
    if not np.isfinite(from_file).all() or from_file.shape != from_model.shape:
        raise VerificationError("verify.disagrees", f"The outputs of the file of {name} are not usable.")
    classes = from_file.shape[1]
    difference = float(np.abs(from_file - from_model).max())
    # Both are rounded to 1/256, so two classes can tie for the first place, in the one or in the other: either of
    # them will do. More than two are no tie but a file that does not tell classes apart.
    first_in_file = from_file >= from_file.max(axis=1, keepdims=True) - 1e-6
    first_in_model = from_model >= from_model.max(axis=1, keepdims=True) - 1e-6
    same = (first_in_file & first_in_model).any(axis=1) & (first_in_file.sum(axis=1) <= min(2, classes - 1))
    agreement, images = float(same.mean()), len(same)
    # Among fewer than a hundred images a single one is more than 1 %, and one that the model itself is torn about
    # is no sign that the file is another model. Where there is only one, it has to agree.
    share = math.floor((1 - least_agreement) * images + 1e-9)
    differing, allowed = images - int(same.sum()), max(min(1, images - 1), share)
    if differing > allowed:
        raise VerificationError(
            "verify.disagrees",
            f"The file of {name} agrees with the trained model on {100 * agreement:.1f} % of {images} images: "
            f"{differing} differ, {allowed} may (largest probability difference {difference:.3f}).",
        )
    return Verification(images=images, top1_agreement=agreement, max_probability_difference=round(difference, 6))
