"""After joint training: members that were not trained are cut out of the weights, and those that fit are finished."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from learn2compress.core.dataset import Dataset, Images
from learn2compress.core.member import Cost, MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.core.target import QUALITY, bound_sets
from learn2compress.graph.slices import Part
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.teacher import Teacher
from learn2compress.measure.accuracy import score
from learn2compress.plan.search import Judged, smallest_that_holds
from learn2compress.stages.planning import Plan, Spare
from learn2compress.train.cut_out import cut_out
from learn2compress.train.fit import LabelledViews
from learn2compress.train.quantize import predict
from learn2compress.train.trainable import plain

JUDGED_IMAGES = 1000


def with_fitting_members(
    plan: Plan,
    members: Sequence[keras.Model],
    batches: LabelledViews,
    teacher: Teacher,
    dataset: Dataset,
    options: Options,
    progress: Progress,
    seconds: float,
) -> Plan:
    """The plan with the trained members, and for each set of bounds the smallest member that holds them.

    Args:
        plan: with the spare members to look at.
        members: trained, one for each of the plan's specs.
        batches: images with the teacher's outputs.
        teacher: its accuracy is what a drop is reckoned from.
        dataset: on whose validation images members are judged.
        options: with the bounds.
        progress: gets what was found.
        seconds: when they are over, no further member is looked at.
    """
    parts = [Part(plain(member), part.positions) for member, part in zip(members, plan.parts, strict=True)]
    known = list(zip(plan.specs, parts, plan.costs, strict=True))
    started = time.monotonic()
    # Reading and changing images takes longer than running a small member on them: once for all members.
    batches = batches.remembered()
    split, labels, count = dataset.validation, dataset.validation.labels, min(JUDGED_IMAGES, len(dataset.validation))
    images: dict[tuple[int, int], Images] = {}

    def accuracy(model: keras.Model) -> float:
        size = model.input_shape[1:3]
        if size not in images:
            images[size] = split.batch(np.arange(count), size)
        return score(predict(model, ArraySplit(images[size], labels[:count]), size), labels[:count]).accuracy

    judged = [Judged(cost, accuracy(part.model)) for _, part, cost in known]
    taught = score(teacher.predict(images[teacher.input_size]), labels[:count]).accuracy
    with progress.stage("search", len(plan.spares)) as stage:
        for spare in stage.track(plan.spares):
            if time.monotonic() - started > seconds:
                looked_at, others = len(judged) - len(parts), len(plan.spares)
                progress.note(f"the search ends with the time for it, after {looked_at} of {others} members")
                break
            wider = _wider(spare, known[: len(parts)])
            model = plain(cut_out(spare.part, wider, batches))
            known.append((spare.spec, Part(model, spare.part.positions), spare.cost))
            judged.append(Judged(spare.cost, accuracy(model)))
    kept = set(range(len(parts)))
    for bounds in bound_sets(options.targets):
        if not any(target.metric in QUALITY for target in bounds):
            continue
        texts = tuple(target.text for target in bounds)
        number = smallest_that_holds(judged, bounds, taught)
        if number is None:
            progress.note(f"no member holds {' and '.join(texts)} on validation images before quantization")
            continue
        spec, part, cost = known[number]
        if number >= len(parts) and number not in kept:
            spec = replace(spec, name=f"fitting-{len(kept) - len(parts) + 1}")
        known[number] = replace(spec, targets=tuple(dict.fromkeys((*spec.targets, *texts)))), part, cost
        kept.add(number)
        progress.note(
            f"{spec.name}, {spec.input_size[1]}x{spec.input_size[0]}, {cost.macs} MACs, is the smallest of "
            f"{len(judged)} looked at that holds {' and '.join(texts)} on validation images: "
            f"{judged[number].accuracy:.1%} before quantization"
        )

    def place(number: int) -> tuple[Any, ...]:
        """What takes whole images comes first: the others' are resized."""
        spec, _, cost = known[number]
        return [-length for length in spec.input_size], -spec.depth, -cost.size_bytes

    order = sorted(kept, key=place)
    return replace(
        plan,
        specs=tuple(known[number][0] for number in order),
        parts=tuple(known[number][1] for number in order),
        costs=tuple(known[number][2] for number in order),
        spares=(),
        start="as built",
    )


def _wider(spare: Spare, trained: Sequence[tuple[MemberSpec, Part, Cost]]) -> list[Part]:
    """Those that a member can be cut out of, widest first: the one of its own layers, where there is one."""
    twin = [part for spec, part, _ in trained if spec.same_layers(spare.spec)]
    return (
        twin[:1]
        or [
            part
            for spec, part, cost in trained
            if spec.contains(spare.spec)
            and spec.depth >= spare.spec.depth
            and cost.size_bytes >= spare.cost.size_bytes
        ]
        or [trained[0][1]]
    )
