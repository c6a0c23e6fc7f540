"""One student of the CIFAR-10 teacher in every precision: size, latency, accuracy, and how much of it XNNPACK runs.

    python benchmarks/precision.py [--budget 3m]

The files are of one training and are timed in turns.
"""

from __future__ import annotations

from typing import Any

from _harness import main

from learn2compress.core.family import Family
from learn2compress.core.precision import PRECISIONS
from learn2compress.measure.delegation import delegation


def shares(family: Family) -> dict[str, Any]:
    """For each member, what XNNPACK takes."""
    found = {member.name: delegation(family.path(member)).model_dump(mode="json") for member in family.members}
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
