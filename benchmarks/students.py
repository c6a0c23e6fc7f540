r"""Which student learns most in a given time: CIFAR-10, equal seconds for every shape, judged on validation images.

    python benchmarks/students.py [--seconds 150] [--seeds 0 1 2] [--only present strided]
    python benchmarks/students.py --seconds 300 --views 6 --held-out 8000 \
        --only base wide-end even residual deep-first

Repeats the main rows of docs/decisions/0003-student.md. Accuracy is that of the float models on the validation split
that `l2c` holds out of the training images; the test split plays no part. Each case differs from `present` in the one
thing it is named for, but for the families: of these compare the narrow members, whose files are of equal size.

The seconds are those of training alone, without compiling; other work on the machine meanwhile would falsify them
(see `images per second` in the JSON). The teacher was itself trained on the validation images, so its soft labels may
carry a trace of them; all cases but `hard-labels` have that in common.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from _harness import HERE, find_data, find_teachers
from keras import layers
from rich import box
from rich.console import Console
from rich.table import Table

from learn2compress.core.cache import cache_folder
from learn2compress.core.dataset import ImageSplit
from learn2compress.core.member import MemberSpec
from learn2compress.core.progress import Progress
from learn2compress.core.units import show_bytes, show_count
from learn2compress.graph.cost import model_cost
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.splits import balanced_sample
from learn2compress.inputs.teacher import load_teacher
from learn2compress.measure.accuracy import score
from learn2compress.measure.host import environment
from learn2compress.plan.budget import affordable_steps
from learn2compress.students.convnet import base, build_student
from learn2compress.terminal import Lines
from learn2compress.train.batches import LabelledViews
from learn2compress.train.fit import Schedule, Trained, compile_family, fit, time_joint_step
from learn2compress.train.joint import JointFamily
from learn2compress.train.mirroring import mirroring_is_harmless
from learn2compress.train.quantize import predict
from learn2compress.train.settings import SETTINGS, TrainingSettings, optimizer_for
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.trainable import plain, trainable
from learn2compress.train.views import Views, ViewSpec
from learn2compress.train.whitening import whiten_stems

SIZE = (32, 32)
# Of the validation split and the views: these stay the same while `--seeds` varies weights and order.
DATA_SEED = 0
FRESH = SETTINGS["students"].here()

ALONE = MemberSpec("student", "fresh", 1.0, SIZE, (24, 32, 48, 64), (1, 2, 1))
# A family's widest, and two ways to about 97.5 kB: the end narrowed, or every stage.
WIDEST = base(SIZE, 1.0)
END = replace(WIDEST, channels=(24, 48, 64, 16), blocks=(1, 2, 1))
EVERY_STAGE = base(SIZE, 9 / 16)


def norm_first(spec: MemberSpec, classes: int) -> keras.Model:
    """The present student with each max-pool moved behind the batch norm and the ReLU that follow it."""
    model = build_student(spec, classes)
    chain = model.layers[1:]
    for at in [n for n, layer in enumerate(chain) if isinstance(layer, layers.MaxPooling2D)]:
        pool, norm, relu = chain[at : at + 3]
        chain[at : at + 3] = norm, relu, pool
    x = inputs = keras.Input(model.input_shape[1:], name="image")
    for layer in chain:
        x = type(layer).from_config(layer.get_config())(x)
    return keras.Model(inputs, x)


def strided(classes: int) -> keras.Model:
    """The student before the present one: residual blocks, the grid halved by strided convolutions."""
    inputs = keras.Input((*SIZE, 3), name="image")
    x = _convolution(inputs, 16, "stem")
    x = _convolution(x, 16, "stage0_enter", stride=2)
    x = _residual(x, 16, "stage0_block0")
    x = _residual(x, 32, "stage1_block0", stride=2)
    x = _residual(x, 32, "stage1_block1")
    x = _convolution(x, 48, "stage2_enter", stride=2)
    x = _convolution(x, 48, "stage2_last")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x))


def residual(classes: int) -> keras.Model:
    """Three convolutions a stage and fewer channels, the second and third of them with a way around."""
    x = inputs = keras.Input((*SIZE, 3), name="image")
    x = _convolution(x, 24, "stem", kernel=2, padding="valid")
    for stage, (channels, more) in enumerate([(32, 1), (64, 2), (88, 2)]):
        x = _convolution(x, channels, f"stage{stage}_enter", pool=True)
        entered = x
        for block in range(more):
            x = _convolution(x, channels, f"stage{stage}_conv{block}")
        x = layers.Add(name=f"stage{stage}_add")([x, entered])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x))


def _convolution(
    x: Any,
    channels: int,
    name: str,
    stride: int = 1,
    kernel: int = 3,
    activate: bool = True,
    padding: str = "same",
    pool: bool = False,
) -> Any:
    if stride == 2:
        # "same" would pad on one side only.
        x, padding = layers.ZeroPadding2D(1, name=f"{name}_pad")(x), "valid"
    options = {"strides": stride, "padding": padding, "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(channels, kernel, name=f"{name}_conv", **options)(x)
    x = layers.MaxPooling2D(2, name=f"{name}_pool")(x) if pool else x
    # As in `students.convnet`: only a scale that is never negative can move to the other side of a pool.
    constraint = "non_neg" if pool else None
    x = layers.BatchNormalization(gamma_constraint=constraint, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _residual(x: Any, channels: int, name: str, stride: int = 1) -> Any:
    y = _convolution(x, channels, f"{name}_a", stride)
    y = _convolution(y, channels, f"{name}_b", activate=False)
    if stride == 2:
        x = layers.AveragePooling2D(2, name=f"{name}_shrink")(x)
        x = _convolution(x, channels, f"{name}_skip", kernel=1, activate=False)
    return layers.ReLU(6.0, name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


@dataclass(frozen=True)
class Case:
    """What is compared.

    Attributes:
        build: function classes -> untrained members, widest first; they are trained together.
        whitened: whether the stems start as whitening filters.
        settings: hyperparameters.
    """

    build: Callable[[int], list[keras.Model]]
    whitened: bool = True
    settings: TrainingSettings = FRESH


def present(*specs: MemberSpec) -> Callable[[int], list[keras.Model]]:
    """Builds students of the present shape."""
    return lambda classes: [build_student(spec, classes) for spec in specs]


CASES = {
    "present": Case(present(ALONE)),
    "unwhitened": Case(present(ALONE), whitened=False),
    "norm-first": Case(lambda classes: [norm_first(ALONE, classes)]),
    "hard-labels": Case(present(ALONE), settings=replace(FRESH, hard=1.0)),
    "strided": Case(lambda classes: [strided(classes)]),
    # The student before as it was; compare with `unwhitened`.
    "strided-unwhitened": Case(lambda classes: [strided(classes)], whitened=False),
    "narrowed-end": Case(present(WIDEST, END)),
    "narrowed-every-stage": Case(present(WIDEST, EVERY_STAGE)),
    # Shapes of about 300 kB.
    "base": Case(present(WIDEST)),
    "wide-end": Case(present(replace(WIDEST, channels=(24, 32, 64, 128)))),
    "even": Case(present(replace(WIDEST, channels=(24, 32, 96, 96)))),
    "residual": Case(lambda classes: [residual(classes)]),
    "deep-first": Case(present(replace(WIDEST, channels=(24, 32, 64, 120), blocks=(2, 2, 2)))),
    # The same bytes with more work, for when there is time for it.
    "wide-start": Case(present(replace(WIDEST, channels=(24, 64, 80, 96)))),
    "deep-flat": Case(present(replace(WIDEST, channels=(24, 48, 80, 96), blocks=(2, 2, 2)))),
    "wide-deep": Case(present(replace(WIDEST, channels=(32, 64, 72, 88), blocks=(2, 2, 2)))),
    "soft-only": Case(present(WIDEST), settings=replace(FRESH, hard=0.0)),
}


def train(
    name: str, models: Sequence[keras.Model], batches: LabelledViews, seconds: float, progress: Progress
) -> tuple[list[keras.Model], Trained]:
    """Joint training as in `train.family`, but that whitening may be left out and compiling costs no time."""
    case = CASES[name]
    members = [trainable(model, case.settings.dtype, case.settings.momentum) for model in models]
    settings = case.settings
    family = JointFamily(members, settings.temperature, settings.hard, narrow_share=settings.narrow_share)
    if case.whitened:
        whiten_stems(members, batches.batch(0)[0])
    compile_family(family, optimizer_for(case.settings))
    step_seconds = time_joint_step(family, batches)
    trained = fit(
        family,
        batches,
        progress,
        stage_name=name,
        steps=affordable_steps(seconds, step_seconds, len(batches)),
        seconds=seconds,
        peak=case.settings.peak,
        schedule=Schedule(case.settings.warmup),
        dtype=case.settings.dtype,
    )
    return family.release(), trained


def run(
    name: str, seed: int, batches: LabelledViews, validation: ImageSplit, seconds: float, progress: Progress
) -> dict[str, Any]:
    """Trains a case once, and judges its members."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    case = CASES[name]
    models = case.build(batches.soft.classes)
    trained, summary = train(name, models, batches, seconds, progress)
    members = []
    for model, member in zip(models, trained, strict=True):
        cost = model_cost(model)
        accuracy = score(predict(plain(member), validation, SIZE), validation.labels).accuracy
        members.append(
            {
                "parameters": cost.parameters,
                "macs": cost.macs,
                "estimated_size_bytes": cost.size_bytes,
                "validation_accuracy": accuracy,
            }
        )
    return {
        "student": name,
        "seed": seed,
        "whitened": case.whitened,
        "hard": case.settings.hard,
        "training": summary.summary(),
        "members": members,
    }


