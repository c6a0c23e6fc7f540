"""What a member keeps of a model: units of channel groups, and blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Choice:
    """What a member keeps of the model.

    Attributes:
        kept: for the index of a group, the units kept, ascending. A group that is not named keeps all.
        removed: names of removed blocks.
    """

    kept: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
