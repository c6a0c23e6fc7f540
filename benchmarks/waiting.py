"""How long training waits for images: three students at 32 pixels from an array, and at 224 pixels from JPEG files.

    python benchmarks/waiting.py [--steps 60]

Both are trainings as `l2c compress --from fresh` does them, with soft labels on disk (here made up: what
they say does not matter). Asked: at most 5 % of the time at 32 pixels and 20 % at 224. The members of the teacher
are slower to train, so that they wait less.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from _harness import HERE, find_data
from rich.console import Console
from rich.table import Table

from learn2compress.core.progress import SILENT
from learn2compress.inputs.dataset import load_dataset
from learn2compress.measure.host import environment
from learn2compress.plan.members import choose_members, largest_by_default, widest_member
from learn2compress.sources.fresh import FreshStudents
from learn2compress.train.batches import LabelledViews
from learn2compress.train.family import joint_training
from learn2compress.train.settings import SETTINGS
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.views import Views, ViewSpec

# Data, side of the images, and the largest share asked for.
CASES = (("cifar10.npz", 32, 0.05), ("imagenette", 224, 0.20))
STUDENTS = 3
PARAMETERS = 3_400_000  # of EfficientNet-Lite0: what the size of students is reckoned from


class AnyTeacher:
    """Says something of images at no cost."""

    def __init__(self, size: tuple[int, int], classes: int) -> None:
        self.input_size, self.classes, self.fingerprint = size, classes, f"any {size} {classes}"

    def predict(self, images: Any) -> Any:
        """Probabilities (n, classes)."""
        return np.full((len(images), self.classes), 1 / self.classes, np.float32)


def row(data: str, side: int, most: float, steps: int) -> dict[str, Any]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    dataset, size = load_dataset(find_data() / data, seed=0), (side, side)
    teacher: Any = AnyTeacher(size, dataset.classes)
    source = FreshStudents(teacher, dataset, "a benchmark")
    largest, wides = largest_by_default(PARAMETERS), source.candidates()
    widest = widest_member(wides, (), largest)
    specs = [c.spec for c in choose_members(source.narrower(widest, wides), (), STUDENTS, largest)]
    settings = SETTINGS["students"].for_size(size).here()
    with tempfile.TemporaryDirectory() as folder:
        views = Views(dataset.train, ViewSpec(1, size, 0, True))
        soft, _ = soft_labels(teacher, views, dataset.classes, Path(folder), SILENT)
        _, done = joint_training(
            [source.build(spec) for spec in specs],
            LabelledViews(views, soft, settings.batch_size, 0),
            SILENT,
            start="stems",
            settings=settings,
            seconds=0,
            plan_steps=lambda *_: steps,
        )
    share = done.waited / done.seconds
    found = {
        "data": data,
        "side": side,
        "batch": done.batch_size,
        "images_per_second": done.steps * done.batch_size / done.seconds,
        "share_waited": share,
        "asked": most,
        "reached": share <= most,
    }
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    rows = [row(*case, arguments.steps) for case in CASES]
    result = {
        "benchmark": "waiting",
        "command": f"python benchmarks/waiting.py --steps {arguments.steps}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": arguments.steps,
        "environment": environment().model_dump(),
        "rows": rows,
    }
    (HERE / "results" / "waiting.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = Table("data", "pixels", "images a second", "waiting, %", "asked, %")
    for found in rows:
        shares = (f"{100 * found[key]:.1f}" for key in ("share_waited", "asked"))
        table.add_row(found["data"], str(found["side"]), f"{found['images_per_second']:.0f}", *shares)
    Console().print(table)


if __name__ == "__main__":
    main()
