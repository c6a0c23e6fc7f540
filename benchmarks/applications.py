"""Structured pruning of every image model in keras.applications: read, narrowed to about half its MACs, built, run.

    python benchmarks/applications.py [--only MobileNetV2 ResNet50 ...]

Weights are random: this shows what the analysis understands and whether costs are foretold exactly, not accuracy. All
groups keep the same share of their channels, in multiples of eight. Ends with exit code 1 if a row fails. Results are
written only for all models.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import argparse
import gc
import inspect
import sys
import time
from typing import Any

import keras
import numpy as np
from _harness import write_result
from rich.console import Console
from rich.table import Table

from learn2compress.core.choice import Choice
from learn2compress.graph.channels import Channels, find_channels
from learn2compress.graph.cost import model_cost
from learn2compress.graph.pruned_cost import pruned_cost
from learn2compress.graph.surgery import prune

# Pixels of a side; the Inception family and Xception need more.
SIZE = 64
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
CLASSES, BATCH = 10, 2
MULTIPLE = 8
# Every model has these.
ALWAYS_HELD = ("the model's input", "the model's output")


def image_models() -> list[str]:
    functions = dict(inspect.getmembers(keras.applications, inspect.isfunction))
    return [name for name in functions if name[0].isupper()]


def narrowed(channels: Channels, share: float) -> Choice:
    """The first channels of each group."""
    kept = {}
    for group in channels.prunable:
        count = max(MULTIPLE, MULTIPLE * round(share * group.size / MULTIPLE))
        kept[group.index] = np.arange(min(count, group.size))
    return Choice(kept)


def half(channels: Channels) -> Choice:
    """The widest uniform choice with at most half of the multiply-accumulates."""
    most = pruned_cost(channels, Choice()).macs / 2
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if pruned_cost(channels, narrowed(channels, middle)).macs <= most else (low, middle)
        )
    return narrowed(channels, low)


def measure(name: str) -> dict[str, Any]:
    size = SIZES.get(name, SIZE)
    make = getattr(keras.applications, name)
    model = make(weights=None, input_shape=(size, size, 3), classes=CLASSES, classifier_activation=None)
    started = time.perf_counter()
    channels = find_channels(model)
    seconds = time.perf_counter() - started
    choice = half(channels)
    cost = pruned_cost(channels, choice)
    whole_macs, whole_parameters = model_cost(model).macs, model.count_params()
    member = prune(channels, choice).model
    outputs = np.asarray(member(np.random.default_rng(0).uniform(-1, 1, (BATCH, size, size, 3)).astype(np.float32)))
    return {
        "model": name,
        "pixels": size,
        "groups_cut": len(channels.prunable),
        "groups_held": len(channels.groups) - len(channels.prunable),
        "blocks": len(channels.blocks),
        "macs": [whole_macs, cost.macs],
        "parameters": [whole_parameters, member.count_params()],
        "as_predicted": cost == model_cost(member),
        "runs": outputs.shape == (BATCH, CLASSES) and bool(np.isfinite(outputs).all()),
        "analysis_seconds": round(seconds, 2),
        "held_reasons": sorted({group.reason for group in channels.groups if group.reason} - set(ALWAYS_HELD)),
        "not_understood": dict(channels.notes),
    }


def passes(row: dict[str, Any]) -> bool:
    return row["as_predicted"] and row["runs"] and row["groups_cut"] > 0 and not row["not_understood"]


def share(pair: list[int]) -> str:
    return f"{100 * pair[1] / pair[0]:.0f} %"


def table(rows: list[dict[str, Any]]) -> Table:
    shown = Table(title="groups of channels, cut to about half of the MACs")
    shown.add_column("model", no_wrap=True)
    for title in ("cut", "held", "blocks", "MACs", "weights", "as told", "read"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("held because", overflow="fold")
    for row in rows:
        counts = [str(row[key]) for key in ("groups_cut", "groups_held", "blocks")]
        right = "yes" if passes(row) else "[bold red]NO[/]"
        reasons = "; ".join([*row["held_reasons"], *row["not_understood"].values()])
        seconds = f"{row['analysis_seconds']:.1f} s"
        shown.add_row(row["model"], *counts, share(row["macs"]), share(row["parameters"]), right, seconds, reasons)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description="Structured pruning of the models in keras.applications")
    parser.add_argument("--only", nargs="+", choices=image_models(), metavar="NAME", help="these models")
    only = parser.parse_args().only
    console, rows = Console(), []
    for name in only or image_models():
        with console.status(name):
            rows.append(measure(name))
        keras.backend.clear_session()
        gc.collect()
    console.print(table(rows))
    failed = [row["model"] for row in rows if not passes(row)]
    if not only:
        write_result("applications", "python benchmarks/applications.py", rows=rows)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
