"""A family in one run beside `keras.distillation.Distiller`, one student after another with the teacher online.

    python benchmarks/distiller.py [--images 15000] [--epochs 6] [--more-epochs 10] [--views 2] [--students 3]

The same students, teacher, training images, augmentation, batch size, optimizer, schedule and temperature on both
sides, and the same fast form of the layers. Two comparisons: in as many epochs, and with more of ours, in what is
still a part of the peer's time. Ours: the teacher labels the views once, then all students train jointly; wall time
is that of both. The peer: for each student `Distiller.fit`, in which the teacher runs on every batch. Neither side
counts loading, nor quantization. Accuracy is that of the float students on the 10,000 test images.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from _harness import HERE
from _students import SIZE, Material, material, trained
from rich.console import Console
from rich.table import Table

from learn2compress.core.member import MemberSpec
from learn2compress.core.progress import SILENT
from learn2compress.export.write import write_baselines
from learn2compress.inputs.symbolic import pixels_to_probabilities
from learn2compress.measure.host import environment
from learn2compress.measure.labeller import fastest_labeller
from learn2compress.stages.joint_teacher import trainable_teacher
from learn2compress.train.batches import LabelledViews
from learn2compress.train.fit import Schedule
from learn2compress.train.settings import SETTINGS, optimizer_for
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.trainable import trainable
from learn2compress.train.views import Views, ViewSpec
from learn2compress.train.whitening import whiten_stems

MOST_SHARE = 1 / 3
SETTING = SETTINGS["students"].here()


class Batches(keras.utils.PyDataset):
    """The same views as ours, scaled, with the labels alone."""

    def __init__(self, batches: LabelledViews) -> None:
        super().__init__(workers=1, max_queue_size=4)
        self._batches, self._epoch = batches, 0

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        pixels, (labels, _) = self._batches.batch(self._epoch * len(self) + number)
        return (pixels.astype(np.float32) - 128) / 128, labels

    def on_epoch_end(self) -> None:
        self._epoch += 1


class OneCycle(keras.callbacks.Callback):
    """Our schedule."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps, self._done, self._schedule = steps, 0, Schedule(SETTING.warmup)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = SETTING.peak * self._schedule(self._done / self._steps)
        self._done += 1


def peer(
    made: Material, spec: MemberSpec, teacher: keras.Model, batches: LabelledViews, epochs: int
) -> tuple[float, float]:
    """(accuracy, seconds) of a student under the Distiller."""
    keras.utils.set_random_seed(0)
    started = time.perf_counter()
    student = trainable(made.source.build(spec).model, SETTING.dtype, SETTING.momentum)
    whiten_stems([student], batches.batch(0)[0])
    distiller = keras.distillation.Distiller(
        teacher=teacher,
        student=student,
        # By its default, the name, Keras 3.15 takes the divergence of the logits themselves, without softmax, and
        # students stay near chance. With the object it does as it says.
        distillation_losses=keras.distillation.LogitsDistillation(
            temperature=SETTING.temperature, loss=keras.losses.KLDivergence()
        ),
        student_loss_weight=SETTING.hard,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(optimizer_for(SETTING), loss, jit_compile=False)
    callbacks = [OneCycle(epochs * len(batches))]
    distiller.fit(Batches(batches), epochs=epochs, verbose=0, callbacks=callbacks)
    seconds = time.perf_counter() - started
    return made.accuracy(student), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=15_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--more-epochs", type=int, default=10, help="of ours, in the second comparison")
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--students", type=int, default=3)
    arguments = parser.parse_args()
    made = material(arguments.images)
    specs = made.specs(arguments.students)
    views = Views(made.dataset.train, ViewSpec(arguments.views, SIZE, 0, True))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        samples = made.dataset.train.batch(np.arange(100), SIZE)
        file, _ = write_baselines(pixels_to_probabilities(made.teacher), SIZE, samples, Path(folder))
        labeller, _, _ = fastest_labeller(made.teacher, file, made.dataset.validation)
        soft, _ = soft_labels(labeller, views, made.dataset.classes, Path(folder), SILENT)
        labelling = time.perf_counter() - started
        batches = LabelledViews(views, soft, SETTING.batch_size, 0)
        ours, training = {}, {}
        for epochs in (arguments.epochs, arguments.more_epochs):
            members, _, training[epochs] = trained(made, specs, batches, epochs)
            ours[epochs] = [made.accuracy(member) for member in members]
            print("ours", epochs, labelling, training[epochs], ours[epochs], flush=True)
        teacher = trainable_teacher(made.teacher)
        rows = []
        for spec, mine, longer in zip(specs, *ours.values(), strict=True):
            accuracy, seconds = peer(made, spec, teacher, batches, arguments.epochs)
            rows.append(
                {
                    "student": spec.name,
                    "ours": mine,
                    "ours_with_more_epochs": longer,
                    "distiller": accuracy,
                    "distiller_seconds": seconds,
                }
            )
            print(rows[-1], flush=True)
    theirs = sum(row["distiller_seconds"] for row in rows)
    shares = {epochs: (labelling + seconds) / theirs for epochs, seconds in training.items()}
    measured = ("ours", "ours_with_more_epochs", "distiller")
    means = {key: float(np.mean([row[key] for row in rows])) for key in measured}
    share = shares[arguments.more_epochs]
    result = {
        "benchmark": "distiller",
        "command": f"python benchmarks/distiller.py --images {arguments.images} --epochs {arguments.epochs} "
        f"--more-epochs {arguments.more_epochs}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_images": arguments.images,
        "epochs": arguments.epochs,
        "more_epochs": arguments.more_epochs,
        "views": arguments.views,
        "seed": 0,
        "ours_seconds": {"soft labels": labelling, "joint training by epochs": training},
        "distiller_seconds": theirs,
        "share_of_time_by_epochs": shares,
        "mean_accuracy": means,
        "goal": {
            "asked_share": MOST_SHARE,
            "asked": "equal or better accuracy",
            "reached": share <= MOST_SHARE and means["ours_with_more_epochs"] >= means["distiller"],
        },
        "environment": environment().model_dump(),
        "rows": rows,
    }
    (HERE / "results" / "distiller.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    columns = [f"ours in {epochs} epochs, %" for epochs in ours]
    table = Table("student", *columns, f"Distiller in {arguments.epochs}, %", "Distiller, s")
    for row in rows:
        found = (f"{100 * row[key]:.2f}" for key in means)
        table.add_row(row["student"], *found, f"{row['distiller_seconds']:.0f}")
    Console().print(table)
    for epochs, seconds in training.items():
        Console().print(
            f"ours in {epochs} epochs: {labelling:.0f} s of labels and {seconds:.0f} s of training, "
            f"{shares[epochs]:.2f} of {theirs:.0f} s"
        )


if __name__ == "__main__":
    main()
