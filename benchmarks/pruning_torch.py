"""ResNet-56 on CIFAR-10 pruned by Torch-Pruning, for as many epochs as ours had: beside `pruning_resnet56.py`.

    python benchmarks/pruning_torch.py [--epochs 6.5] [--ratios 2.1 2.57]

PyTorch and Torch-Pruning get a virtual environment of their own beside the data. What they make is float32, and no
LiteRT file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from _harness import HERE, find_data, find_teachers, interpreter_with, write_result
from rich.console import Console
from rich.table import Table

REQUIREMENTS = ("torch==2.13.0", "torch-pruning==1.6.1", "numpy")


def epochs_of_ours() -> float:
    """How long the members of `pruning_resnet56.py` were trained, quantization-aware training included."""
    plan = json.loads((HERE / "results" / "pruning_resnet56.json").read_text(encoding="utf-8"))["plan"]
    return float(plan["joint training"]["epochs"] + plan["quantization-aware training"]["epochs"])


def write_weights(path: Path) -> None:
    """The weights of the Keras model, by layer name and place."""
    import numpy as np

    import learn2compress  # noqa: F401 - before Keras: see learn2compress/__init__.py
    import keras  # isort: skip

    model = keras.models.load_model(find_teachers() / "resnet56_cifar10.keras")
    arrays = {f"{layer.name}/{i}": weight for layer in model.layers for i, weight in enumerate(layer.get_weights())}
    norm = model.get_layer("norm")
    arrays["norm"] = np.array([np.broadcast_to(norm.scale, 3), np.broadcast_to(norm.offset, 3)], np.float32)
    np.savez(path, **arrays)


def main() -> None:
    """Prints the table and writes `results/pruning_torch.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=float, default=None)
    parser.add_argument("--ratios", type=float, nargs="+", default=[2.1, 2.57])
    arguments = parser.parse_args()
    epochs = arguments.epochs or epochs_of_ours()
    python = interpreter_with("torch-pruning", *REQUIREMENTS)
    if python is None:
        sys.exit("PyTorch and Torch-Pruning can't be had here")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        weights, out = Path(folder) / "weights.npz", Path(folder) / "out.json"
        write_weights(weights)
        for ratio in arguments.ratios:
            command = [python, HERE / "_pruning_torch.py", weights, find_data() / "cifar10.npz", ratio, epochs, out]
            subprocess.run([str(part) for part in command], check=True)
            rows.append(json.loads(out.read_text(encoding="utf-8")))
    command_line = (
        f"python benchmarks/pruning_torch.py --epochs {epochs:g} --ratios {' '.join(map(str, arguments.ratios))}"
    )
    write_result("pruning_torch", command_line, rows=rows)
    table = Table("fewer MACs", "parameters", "epochs", "s", "at once, %", "trained, %")
    for row in rows:
        shown = (f"{100 * row[key]:.2f}" for key in ("accuracy_pruned", "accuracy"))
        table.add_row(f"{row['ratio']}x", f"{row['parameters']}", f"{row['epochs']:g}", f"{row['seconds']}", *shown)
    Console().print(table)


if __name__ == "__main__":
    main()
