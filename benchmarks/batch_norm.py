"""What batch norm costs in training: Keras' composed one against TensorFlow's fused kernel.

    python benchmarks/batch_norm.py [--rounds 12]

Times a training step of the student backbone (width 1, 32 px) in float32 and bfloat16, all cases in turns. In
bfloat16 the fused kernel is slow for channels that are no multiple of 16, of which the stem has 24: those norms are
kept in float32, and the last case shows what that saves.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import argparse
import time
from statistics import median
from typing import Any

import keras
import numpy as np
from _harness import write_result
from rich.console import Console
from rich.table import Table

from learn2compress.students.convnet import base, build_student
from learn2compress.train.joint import JointFamily
from learn2compress.train.trainable import FusedBatchNormalization, trainable

SIZE, BATCH = (32, 32), 256
COMPOSED, FUSED, CHOSEN = "Keras' own", "fused", "fused, float32 where bfloat16 is slow"
CASES = tuple((dtype, norm) for dtype in ("float32", "mixed_bfloat16") for norm in (COMPOSED, FUSED, CHOSEN))


class ComposedBatchNormalization(FusedBatchNormalization):
    """The same layer by Keras' own computation."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return keras.layers.BatchNormalization.call(self, inputs, training=training)


def family(dtype: str, norm: str) -> JointFamily:
    """The student alone, its batch norms of this kind, compiled."""
    member = trainable(build_student(base(SIZE, 1.0), 10), dtype, 0.97)

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if not isinstance(layer, FusedBatchNormalization):
            return type(layer).from_config(config)
        kind = ComposedBatchNormalization if norm == COMPOSED else FusedBatchNormalization
        return kind.from_config({**config, "dtype": dtype})

    if norm != CHOSEN:
        member = keras.models.clone_model(member, clone_function=clone)
    made = JointFamily([member], 3.0, 0.3)
    made.compile(optimizer=keras.optimizers.SGD(0.01, 0.9), jit_compile=False)
    return made


def main() -> None:
    """Times all cases, prints the table and writes it to `results/`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (BATCH, *SIZE, 3), np.uint8)
    targets = (rng.integers(0, 10, BATCH), np.log(rng.dirichlet(np.ones(10), BATCH)).astype(np.float32))
    cases = {case: family(*case) for case in CASES}
    for case in cases.values():
        for _ in range(3):
            case.train_on_batch(pixels, targets)
    seconds: dict[tuple[str, str], list[float]] = {case: [] for case in CASES}
    for _ in range(rounds):
        for key, case in cases.items():
            started = time.perf_counter()
            case.train_on_batch(pixels, targets)
            seconds[key].append(time.perf_counter() - started)
    table = Table("dtype", "batch norm", "images/s", "times as fast as Keras' own")
    rows = []
    for dtype, norm in CASES:
        rate, ratio = (
            BATCH / median(seconds[dtype, norm]),
            median(seconds[dtype, COMPOSED]) / median(seconds[dtype, norm]),
        )
        rows.append({"dtype": dtype, "batch_norm": norm, "images_per_second": round(rate), "ratio": round(ratio, 3)})
        table.add_row(dtype, norm, f"{rate:.0f}", f"{ratio:.2f}")
    Console().print(table)
    write_result("batch_norm", f"python benchmarks/batch_norm.py --rounds {rounds}", batch=BATCH, rows=rows)


if __name__ == "__main__":
    main()
