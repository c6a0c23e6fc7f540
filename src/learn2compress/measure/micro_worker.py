"""Finds the smallest arena a file runs in; run as `python -m learn2compress.measure.micro_worker`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from learn2compress.core.errors import InputError
from learn2compress.measure.micro import open_micro
from learn2compress.measure.process import answer


def reply(request: dict[str, Any]) -> dict[str, Any]:
    """`{"arena_bytes": n}`; `micro.py` says what is counted."""
    path, step = Path(request["file"]), request["step"]
    enough = request["guess"]
    while not _runs(path, enough):
        enough *= 2
        if enough > request["largest"]:
            open_micro(path, enough // 2)  # says why
            raise InputError("micro.refused", f"{path} runs in no arena.", "choose another member.")
    short = 0
    while enough - short > step:
        middle = (short + enough) // 2
        short, enough = (short, middle) if _runs(path, middle) else (middle, enough)
    return {"arena_bytes": enough}


def _runs(path: Path, arena_bytes: int) -> bool:
    try:
        interpreter = open_micro(path, arena_bytes)
        detail = interpreter.get_input_details(0)
        interpreter.set_input(np.zeros(detail["shape"], detail["dtype"]), 0)
        interpreter.invoke()
    except (InputError, RuntimeError, ValueError):
        return False
    return True


if __name__ == "__main__":
    answer(reply)
