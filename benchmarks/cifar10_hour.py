"""An hour on CIFAR-10 with the ResNet-56 teacher, against int8 models of the same sizes that people use today.

    python benchmarks/cifar10_hour.py [--budget 60m]

References: MLPerf Tiny's published int8 ResNet-8 (98,496 bytes, 86.97 %), and ResNet-20 (91.73 % as float32) as the
converter's post-training int8. Latencies are taken in turns with theirs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from _harness import Goal, find_data, find_teachers, main

from learn2compress.core.family import Family

SMALL, LARGE = 98_496, 316_000
GOALS = (
    Goal("at most 98,496 bytes", lambda m: (m.size_bytes or 0) <= SMALL, least_accuracy=0.89),
    Goal("at most 316 kB", lambda m: (m.size_bytes or 0) <= LARGE, least_accuracy=0.92),
)
RESNET8 = "mlperf_tiny_resnet8_cifar10_int8.tflite"


def beside_references(family: Family) -> dict[str, Any]:
    """Latency of the members and of the references, in one interleaved run; the smaller beside ResNet-8."""
    import numpy as np

    from learn2compress.export.write import write_baselines
    from learn2compress.inputs.dataset import load_dataset
    from learn2compress.inputs.symbolic import pixels_to_probabilities
    from learn2compress.inputs.teacher import load_teacher
    from learn2compress.measure.latency import latencies

    dataset = load_dataset(find_data() / "cifar10.npz", seed=0)
    resnet20 = load_teacher(find_teachers() / "resnet20_cifar10.keras", dataset=dataset)
    samples = dataset.train.batch(np.arange(100), (32, 32))
    with tempfile.TemporaryDirectory() as folder:
        _, int8 = write_baselines(pixels_to_probabilities(resnet20), (32, 32), samples, Path(folder))
        large, small = family.members[0], family.members[-1]
        files = [family.path(large), int8, family.path(small), find_teachers() / RESNET8]
        medians = [latency.median for latency in latencies(files)]
    pairs = (("large beside ResNet-20", medians[:2]), ("small beside ResNet-8", medians[2:]))
    return {
        "latency_beside_references": {
            name: {"ms": own, "reference_ms": theirs, "ratio": own / theirs, "reached": own <= theirs}
            for name, (own, theirs) in pairs
        }
    }


if __name__ == "__main__":
    main(
        name="cifar10_hour",
        teacher="resnet56_cifar10.keras",
        data="cifar10.npz",
        targets=(f"size<={LARGE}", f"size<={SMALL}"),
        students=2,
        goals=GOALS,
        route="fresh",
        budget="60m",
        also=beside_references,
    )
