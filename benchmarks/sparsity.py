"""What `--sparsity` saves of a download, and what it costs: a student of ResNet-56 on CIFAR-10 with ever more zeros.

    python benchmarks/sparsity.py [--sparsities 0 0.5 0.75 0.9] [--joint-steps 3500] [--quantization-steps 700]

Asked: half the bytes, zipped, at 97 % of the accuracy. Each case is a run of `l2c compress` of its own, with the same
seed, views and numbers of steps; the teacher labels the views in the first one. Accuracy is that of the int8 files on
the test images. Bytes on disk stay the same: zeros take as much as other weights until they are zipped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _harness import COMMAND, find_data, find_teachers, write_result
from rich.console import Console
from rich.table import Table

from learn2compress.core.family import Family
from learn2compress.core.units import percent, show_bytes, show_duration

TEACHER = "resnet56_cifar10.keras"
LEAST_SMALLER, LEAST_QUALITY = 2.0, 0.97


def options_of(arguments: argparse.Namespace) -> list[str]:
    """What all cases have in common."""
    settings = {
        "training.joint_steps": arguments.joint_steps,
        "training.quantization_steps": arguments.quantization_steps,
        "views.count": arguments.views,
        "views.mixed": "false",
    }
    options = ["--students", "1", "--from", arguments.route, "--budget", arguments.budget, "--seed", arguments.seed]
    return options + [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


def case(sparsity: float, data: str, options: list[str], folder: Path) -> dict[str, Any]:
    """Compresses once; what the member is."""
    out = folder / f"family-{sparsity:g}"
    given = [str(find_teachers() / TEACHER), "--data", str(find_data() / data), "--out", str(out)]
    subprocess.run(
        [*COMMAND, "compress", *given, *options, "--sparsity", f"{sparsity:g}"],
        env={**os.environ, "L2C_CACHE": str(folder / "cache")},
        check=True,
    )
    family = Family.load(out)
    (member,) = family.members
    return {
        "sparsity": sparsity,
        "zeros": member.zeros,
        "size_bytes": member.size_bytes,
        "zipped_bytes": member.zipped_bytes,
        "accuracy": member.accuracy.test,
        "float_accuracy": member.float_accuracy_test,
        "test_images": member.accuracy.test_examples,
        "parameters": member.parameters,
        "elapsed_seconds": family.elapsed_seconds,
        "training": family.plan["joint training"],
    }


def compared(row: dict[str, Any], dense: dict[str, Any]) -> dict[str, Any]:
    """The row with what it is beside the one that was trained without zeros."""
    smaller, quality = dense["zipped_bytes"] / row["zipped_bytes"], row["accuracy"] / dense["accuracy"]
    reached = smaller >= LEAST_SMALLER and quality >= LEAST_QUALITY
    return {**row, "smaller": round(smaller, 4), "quality": round(quality, 4), "reached": reached}


def main() -> None:
    """Prints the table and writes `results/sparsity.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0, 0.5, 0.75, 0.9])
    parser.add_argument("--joint-steps", type=int, default=3500)
    parser.add_argument("--quantization-steps", type=int, default=700)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--from", dest="route", default="fresh")
    parser.add_argument("--budget", default="20m", help="that the run plans by; the steps are given")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--data", default="cifar10.npz")
    arguments = parser.parse_args()
    if arguments.sparsities[0] != 0:
        parser.error("the first of --sparsities has to be 0: the others are compared with it")
    for path in (find_teachers() / TEACHER, find_data() / arguments.data):
        if not path.exists():
            sys.exit(f"{path} is missing; see CONTRIBUTING.md for where the data comes from")
    options = options_of(arguments)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for sparsity in arguments.sparsities:
            row = case(sparsity, arguments.data, options, Path(folder))
            rows.append(compared(row, rows[0] if rows else row))
            print(rows[-1], flush=True)
    command = (
        f"python benchmarks/sparsity.py --sparsities {' '.join(f'{s:g}' for s in arguments.sparsities)}"
        f" --joint-steps {arguments.joint_steps} --quantization-steps {arguments.quantization_steps}"
        f" --views {arguments.views} --from {arguments.route} --budget {arguments.budget} --seed {arguments.seed}"
        f" --data {arguments.data}"
    )
    write_result("sparsity", command, rows=rows)
    asked = f"asked: {LEAST_SMALLER:g}x smaller zipped at {percent(LEAST_QUALITY, 0)} of the accuracy"
    table = Table(
        "sparsity", "zeros", ".tflite", "zipped", "smaller", "accuracy", "of the dense", "time", caption=asked
    )
    for row in rows:
        table.add_row(
            percent(row["sparsity"], 0),
            percent(row["zeros"]),
            show_bytes(row["size_bytes"]),
            show_bytes(row["zipped_bytes"]),
            f"{row['smaller']:.2f}x",
            percent(row["accuracy"], 2),
            percent(row["quality"]),
            show_duration(row["elapsed_seconds"]),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
