"""How much of a file XNNPACK runs: what it does not take runs on LiteRT's plain kernels, which are slower."""

from __future__ import annotations

from pathlib import Path

from learn2compress.core.family import Delegation
from learn2compress.measure.runtime import open_interpreter

DELEGATE = "DELEGATE"


def delegation(path: str | Path) -> Delegation:
    """How many of a file's operators LiteRT hands to XNNPACK here, in how many pieces, and which it does not.

    The interpreter lists the operators of the file, then one for each piece that a delegate has taken. What a piece
    runs is all that its outputs are computed by, back to its inputs.

    Raises:
        InputError: the file can't be read (`tflite.*`).
    """
    # The only list there is; its name says that it may change.
    listed = open_interpreter(path)._get_ops_details()
    own = [op for op in listed if op["op_name"] != DELEGATE]
    pieces = [op for op in listed if op["op_name"] == DELEGATE]
    producers = {int(tensor): number for number, op in enumerate(own) for tensor in op["outputs"]}
    taken: set[int] = set()
    for piece in pieces:
        ends = {int(tensor) for tensor in piece["inputs"]}
        waiting = [int(tensor) for tensor in piece["outputs"]]
        while waiting:
            number = producers.get(waiting.pop())
            if number is None or number in taken:
                continue
            taken.add(number)
            waiting += [int(tensor) for tensor in own[number]["inputs"] if int(tensor) not in ends]
    return Delegation(
        operators=len(own),
        delegated=len(taken),
        pieces=len(pieces),
        outside=tuple(op["op_name"] for number, op in enumerate(own) if number not in taken),
    )