def hold_out(split: ImageSplit, count: int) -> tuple[ImageSplit, ImageSplit]:
    """A split without `count` of its images, and these."""
    order = np.random.default_rng(DATA_SEED).permutation(len(split))
    rest, held = (ArraySplit(split.batch(part, SIZE), split.labels[part]) for part in (order[count:], order[:count]))
    return rest, held


def table(rows: Sequence[dict[str, Any]], validation_images: int) -> Table:
    """One line a member; with several seeds the mean accuracy, and the lowest and the highest."""
    shares = [member["validation_accuracy"] for row in rows for member in row["members"]]
    error = max(math.sqrt(share * (1 - share) / validation_images) for share in shares)
    caption = f"sizes are estimated; {validation_images} validation images: standard error {100 * error:.1f} points"
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    shown.add_column("student", no_wrap=True)
    for heading in ("params", "MACs", "size", "epochs", "accuracy, %"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for name in dict.fromkeys(row["student"] for row in rows):
        same = [row for row in rows if row["student"] == name]
        epochs = sum(row["training"]["epochs"] for row in same) / len(same)
        for number, member in enumerate(same[0]["members"]):
            found = [100 * row["members"][number]["validation_accuracy"] for row in same]
            spread = f" ({min(found):.1f}-{max(found):.1f})" if len(found) > 1 else ""
            shown.add_row(
                name if number == 0 else "  narrow member",
                show_count(member["parameters"]),
                show_count(member["macs"]),
                show_bytes(member["estimated_size_bytes"]),
                f"{epochs:.1f}" if number == 0 else "",
                f"{sum(found) / len(found):.1f}{spread}",
            )
    return shown


def main() -> None:
    """Trains every case with every seed, prints the table and writes `results/students.json`."""
    parser = argparse.ArgumentParser(description="students")
    parser.add_argument("--data", type=Path, default=find_data() / "cifar10.npz")
    parser.add_argument("--teacher", type=Path, default=find_teachers() / "resnet56_cifar10.keras")
    parser.add_argument("--seconds", type=float, default=150.0, help="of training, for each case and seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of weights and order")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--views", type=int, default=2, help="of each image, labelled by the teacher")
    parser.add_argument("--mixed", action="store_true", help="every second view is mixed with another image")
    parser.add_argument(
        "--held-out", type=int, default=0, help="judge on so many training images, left out of training"
    )
    parser.add_argument("--images", type=int, default=None, help="train on so many only, to try the script out")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "students.json", help="write the JSON here")
    arguments = parser.parse_args()
    for path in (arguments.data, arguments.teacher):
        if not path.exists():
            sys.exit(f"{path} is missing; see CONTRIBUTING.md for where the data comes from")
    progress = Progress(Lines(Console(stderr=True)))

    dataset = load_dataset(arguments.data, seed=DATA_SEED)
    teacher = load_teacher(arguments.teacher, dataset=dataset)
    train_split, validation = dataset.train, dataset.validation  # of the test split nothing is read from here on
    if arguments.held_out:
        train_split, validation = hold_out(train_split, arguments.held_out)
    if arguments.images:
        indices = balanced_sample(train_split.labels, arguments.images)
        train_split = ArraySplit(train_split.batch(indices, SIZE), train_split.labels[indices])
    flip = mirroring_is_harmless(teacher, validation)
    views = Views(train_split, ViewSpec(arguments.views, SIZE, DATA_SEED, flip, arguments.mixed))
    soft, _ = soft_labels(teacher, views, dataset.classes, cache_folder(), progress)

    rows = []
    # Seeds outside: should the machine's pace change, it changes for all cases alike.
    for seed in arguments.seeds:
        batches = LabelledViews(views, soft, FRESH.batch_size, seed)
        rows += [run(name, seed, batches, validation, arguments.seconds, progress) for name in arguments.only]

    options = ["--data", arguments.data.name, "--teacher", arguments.teacher.name]
    options += ["--seconds", f"{arguments.seconds:g}", "--seeds", *map(str, arguments.seeds)]
    options += ["--views", str(arguments.views)] if arguments.views != 2 else []
    options += ["--mixed"] if arguments.mixed else []
    options += ["--held-out", str(arguments.held_out)] if arguments.held_out else []
    options += ["--images", str(arguments.images)] if arguments.images else []
    options += ["--only", *arguments.only] if arguments.only != list(CASES) else []
    result = {
        "benchmark": "students",
        "command": " ".join(["python", "benchmarks/students.py", *options]),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": arguments.seconds,
        "seeds": arguments.seeds,
        "train_images": len(train_split),
        "validation_images": len(validation),
        "views": arguments.views,
        "mixed_views": arguments.mixed,
        "environment": environment().model_dump(),
        "rows": rows,
    }
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console().print(table(rows, len(validation)))


if __name__ == "__main__":
    main()
