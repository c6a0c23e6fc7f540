"""How a pruned teacher is best trained: ResNet-56 on CIFAR-10 with 2.1 times fewer multiply-accumulates.

    python benchmarks/pruning_training.py [--images 12500] [--epochs 12] [--only adam sgd]

Each case is one member alone, trained for as many epochs, and differs from `adam`, which a run does, in what it is
named for. Accuracy is that of the float model on every second test image: the teacher's weights, which the member
begins with, have seen the validation images. Who reports the accuracy of a way of training chosen here on the whole
test split should say so.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import keras
import numpy as np
from _harness import HERE
from _students import SIZE, Material, material
from pruning_resnet56 import MACS
from rich.console import Console
from rich.table import Table

from learn2compress.core.cache import cache_folder
from learn2compress.core.progress import Progress
from learn2compress.graph.slices import Part
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.measure.accuracy import score
from learn2compress.measure.host import environment
from learn2compress.sources.prunings import TeacherPrunings
from learn2compress.terminal import Lines
from learn2compress.train.batches import LabelledViews
from learn2compress.train.family import joint_training
from learn2compress.train.quantize import predict
from learn2compress.train.settings import SETTINGS, TrainingSettings
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.trainable import plain
from learn2compress.train.views import Views, ViewSpec

PRUNINGS = SETTINGS["prunings"].here()


@dataclass(frozen=True)
class Case:
    """What is compared: hyperparameters, and whether every second view is mixed with another image."""

    settings: TrainingSettings
    mixed: bool = False


SGD = replace(PRUNINGS, optimizer="sgd", peak=0.05, decay=5e-4, batch_size=128)
CASES = {
    "adam": Case(PRUNINGS),
    "adam-mixed": Case(PRUNINGS, mixed=True),
    "adam-low": Case(replace(PRUNINGS, peak=3e-4)),
    "adam-high": Case(replace(PRUNINGS, peak=3e-3)),
    "soft-only": Case(replace(PRUNINGS, hard=0.0)),
    "warmer": Case(replace(PRUNINGS, temperature=4.0)),
    "bfloat16": Case(replace(PRUNINGS, dtype="mixed_bfloat16")),
    "sgd": Case(SGD),
    "sgd-mixed": Case(SGD, mixed=True),
    "sgd-high": Case(replace(SGD, peak=0.15)),
    "muon": Case(replace(PRUNINGS, optimizer="muon", peak=0.02, decay=0.03, batch_size=128)),
    "muon-mixed": Case(replace(PRUNINGS, optimizer="muon", peak=0.02, decay=0.03, batch_size=128), mixed=True),
}


def pruned(made: Material, ratio: float) -> Part:
    """The largest pruning with so many times fewer multiply-accumulates."""
    source = TeacherPrunings(made.teacher, made.dataset, "a benchmark", {"macs"})
    return source.build(next(c.spec for c in source.candidates() if c.cost.macs <= MACS / ratio))


def run(
    name: str, part: Part, labelled: Callable[[bool, int], LabelledViews], epochs: float, progress: Progress
) -> tuple[keras.Model, dict[str, Any]]:
    """A member trained as the case says, and what the training was."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    case = CASES[name]
    batches = labelled(case.mixed, case.settings.batch_size)
    (member,), summary = joint_training(
        [part],
        batches,
        progress,
        name=name,
        start="as built",
        settings=case.settings,
        seconds=0,
        plan_steps=lambda *_: round(epochs * len(batches)),
    )
    return plain(member), summary.summary()


def main() -> None:
    """Trains every case, prints the table and writes `results/pruning_training.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_500, help="train on so many")
    parser.add_argument("--epochs", type=float, default=12.0)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--ratio", type=float, default=2.1)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    arguments = parser.parse_args()
    progress = Progress(Lines(Console(stderr=True)))
    made = material(arguments.images)
    part = pruned(made, arguments.ratio)
    test, half = made.dataset.test, np.arange(0, len(made.dataset.test), 2)
    judged = ArraySplit(test.batch(half, SIZE), test.labels[half])

    views = {
        mixed: Views(made.dataset.train, ViewSpec(arguments.views, SIZE, 0, True, mixed))
        for mixed in {CASES[name].mixed for name in arguments.only}
    }
    soft = {
        mixed: soft_labels(made.teacher, some, made.dataset.classes, cache_folder(), progress)[0]
        for mixed, some in views.items()
    }

    rows = []
    for name in arguments.only:
        member, training = run(
            name,
            part,
            lambda mixed, size: LabelledViews(views[mixed], soft[mixed], size, 0),
            arguments.epochs,
            progress,
        )
        accuracy = score(predict(member, judged, SIZE), judged.labels).accuracy
        rows.append({"case": name, "accuracy": accuracy, "training": training})
        print(rows[-1], flush=True)

    result = {
        "benchmark": "pruning_training",
        "command": f"python benchmarks/pruning_training.py --images {arguments.images} --epochs {arguments.epochs:g}"
        f" --views {arguments.views} --ratio {arguments.ratio:g} --only {' '.join(arguments.only)}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "train_images": len(made.dataset.train),
        "judged_images": len(judged),
        "environment": environment().model_dump(),
        "rows": rows,
    }
    (HERE / "results" / "pruning_training.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shown = Table("case", "images/s", "accuracy, %", caption=f"standard error {100 * error(rows, len(judged)):.1f}")
    for row in rows:
        shown.add_row(row["case"], f"{row['training']['images per second']:.0f}", f"{100 * row['accuracy']:.2f}")
    Console().print(shown)


def error(rows: list[dict[str, Any]], images: int) -> float:
    """The largest standard error among the accuracies."""
    return max(float(np.sqrt(row["accuracy"] * (1 - row["accuracy"]) / images)) for row in rows)


if __name__ == "__main__":
    main()
