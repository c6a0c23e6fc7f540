"""Which measure of importance finds the channels that can go: ResNet-56 on CIFAR-10, without any retraining.

    python benchmarks/importance.py

Each measure ranks the channels, the lowest are cut until the MACs are within a bound, batch-norm statistics are
counted anew, and the accuracy of what is left is taken on the validation images. The teacher has trained on these:
compare the rows, not the figures with others'.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from _harness import HERE, find_data, find_teachers
from rich.console import Console
from rich.table import Table

from learn2compress.core.choice import Choice
from learn2compress.core.progress import Progress
from learn2compress.graph.channels import FEWEST_CHANNELS, Channels
from learn2compress.graph.pruned_cost import pruned_cost
from learn2compress.graph.surgery import prune
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.teacher import load_teacher
from learn2compress.measure.host import environment
from learn2compress.plan.pruning import PruningOrder, pruning_order
from learn2compress.sources.prunings import TeacherPrunings
from learn2compress.train.importance import MEASURES, normalized
from learn2compress.train.quantize import predict
from learn2compress.train.recalibration import recalibrate

RATIOS = (1.25, 1.5, 2.1)
JUDGED, BATCH = 20, 64
RECALIBRATED, LARGE_BATCH = 8, 250


def batches(dataset: Any, count: int, size: int, seed: int) -> Iterator[tuple[Any, tuple[Any, Any]]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        indices = np.sort(rng.choice(len(dataset.train), size, replace=False))
        nothing = np.zeros((size, dataset.classes), np.float32)
        yield dataset.train.stacked[indices], (dataset.train.labels[indices], nothing)


def worth_of(channels: Channels) -> dict[int, float]:
    """MACs that one channel of each group saves, relative to the mean of the groups."""
    whole = pruned_cost(channels, Choice()).macs
    saved = {
        group.index: whole - pruned_cost(channels, Choice({group.index: np.arange(group.size - 1)})).macs
        for group in channels.prunable
    }
    mean = float(np.mean(list(saved.values())))
    return {index: value / mean for index, value in saved.items()}


def accuracies(channels: Channels, order: PruningOrder, dataset: Any, size: tuple[int, int]) -> list[float | None]:
    """Validation accuracy at each ratio of MACs; None where the order can't go that far."""
    whole = pruned_cost(channels, Choice()).macs
    found: list[float | None] = []
    for ratio in RATIOS:
        removals = order.within(lambda choice: pruned_cost(channels, choice).macs, whole / ratio)
        if removals is None:
            found.append(None)
            continue
        model = prune(channels, order.choice(removals)).model
        recalibrate(model, (pixels for pixels, _ in batches(dataset, RECALIBRATED, LARGE_BATCH, 1)))
        hits = predict(model, dataset.validation, size).argmax(axis=1) == dataset.validation.labels
        found.append(round(float(hits.mean()), 4))
        keras.backend.clear_session(free_memory=False)
    return found


def main() -> None:
    dataset = load_dataset(find_data() / "cifar10.npz", test_data=None, labels=None, seed=0, progress=Progress())
    path = find_teachers() / "resnet56_cifar10.keras"
    teacher = load_teacher(path, dataset=dataset, preprocess="auto", progress=Progress())
    channels = TeacherPrunings(teacher, dataset, "").channels
    worth = worth_of(channels)
    rows = []
    for measure in MEASURES.values():
        started = time.perf_counter()
        scores = measure(channels, batches(dataset, JUDGED, BATCH, 0))
        seconds = time.perf_counter() - started
        for compared in ("normalized", "as they are") if measure.comparable else ("normalized",):
            between = scores if compared == "as they are" else normalized(scores)
            for weighed in (False, True):
                for multiple in (4, 8):
                    order = pruning_order(
                        between, fewest=FEWEST_CHANNELS, multiple=multiple, worth=worth if weighed else None
                    )
                    rows.append(
                        {
                            "measure": measure.name,
                            "between groups": compared,
                            "per MAC saved": weighed,
                            "multiple": multiple,
                            "accuracy": accuracies(channels, order, dataset, teacher.input_size),
                            "seconds": round(seconds, 1),
                        }
                    )
                    print(rows[-1], flush=True)
    table = Table("measure", "between groups", "per MAC", "multiple", *(f"{ratio}x" for ratio in RATIOS), "s")
    for row in rows:
        shown = ("-" if value is None else f"{100 * value:.1f}" for value in row["accuracy"])
        weighed = "yes" if row["per MAC saved"] else "no"
        table.add_row(
            row["measure"], row["between groups"], weighed, str(row["multiple"]), *shown, f"{row['seconds']:.0f}"
        )
    Console().print(table)
    result = {
        "benchmark": "importance",
        "command": "python benchmarks/importance.py",
        "judged_images": JUDGED * BATCH,
        "validation_images": len(dataset.validation),
        "macs_ratios": RATIOS,
        "environment": environment().model_dump(),
        "rows": rows,
    }
    Path(HERE / "results" / "importance.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
