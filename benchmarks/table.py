"""Prints the README's result tables from `results/*.json`, each with its host and how long was trained.

python benchmarks/table.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from _harness import HERE, host_words

from learn2compress.core.units import milliseconds, percent, show_bytes, show_count, show_duration

NAMES = {
    "cifar10_hour": "CIFAR-10, 32 px, ResNet-56",
    "clothing": "Clothing, 96 px, EfficientNet-Lite0",
    "imagenette": "Imagenette, 224 px, EfficientNet-Lite0",
    "pruning_resnet56": "CIFAR-10, 32 px, ResNet-56 pruned",
    "pruning_clothing": "Clothing, 96 px, EfficientNet-Lite0 pruned",
    "pruning_imagenette": "Imagenette, 224 px, EfficientNet-Lite0 pruned",
}
BASELINES = {"teacher-float32": "teacher, float32", "teacher-int8": "teacher, post-training int8"}
# function (a model, the teacher as float32) -> what the column shows
Column = Callable[[dict[str, Any], dict[str, Any]], str]
COLUMNS: dict[str, Column] = {
    "model": lambda model, teacher: BASELINES.get(model["name"], f"**{model['name']}**"),
    ".tflite": lambda model, teacher: show_bytes(model["size_bytes"]),
    "test accuracy": lambda model, teacher: percent(model["accuracy"]["test"]),
    "latency": lambda model, teacher: f"{milliseconds(model['latency_ms']['median'])} ms",
    "smaller": lambda model, teacher: f"{model['ratio_to_teacher']['size']:.1f}x",
    "faster": lambda model, teacher: f"{model['ratio_to_teacher']['latency']:.1f}x",
}
# What prunings are asked for: multiply-accumulates, and what is left as floats too.
OF_PRUNINGS: dict[str, Column] = {
    "float32 accuracy": lambda model, teacher: percent(model.get("float_accuracy_test", teacher["accuracy"]["test"])),
    "MACs": lambda model, teacher: show_count(model["macs"]),
    "fewer MACs": lambda model, teacher: f"{model['ratio_to_teacher']['macs']:.2f}x",
}


def columns_of(key: str) -> dict[str, Column]:
    """What the table of a benchmark shows, by the heads of its columns."""
    if not key.startswith("pruning_"):
        return COLUMNS
    order = ("model", ".tflite", "MACs", "test accuracy", "float32 accuracy", "latency", "smaller", "faster")
    return {head: (COLUMNS | OF_PRUNINGS)[head] for head in (*order, "fewer MACs")}


def line(cells: list[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |"


def told(result: dict[str, Any]) -> str:
    """Where and when a family was made, and how long its members were trained."""
    plan = result["plan"]
    joint, tuning = plan["joint training"], plan["quantization-aware training"]
    trained = f"{joint['epochs']:.3g} epochs jointly"
    if tuning != "none":
        trained += f" and {tuning['epochs']:.3g} quantization-aware"
    if "dtype" in joint:
        trained += f", in {joint['dtype']}"
    return f"{host_words(result['environment'])}; {trained}; {result['created'][:10]}."


def main() -> None:
    """Prints one table a benchmark."""
    for key, title in NAMES.items():
        path = HERE / "results" / f"{key}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        took = show_duration(result["elapsed_seconds"])
        print(f"\n{title} (`{result['command']}`, took {took}, route `{result['route']}`)\n")
        columns = columns_of(key)
        print(line(list(columns)))
        print(line(["---"] * len(columns)))
        for model in result["models"]:
            print(line([shown(model, result["models"][0]) for shown in columns.values()]))
        print(f"\n{told(result)}")


if __name__ == "__main__":
    main()
