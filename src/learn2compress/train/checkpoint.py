"""Training that is interrupted goes on: weights, optimizer and place are kept every half minute."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learn2compress.core.whole_files import write_whole
from learn2compress.train.joint import JointFamily

EVERY_SECONDS = 30.0
# What reading a file raises that is damaged, of another kind, or not there.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Reached:
    """How far a training came.

    Attributes:
        done: steps taken.
        steps: steps there were to be, as last corrected.
        share: of the schedule that is done.
        elapsed: seconds of training.
        waited: of these, seconds in which it waited for a batch.
        finished: whether this was all; then the optimizer is not kept.
        seconds: that all steps may take, what went before the first one taken off; 0 where their number stands.
        dtype: policy of the layers that are trained; empty where that was not told.
        batch_size: images a step, once it is finished; 0 where that was not told.
    """

    done: int
    steps: int
    share: float
    elapsed: float
    waited: float = 0.0
    finished: bool = False
    seconds: float = 0.0
    dtype: str = ""
    batch_size: int = 0


class TrainingCheckpoint:
    """One file that is replaced whole.

    Args:
        path: of the file, `.npz`.
        on_saved: called after each time.
    """

    def __init__(self, path: Path, on_saved: Callable[[], None] = lambda: None) -> None:
        self._path, self._on_saved = path, on_saved
        self._last = time.monotonic()

    def reached(self) -> Reached | None:
        """How far the training came that was kept; None where none was, or it can't be read."""
        try:
            with np.load(self._path) as kept:
                return _reached(kept)
        except UNREADABLE:
            return None

    def begun_in(self) -> str:
        """The dtype policy that what was kept is trained in; empty where nothing was kept, or that was not told."""
        reached = self.reached()
        return reached.dtype if reached else ""

    def load(self, family: JointFamily) -> Reached | None:
        """Sets the family and its optimizer to what was kept.

        Returns:
            How far it was; None, with nothing set, where nothing was kept or what was kept is of another family.
        """
        try:
            with np.load(self._path) as kept:
                reached = _reached(kept)
                arrays = [kept[f"v{number}"] for number in range(len(kept.files) - 1)]
        except UNREADABLE:
            return None
        variables = self._variables(family, finished=reached.finished)
        if [tuple(v.shape) for v in variables] != [array.shape for array in arrays]:
            return None
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return reached

    def save(self, family: JointFamily, reached: Reached) -> None:
        """Keeps the family as it is."""
        variables = self._variables(family, finished=reached.finished)
        arrays = {f"v{number}": np.asarray(variable.value) for number, variable in enumerate(variables)}
        content = io.BytesIO()
        np.savez(content, reached=np.array(json.dumps(asdict(reached))), **arrays)  # type: ignore[arg-type]
        write_whole(self._path, content.getbuffer())
        self._on_saved()
        self._last = time.monotonic()

    def save_now_and_then(self, family: JointFamily, reached: Reached) -> None:
        """The same, where the last time is long enough ago."""
        if time.monotonic() - self._last >= EVERY_SECONDS:
            self.save(family, reached)

    @staticmethod
    def _variables(family: JointFamily, *, finished: bool) -> list[Any]:
        own = [variable for model in family.models for variable in model.variables]
        if finished:
            return own
        family.optimizer.build(family.trainable_variables)
        return own + list(family.optimizer.variables)


def _reached(kept: Any) -> Reached:
    return Reached(**json.loads(str(kept["reached"])))
