"""What the benchmarks of joint training share: CIFAR-10, its ResNet-56 teacher, a family of students."""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from _harness import find_data, find_teachers

from learn2compress.core.dataset import Dataset
from learn2compress.core.member import MemberSpec
from learn2compress.core.progress import SILENT
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.splits import balanced_sample
from learn2compress.inputs.teacher import Teacher, load_teacher
from learn2compress.measure.accuracy import score
from learn2compress.plan.members import choose_members, largest_by_default, widest_member
from learn2compress.sources.fresh import FreshStudents
from learn2compress.train.batches import LabelledViews
from learn2compress.train.family import joint_training
from learn2compress.train.fit import Trained
from learn2compress.train.quantize import predict
from learn2compress.train.settings import SETTINGS, TrainingSettings
from learn2compress.train.trainable import plain

SIZE = (32, 32)


@dataclass(frozen=True)
class Material:
    """Teacher, data with `images` training images, and where students come from."""

    teacher: Teacher
    dataset: Dataset
    source: FreshStudents

    def specs(self, count: int) -> list[MemberSpec]:
        """The members that a run without targets would train, widest first."""
        largest = largest_by_default(self.teacher.parameters)
        wides = self.source.candidates()
        widest = widest_member(wides, (), largest)
        return [c.spec for c in choose_members(self.source.narrower(widest, wides), (), count, largest)]

    def accuracy(self, member: keras.Model) -> float:
        """On the test split."""
        return score(predict(plain(member), self.dataset.test, SIZE), self.dataset.test.labels).accuracy


def material(images: int | None) -> Material:
    model, data = find_teachers() / "resnet56_cifar10.keras", find_data() / "cifar10.npz"
    for path in (model, data):
        if not path.exists():
            sys.exit(f"{path} is missing; see CONTRIBUTING.md for where the data comes from")
    dataset = load_dataset(data, seed=0)
    if images:
        indices = balanced_sample(dataset.train.labels, images)
        dataset = replace(
            dataset, train=ArraySplit(dataset.train.batch(indices, SIZE), dataset.train.labels[indices])
        )
    teacher = load_teacher(model, dataset=dataset)
    return Material(teacher, dataset, FreshStudents(teacher, dataset, "a benchmark"))


def trained(
    material: Material, specs: list[MemberSpec], batches: LabelledViews, epochs: float, seed: int = 0, **changes: Any
) -> tuple[list[keras.Model], Trained, float]:
    """Members after so many epochs; what the training was; and seconds with all that goes before the first step."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    settings: TrainingSettings = replace(SETTINGS["students"].here(), **changes)
    steps = round(epochs * len(batches))
    fixed: Callable[[float, float, int], int] = lambda *_: steps  # noqa: E731
    started = time.perf_counter()
    members, summary = joint_training(
        [material.source.build(spec) for spec in specs],
        batches,
        SILENT,
        start="stems",
        settings=settings,
        seconds=0,
        plan_steps=fixed,
    )
    return members, summary, time.perf_counter() - started


def timed(families: dict[str, Any], batches: LabelledViews, rounds: int, steps: int) -> dict[str, float]:
    """Median seconds of a step of each family as a run takes them, with making images in another thread and waiting
    for them; in turns: a slow moment slows all families.

    Args:
        steps: that each takes at its turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in families}
    with ExitStack() as stack:
        images = {name: stack.enter_context(closing(batches.prefetched())) for name in families}
        for _ in range(rounds):
            for name, family in families.items():
                family.train_on_batch(*next(images[name]))
                started = time.perf_counter()
                for _ in range(steps):
                    family.train_on_batch(*next(images[name]))
                seconds[name].append((time.perf_counter() - started) / steps)
    return {name: float(np.median(values)) for name, values in seconds.items()}
