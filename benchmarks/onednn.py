"""What oneDNN's kernels do for the pace of training: the same steps with TensorFlow's own kernels and with oneDNN's.

    python benchmarks/onednn.py [--rounds 3]

TensorFlow reads the choice once, so each case has a process of its own; the cases take turns, and of each the
fastest step counts. On processors with AVX-512 VNNI and newer TensorFlow takes oneDNN by itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from _harness import find_teachers, write_result
from rich.console import Console
from rich.table import Table

CHOICES = {"TensorFlow's own": "0", "oneDNN": "1"}
STEPS = 12
FEWEST, MOST_SECONDS = 4, 12.0


def student() -> Any:
    """The widest student of a family at 32 px."""
    from learn2compress.students.convnet import base, build_student

    return build_student(base((32, 32), 1.0), 10)


def teacher(name: str) -> Callable[[], Any]:
    """One of the trained teachers."""

    def load() -> Any:
        import keras

        return keras.models.load_model(find_teachers() / f"{name}.keras", compile=False)

    return load


def application(name: str, **options: Any) -> Callable[[], Any]:
    """A model of `keras.applications`, untrained."""

    def build() -> Any:
        import keras

        return getattr(keras.applications, name)(weights=None, classes=10, input_shape=(96, 96, 3), **options)

    return build


CASES: dict[str, tuple[Callable[[], Any], int]] = {
    "the widest student, 32 px": (student, 256),
    "ResNet-20, 32 px": (teacher("resnet20_cifar10"), 128),
    "ResNet-56, 32 px": (teacher("resnet56_cifar10"), 64),
    "EfficientNet-Lite0, 96 px": (teacher("efficientnet_lite0_clothing96"), 32),
    "MobileNetV2 0.5, 96 px": (application("MobileNetV2", alpha=0.5), 32),
    "ResNet50, 96 px": (application("ResNet50"), 32),
}


def images_per_second(case: str) -> float:
    """Of a joint training step with one member, at its fastest."""
    import numpy as np

    from learn2compress.train.fit import compile_family
    from learn2compress.train.joint import JointFamily
    from learn2compress.train.settings import SETTINGS, optimizer_for
    from learn2compress.train.trainable import trainable

    build, batch = CASES[case]
    model = build()
    settings = SETTINGS["students" if build is student else "prunings"]
    family = JointFamily([trainable(model, "float32", settings.momentum)], settings.temperature, settings.hard)
    compile_family(family, optimizer_for(settings))
    rng = np.random.default_rng(0)
    classes = model.output_shape[-1]
    pixels = rng.integers(0, 256, (batch, *model.input_shape[1:]), np.uint8)
    targets = (rng.integers(0, classes, batch), np.log(rng.dirichlet(np.ones(classes), batch)).astype(np.float32))
    family.train_on_batch(pixels, targets)
    seconds: list[float] = []
    while len(seconds) < STEPS and (len(seconds) < FEWEST or sum(seconds) < MOST_SECONDS):
        started = time.perf_counter()
        family.train_on_batch(pixels, targets)
        seconds.append(time.perf_counter() - started)
    return float(batch / min(seconds))


def in_a_process(case: str, choice: str) -> float:
    """The same, measured in a process that has chosen."""
    command = [sys.executable, __file__, "--case", case]
    # The user's own choice goes before the package's.
    done = subprocess.run(
        command, env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": choice}, stdout=subprocess.PIPE, check=True
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    """Prints the table and writes `results/onednn.json`."""
    parser = argparse.ArgumentParser(description="oneDNN")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help="measure this one here, and print images a second")
    arguments = parser.parse_args()
    if arguments.case:
        print(images_per_second(arguments.case))
        return
    rates: dict[str, dict[str, list[float]]] = {case: {name: [] for name in CHOICES} for case in CASES}
    for _ in range(arguments.rounds):
        for case in CASES:
            for name, choice in CHOICES.items():
                rates[case][name].append(in_a_process(case, choice))
    table = Table("training step", *(f"{name}, images/s" for name in CHOICES), "times as fast")
    rows = []
    for case, found in rates.items():
        own, onednn = (max(found[name]) for name in CHOICES)
        rows.append({"case": case, "own": own, "onednn": onednn, "ratio": onednn / own})
        table.add_row(case, f"{own:.0f}", f"{onednn:.0f}", f"{onednn / own:.2f}")

    write_result("onednn", f"python benchmarks/onednn.py --rounds {arguments.rounds}", rows=rows)
    Console().print(table)


if __name__ == "__main__":
    main()
