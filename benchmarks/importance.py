"""Which measure of importance finds the channels that can go: ResNet-56 on CIFAR-10, without any retraining.

    python benchmarks/importance.py

Each measure ranks the channels, the lowest are cut until the MACs are within a bound, batch-norm statistics are
counted anew, and the accuracy of what is left is taken on the validation images. The teacher has trained on these:
compare the rows, not the figures with others'.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import time
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from _harness import find_data, find_teachers, write_result
from rich.console import Console
from rich.table import Table

from learn2compress.core.choice import Choice
from learn2compress.core.progress import Progress
from learn2compress.graph.channels import Channels
from learn2compress.graph.pruned_cost import pruned_cost
from learn2compress.graph.surgery import prune
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.teacher import load_teacher
from learn2compress.plan.pruning import PruningOrder, pruning_order
from learn2compress.sources.prunings import TeacherPrunings
from learn2compress.train.importance import MEASURES, normalized
from learn2compress.train.importance.taylor import Taylor
from learn2compress.train.quantize import predict
from learn2compress.train.recalibration import recalibrate
from learn2compress.train.sensitivity import agreements, least_shares

RATIOS = (1.5, 2.1, 2.57)
JUDGED, BATCH = 20, 64
RECALIBRATED, LARGE_BATCH = 8, 250
SILENCED = 64


def batches(dataset: Any, count: int, size: int, seed: int) -> Iterator[tuple[Any, tuple[Any, Any]]]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        indices = np.sort(rng.choice(len(dataset.train), size, replace=False))
        nothing = np.zeros((size, dataset.classes), np.float32)
        yield dataset.train.stacked[indices], (dataset.train.labels[indices], nothing)


def saved(channels: Channels, choice: Choice) -> float:
    """Share of the MACs that a choice saves."""
    return 1 - pruned_cost(channels, choice).macs / pruned_cost(channels, Choice()).macs


def worth_of(channels: Channels) -> dict[int, float]:
    """What one channel of each group saves."""
    return {
        group.index: saved(channels, Choice({group.index: np.arange(max(1, group.size - group.step))})) / group.step
        for group in channels.prunable
    }


def fewest_removals(channels: Channels, order: PruningOrder, most_macs: float) -> int | None:
    """How many removals bring the MACs within the bound; None where even all of them leave more."""
    counts = range(len(order.removals) + 1)
    # No removal raises the MACs.
    found = bisect_left(counts, True, key=lambda count: pruned_cost(channels, order.choice(count)).macs <= most_macs)
    return found if found in counts else None


def accuracies(channels: Channels, order: PruningOrder, dataset: Any, size: tuple[int, int]) -> list[float | None]:
    """Validation accuracy at each ratio of MACs; None where the order can't go that far."""
    whole = pruned_cost(channels, Choice()).macs
    found: list[float | None] = []
    for ratio in RATIOS:
        removals = fewest_removals(channels, order, whole / ratio)
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
    """Prints the table and writes `results/importance.json`."""
    dataset = load_dataset(find_data() / "cifar10.npz", test_data=None, labels=None, seed=0, progress=Progress())
    path = find_teachers() / "resnet56_cifar10.keras"
    teacher = load_teacher(path, dataset=dataset, preprocess="auto", progress=Progress())
    channels = TeacherPrunings(teacher, dataset, "").channels
    worth = worth_of(channels)
    kept: dict[str, Any] = {
        "fewest": {group.index: group.fewest for group in channels.prunable},
        "multiple": {group.index: group.step for group in channels.prunable},
    }
    rows: list[dict[str, Any]] = []

    def judge(name: str, seconds: float, order: PruningOrder) -> None:
        accuracy = accuracies(channels, order, dataset, teacher.input_size)
        rows.append({"measure": name, "accuracy": accuracy, "seconds": round(seconds, 1)})
        print(rows[-1], flush=True)

    for measure in MEASURES.values():
        started = time.perf_counter()
        scores = measure(channels, batches(dataset, JUDGED, BATCH, 0))
        seconds = time.perf_counter() - started
        if measure.comparable:
            judge(measure.name, seconds, pruning_order(scores, worth=worth, **kept))
        judge(f"{measure.name}, normalized", seconds, pruning_order(normalized(scores), worth=worth, **kept))
    started = time.perf_counter()
    scores, blocks = Taylor().with_blocks(channels, batches(dataset, JUDGED, BATCH, 0))
    lost = [(name, score / saved(channels, Choice(removed=frozenset([name])))) for name, score in blocks.items()]
    seconds = time.perf_counter() - started
    judge("Taylor, blocks too", seconds, pruning_order(scores, worth=worth, blocks=lost, **kept))
    started = time.perf_counter()
    guard = least_shares(agreements(channels, scores, dataset.train.stacked[:SILENCED]))
    seconds += time.perf_counter() - started
    guarded = pruning_order(scores, worth=worth, blocks=lost, least_shares=guard, **kept)
    judge("Taylor, blocks too, guarded", seconds, guarded)
    table = Table("measure", *(f"{ratio}x" for ratio in RATIOS), "s")
    for row in rows:
        shown = ("-" if value is None else f"{100 * value:.1f}" for value in row["accuracy"])
        table.add_row(row["measure"], *shown, f"{row['seconds']:.0f}")
    Console().print(table)
    write_result(
        "importance",
        "python benchmarks/importance.py",
        judged_images=JUDGED * BATCH,
        validation_images=len(dataset.validation),
        macs_ratios=RATIOS,
        rows=rows,
    )


if __name__ == "__main__":
    main()
