"""What batch norm costs in training: Keras' composed one against TensorFlow's fused kernel.

    python benchmarks/batch_norm.py

Times a training step of the student backbone (width 1, 32 px) in float32 and bfloat16, the two interleaved.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import json
import time
from pathlib import Path

import keras
import numpy as np

from learn2compress.students.convnet import base, build_student
from learn2compress.train.joint import JointFamily
from learn2compress.train.trainable import FusedBatchNormalization, trainable

SIZE, BATCH, ROUNDS = (32, 32), 256, 12


class ComposedBatchNormalization(FusedBatchNormalization):
    """The same layer by Keras' own computation."""

    def call(self, inputs, training=None, mask=None):
        return keras.layers.BatchNormalization.call(self, inputs, training=training)


def family(dtype: str, fused: bool) -> JointFamily:
    member = trainable(build_student(base(SIZE, 1.0), 10), dtype, 0.97)
    if not fused:

        def clone(layer):
            kind = ComposedBatchNormalization if isinstance(layer, FusedBatchNormalization) else type(layer)
            return kind.from_config(layer.get_config())

        member = keras.models.clone_model(member, clone_function=clone)
    made = JointFamily([member], 3.0, 0.3)
    made.compile(optimizer=keras.optimizers.SGD(0.01, 0.9), jit_compile=False)
    return made


def main() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (BATCH, *SIZE, 3), np.uint8)
    targets = (rng.integers(0, 10, BATCH), np.log(rng.dirichlet(np.ones(10), BATCH)).astype(np.float32))
    cases = {(d, f): family(d, f) for d in ("float32", "mixed_bfloat16") for f in (False, True)}
    for case in cases.values():
        for _ in range(3):
            case.train_on_batch(pixels, targets)
    seconds = {key: [] for key in cases}
    for _ in range(ROUNDS):
        for key, case in cases.items():
            started = time.perf_counter()
            case.train_on_batch(pixels, targets)
            seconds[key].append(time.perf_counter() - started)
    rates = {key: BATCH / float(np.median(values)) for key, values in seconds.items()}
    print("| dtype | Keras, images/s | fused, images/s | ratio |\n| --- | --- | --- | --- |")
    rows = []
    for dtype in ("float32", "mixed_bfloat16"):
        composed, fused = rates[dtype, False], rates[dtype, True]
        rows.append({"dtype": dtype, "keras": round(composed), "fused": round(fused), "ratio": fused / composed})
        print(f"| {dtype} | {composed:.0f} | {fused:.0f} | {fused / composed:.2f} |")
    path = Path(__file__).resolve().parent / "results" / "batch_norm.json"
    path.write_text(json.dumps({"batch": BATCH, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
