"""How long training waits for images: students at 32 pixels from an array, and at 224 pixels from JPEG files.

    python benchmarks/waiting.py [--steps 60]

They are trainings as `l2c compress --from fresh` does them, with soft labels on disk (here made up: what they say
does not matter). The files are those of Imagenette, which have the students' size, and photos that are made here, of
500 x 375 pixels, and of 12 megapixels as telephones take them; they are decoded anew for each view, the largest from
scaled-down copies, which are made before: told is how long that took for a photo, and how many bytes one takes.
Asked: at most 5 % of the time at 32 pixels and 20 % at 224 from files of that size; how it is with larger ones is
told. The members of the teacher are slower to train, so that they wait less.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from _harness import HERE, find_data
from PIL import Image
from rich.console import Console
from rich.table import Table

from learn2compress.core.progress import SILENT
from learn2compress.inputs import folders
from learn2compress.inputs.dataset import load_dataset
from learn2compress.measure.host import environment
from learn2compress.plan.members import choose_members, largest_by_default, widest_member
from learn2compress.sources.fresh import FreshStudents
from learn2compress.train.batches import LabelledViews
from learn2compress.train.family import joint_training
from learn2compress.train.settings import SETTINGS
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.views import Views, ViewSpec

# So many that the training split is more than a batch.
PHOTOS = 180


@dataclass(frozen=True)
class Case:
    """What is trained on.

    Attributes:
        data: a data set, or what to call photos that are made.
        side: pixels of the students' input.
        most: the largest share of waiting that is asked for; None where none is.
        stored: (height, width) of photos to make; None where the data set is there.
    """

    data: str
    side: int
    most: float | None = None
    stored: tuple[int, int] | None = None


CASES = (
    Case("cifar10.npz", 32, 0.05),
    Case("imagenette", 224, 0.20),
    Case("photos of 500 x 375", 224, stored=(375, 500)),
    Case("photos of 12 megapixels", 224, stored=(3000, 4000)),
)
STUDENTS = 3
PARAMETERS = 3_400_000  # of EfficientNet-Lite0: what the size of students is reckoned from


class AnyTeacher:
    """Says something of images at no cost."""

    def __init__(self, size: tuple[int, int], classes: int) -> None:
        self.input_size, self.classes, self.fingerprint = size, classes, f"any {size} {classes}"

    def predict(self, images: Any) -> Any:
        """Probabilities (n, classes)."""
        return np.full((len(images), self.classes), 1 / self.classes, np.float32)


def make_photos(folder: Path, stored: tuple[int, int]) -> None:
    """Writes JPEGs of two classes: soft shapes and a sensor's noise, which take as long to decode as a photo."""
    height, width = stored
    random = np.random.default_rng(0)
    for number in range(PHOTOS):
        (folder / f"class{number % 2}").mkdir(exist_ok=True)
        shapes = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize((width, height))
        noise = random.integers(-6, 7, (height, width, 1), np.int16)
        pixels = np.clip(np.asarray(shapes, np.int16) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"class{number % 2}" / f"{number}.jpg", quality=90)


def row(case: Case, steps: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        if case.stored is None:
            return trained(case, find_data() / case.data, steps)
        make_photos(Path(made), case.stored)
        # Those of one size would be held in memory, as long as they are so few.
        limit, folders.STACK_LIMIT_BYTES = folders.STACK_LIMIT_BYTES, 0
        try:
            return trained(case, Path(made), steps)
        finally:
            folders.STACK_LIMIT_BYTES = limit


def copied(views: Views) -> dict[str, float]:
    """Makes the copies of the photos, and tells what one takes; nothing where there are none."""
    if views.copies is None:
        return {}
    started = time.perf_counter()
    views.copies.make(SILENT)
    seconds = time.perf_counter() - started
    stored = sum(path.stat().st_size for path in views.copies.folder.iterdir())
    return {"copy_ms": 1000 * seconds / views.copies.count, "copy_bytes": stored / views.copies.count}


def trained(case: Case, data: Path, steps: int) -> dict[str, Any]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    dataset, size = load_dataset(data, seed=0), (case.side, case.side)
    teacher: Any = AnyTeacher(size, dataset.classes)
    source = FreshStudents(teacher, dataset, "a benchmark")
    largest, wides = largest_by_default(PARAMETERS), source.candidates()
    widest = widest_member(wides, (), largest)
    specs = [c.spec for c in choose_members(source.narrower(widest, wides), (), STUDENTS, largest)]
    settings = SETTINGS["students"].for_size(size).here()
    with tempfile.TemporaryDirectory() as folder:
        views = Views(dataset.train, ViewSpec(1, size, 0, True), Path(folder))
        copies = copied(views)
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
        "data": case.data,
        "side": case.side,
        "batch": done.batch_size,
        "images_per_second": done.steps * done.batch_size / done.seconds,
        "share_waited": share,
        "asked": case.most,
        "reached": None if case.most is None else share <= case.most,
        **copies,
    }
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    rows = [row(case, arguments.steps) for case in CASES]
    result = {
        "benchmark": "waiting",
        "command": f"python benchmarks/waiting.py --steps {arguments.steps}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": arguments.steps,
        "environment": environment().model_dump(),
        "rows": rows,
    }
    (HERE / "results" / "waiting.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = Table("data", "pixels", "images a second", "waiting, %", "asked, %", "copies, ms", "copies, kB")
    for found in rows:
        shares = ("" if (share := found[key]) is None else f"{100 * share:.1f}" for key in ("share_waited", "asked"))
        copies = (f"{found.get('copy_ms', 0):.0f}", f"{found.get('copy_bytes', 0) / 1000:.0f}")
        table.add_row(found["data"], str(found["side"]), f"{found['images_per_second']:.0f}", *shares, *copies)
    Console().print(table)


if __name__ == "__main__":
    main()
