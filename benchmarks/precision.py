"""One student of the CIFAR-10 teacher in every precision: size, latency, accuracy, and how much of it XNNPACK runs.

    python benchmarks/precision.py [--budget 3m]

The files are of one training and are timed in turns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _harness import main

from learn2compress.core.family import Family
from learn2compress.core.precision import PRECISIONS


def share_of_xnnpack(path: Path) -> dict[str, Any]:
    """How many of a file's operators LiteRT hands to XNNPACK, in how many pieces, and which it does not.

    The interpreter lists the operators of the file, then one for each piece that a delegate has taken. What a piece
    runs is all that its outputs are computed by, back to its inputs.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    listed = interpreter._get_ops_details()
    own = [op for op in listed if op["op_name"] != "DELEGATE"]
    pieces = [op for op in listed if op["op_name"] == "DELEGATE"]
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
    return {
        "operators": len(own),
        "delegated": len(taken),
        "pieces": len(pieces),
        "outside": [op["op_name"] for number, op in enumerate(own) if number not in taken],
    }


def shares(family: Family) -> dict[str, Any]:
    """For each member, what XNNPACK takes."""
    found = {member.name: share_of_xnnpack(family.path(member)) for member in family.members}
    for name, share in found.items():
        print(f"{name}: {share['delegated']} of {share['operators']} operators; outside: {share['outside']}")
    return {"xnnpack": found}


if __name__ == "__main__":
    main(
        name="precision",
        teacher="resnet56_cifar10.keras",
        data="cifar10.npz",
        targets=(),
        goals=(),
        students=1,
        route="fresh",
        budget="3m",
        more=("--precision", ",".join(PRECISIONS)),
        also=shares,
    )
