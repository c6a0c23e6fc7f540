"""What joint training costs, and what it does to accuracy: CIFAR-10, students of ResNet-56, equal steps for all.

    python benchmarks/joint.py [--epochs 4] [--seed 0] [--counts 3 5] [--rounds 12] [--time-alone]

(a) the widest member alone, (b) each narrower one alone, (c) all jointly, as a run does it. Steps are timed in turns
(a, c, a, c, ...), so that the ratio holds on a busy machine; `results/joint_time.json` has them by host.
Accuracy, in `results/joint.json`, is that of the float members on the 10,000 test images: its standard error is 0.3
points. Each number of members, of epochs and each seed has a place of its own there. `--time-alone` leaves it at the
time of a step, and `joint.json` as it is.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from _harness import host_words, write_part
from _students import SIZE, Material, material, timed, trained
from rich.console import Console
from rich.table import Table

from learn2compress.core.member import MemberSpec
from learn2compress.core.progress import SILENT
from learn2compress.graph.cost import model_cost
from learn2compress.measure.host import environment
from learn2compress.train.batches import LabelledViews
from learn2compress.train.fit import compile_family
from learn2compress.train.joint import JointFamily
from learn2compress.train.settings import SETTINGS, optimizer_for
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.trainable import trainable
from learn2compress.train.views import Views, ViewSpec

MOST_TIME = {3: 1.10, 5: 1.25}
MOST_LOST = 0.003


def family(made: Material, specs: list[MemberSpec]) -> JointFamily:
    """Compiled as a run does it."""
    settings = SETTINGS["students"].here()
    members = [trainable(made.source.build(spec).model, settings.dtype, settings.momentum) for spec in specs]
    found = JointFamily(members, settings.temperature, settings.hard)
    compile_family(found, optimizer_for(settings))
    return found


def step_seconds(
    made: Material, counts: list[int], batches: LabelledViews, rounds: int
) -> dict[int, tuple[float, float]]:
    """For each number of members, seconds of a step of the widest alone and of all."""
    found = {}
    for count in counts:
        keras.backend.clear_session()
        specs = made.specs(count)
        seconds = timed({"alone": family(made, specs[:1]), "jointly": family(made, specs)}, batches, rounds, 16)
        # A step without the narrow members is the widest's alone: `tests/train/test_train_joint.py`.
        share = SETTINGS["students"].narrow_share
        found[count] = seconds["alone"], share * seconds["jointly"] + (1 - share) * seconds["alone"]
        print(count, *found[count], flush=True)
    return found


def described(made: Material, specs: list[MemberSpec]) -> list[dict[str, Any]]:
    """What the members are: another base costs something else."""
    costs = [model_cost(made.source.build(spec).model) for spec in specs]
    return [
        {
            "name": spec.name,
            "channels": spec.channels,
            "blocks": spec.blocks,
            "parameters": c.parameters,
            "macs": c.macs,
        }
        for spec, c in zip(specs, costs, strict=True)
    ]


def keep_times(made: Material, seconds: dict[int, tuple[float, float]], rounds: int) -> None:
    """Writes `results/joint_time.json` for this host, and prints all hosts there."""
    rows = [
        {
            "members": count,
            "specs": described(made, made.specs(count)),
            "widest_alone_step_seconds": widest,
            "step_seconds": jointly,
            "step_ratio": jointly / widest,
            "asked": MOST_TIME.get(count),
        }
        for count, (widest, jointly) in seconds.items()
    ]
    host = environment().model_dump()
    counts = " ".join(map(str, seconds))
    part = {
        "command": f"python benchmarks/joint.py --time-alone --counts {counts} --rounds {rounds}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": host,
        "rows": rows,
    }
    table = Table("host", "members", "the widest alone, ms", "all jointly, ms", "times as long", "asked")
    for name, found in write_part("joint_time", "hosts", host_words(host), part).items():
        for row in found["rows"]:
            taken = (f"{1000 * row[key]:.0f}" for key in ("widest_alone_step_seconds", "step_seconds"))
            asked = "" if row["asked"] is None else f"{row['asked']:.2f}"
            table.add_row(name, str(row["members"]), *taken, f"{row['step_ratio']:.3f}", asked)
    Console().print(table)


def alone(made: Material, spec: MemberSpec, batches: LabelledViews, epochs: float) -> dict[str, Any]:
    """A member trained by itself."""
    (member,), summary, _ = trained(made, [spec], batches, epochs, batches.seed)
    found = {"accuracy": made.accuracy(member), "seconds": summary.seconds}
    print("alone", spec.channels, spec.blocks, found, flush=True)
    return found


def compare(
    made: Material,
    specs: list[MemberSpec],
    singles: list[dict[str, Any]],
    seconds: tuple[float, float],
    batches: LabelledViews,
    epochs: float,
) -> dict[str, Any]:
    """A family trained jointly, beside each of its members `alone` (`singles`)."""
    widest_alone, jointly = seconds
    members, summary, _ = trained(made, specs, batches, epochs, batches.seed)
    accuracies = [made.accuracy(member) for member in members]
    own = {
        "accuracies": accuracies,
        "seconds": summary.seconds,
        "step_seconds": jointly,
        "step_ratio": jointly / widest_alone,
        "mean_gain": float(np.mean(accuracies) - np.mean([one["accuracy"] for one in singles])),
        "most_lost": max(one["accuracy"] - mine for one, mine in zip(singles, accuracies, strict=True)),
    }
    count = len(specs)
    print(count, "jointly", own, flush=True)
    return {
        "members": count,
        "specs": described(made, specs),
        "alone": singles,
        "widest_alone_step_seconds": widest_alone,
        "jointly": own,
        "goals": {
            "time": {"asked": MOST_TIME.get(count), "reached": own["step_ratio"]},
            "each within": {"asked": MOST_LOST, "reached": own["most_lost"]},
            "mean above": {"asked": 0.0, "reached": own["mean_gain"]},
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the order of images")
    parser.add_argument("--counts", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--rounds", type=int, default=12, help="of timed steps")
    parser.add_argument("--time-alone", action="store_true", help="train nothing, and leave joint.json as it is")
    parser.add_argument("--images", type=int, default=None, help="train on so many only")
    arguments = parser.parse_args()
    made = material(arguments.images)
    views = Views(made.dataset.train, ViewSpec(2, SIZE, 0, True))
    with tempfile.TemporaryDirectory() as cache:
        soft, _ = soft_labels(made.teacher, views, made.dataset.classes, Path(cache), SILENT)
        batches = LabelledViews(views, soft, SETTINGS["students"].batch_size, arguments.seed)
        seconds = step_seconds(made, arguments.counts, batches, arguments.rounds)
        keep_times(made, seconds, arguments.rounds)
        if arguments.time_alone:
            return
        families = {count: made.specs(count) for count in arguments.counts}
        shapes = {(spec.channels, spec.blocks): spec for specs in families.values() for spec in specs}
        singles = {shape: alone(made, spec, batches, arguments.epochs) for shape, spec in shapes.items()}
        how = f"--epochs {arguments.epochs:g} --seed {arguments.seed}"
        for count, specs in families.items():
            own = [singles[spec.channels, spec.blocks] for spec in specs]
            row = compare(made, specs, own, seconds[count], batches, arguments.epochs)
            part = {
                "command": f"python benchmarks/joint.py --counts {count} {how}",
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "training_images": len(made.dataset.train),
                "epochs": arguments.epochs,
                "seed": arguments.seed,
                "environment": environment().model_dump(),
                **row,
            }
            parts = write_part(
                "joint", "families", f"{count} members, {arguments.epochs:g} epochs, seed {arguments.seed}", part
            )
    shown = Table("family", "case", "time of a step", "float accuracy of each, %", "mean, %", "largest loss, points")
    for name, part in parts.items():
        shown.add_row(
            name,
            "each alone",
            "1.00 (widest)",
            *summary([one["accuracy"] for one in part["alone"]]),
            "",
        )
        jointly = part["jointly"]
        loss = f"{100 * jointly['most_lost']:.2f}"
        shown.add_row("", "jointly", f"{jointly['step_ratio']:.2f}", *summary(jointly["accuracies"]), loss)
    Console().print(shown)


def summary(accuracies: list[float]) -> tuple[str, str]:
    return " ".join(f"{100 * value:.2f}" for value in accuracies), f"{100 * np.mean(accuracies):.2f}"


if __name__ == "__main__":
    main()
