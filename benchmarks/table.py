"""Prints the README's result table from `results/*.json`.

python benchmarks/table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from learn2compress.core.units import show_bytes, show_duration

RESULTS = Path(__file__).resolve().parent / "results"
NAMES = {
    "cifar10_hour": "CIFAR-10, 32 px, ResNet-56",
    "clothing": "Clothing, 96 px, EfficientNet-Lite0",
    "imagenette": "Imagenette, 224 px, EfficientNet-Lite0",
    "pruning_resnet56": "CIFAR-10, 32 px, ResNet-56 pruned",
    "pruning_clothing": "Clothing, 96 px, EfficientNet-Lite0 pruned",
    "pruning_imagenette": "Imagenette, 224 px, EfficientNet-Lite0 pruned",
}


def row(model: dict[str, Any]) -> str:
    """One line of the table."""
    ratio = model["ratio_to_teacher"]
    name = {"teacher-float32": "teacher, float32", "teacher-int8": "teacher, post-training int8"}
    cells = [
        name.get(model["name"], f"**{model['name']}**"),
        show_bytes(model["size_bytes"]),
        f"{100 * model['accuracy']['test']:.1f} %",
        f"{model['latency_ms']['median']:.3g} ms",
        f"{ratio['size']:.1f}x",
        f"{ratio['latency']:.1f}x",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Prints one table a benchmark."""
    for key, title in NAMES.items():
        path = RESULTS / f"{key}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        took = show_duration(result["elapsed_seconds"])
        print(f"\n{title} (`{result['command']}`, took {took}, route `{result['route']}`)\n")
        print("| model | .tflite | test accuracy | latency | smaller | faster |")
        print("| --- | --- | --- | --- | --- | --- |")
        for model in result["models"]:
            print(row(model))


if __name__ == "__main__":
    main()
