"""After joint training: members that were not trained are cut out of the weights, and those that fit are finished."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.chunks import at_once
from learn2compress.core.dataset import Dataset, Images
from learn2compress.core.member import Cost, MemberSpec
from learn2compress.core.progress import Progress
from learn2compress.core.searched import LookedAt, Searched
from learn2compress.core.target import QUALITY, Target, bound_sets
from learn2compress.graph.slices import Part
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.splits import balanced_sample
from learn2compress.inputs.teacher import Teacher
from learn2compress.measure.accuracy import score
from learn2compress.plan.search import Judged, front, smallest_that_holds
from learn2compress.stages.planning import Plan, Spare
from learn2compress.train.batches import LabelledViews
from learn2compress.train.cut_out import cut_out
from learn2compress.train.quantize import predict
from learn2compress.train.trainable import plain

JUDGED_IMAGES = 1000
# They stay in memory as long as members are looked at: 1000 images of 224 px take 151 MB.
JUDGED_BYTES = 400_000_000


class Lookout:
    """The trained members and those that can be cut out of them; each is cut out and judged when it is asked for.

    Numbers count the trained members first, then the plan's spare ones.

    Args:
        plan: with the spare members.
        members: trained, one for each of the plan's specs.
        batches: images with the teacher's outputs.
        dataset: on whose validation images members are judged.
    """

    def __init__(self, plan: Plan, members: Sequence[keras.Model], batches: LabelledViews, dataset: Dataset) -> None:
        parts = [Part(plain(member), part.positions) for member, part in zip(members, plan.parts, strict=True)]
        self.plan = plan
        self._trained = list(zip(plan.specs, parts, plan.costs, strict=True))
        self._spares = plan.spares
        self._models: dict[int, keras.Model] = {}
        # Reading and changing images takes longer than running a small member on them: once for all members.
        self._batches = batches.remembered()
        self._split = dataset.validation
        largest = max((spec.input_size for spec in plan.specs), key=math.prod)
        self._chosen = balanced_sample(self._split.labels, at_once(largest, JUDGED_BYTES, JUDGED_IMAGES))
        self._labels = self._split.labels[self._chosen]
        self._images: dict[tuple[int, int], Images] = {}

    def member(self, number: int) -> tuple[MemberSpec, Part, Cost]:
        """What the member is, its model, and what it takes."""
        if number < len(self._trained):
            return self._trained[number]
        spare = self._spares[number - len(self._trained)]
        if number not in self._models:
            self._models[number] = plain(cut_out(spare.part, _wider(spare, self._trained), self._batches))
        return spare.spec, Part(self._models[number], spare.part.positions), spare.cost

    def known(self, number: int) -> tuple[MemberSpec, Cost]:
        """What the member is and what it takes, without it being cut out."""
        if number < len(self._trained):
            spec, _, cost = self._trained[number]
            return spec, cost
        spare = self._spares[number - len(self._trained)]
        return spare.spec, spare.cost

    def accuracy(self, number: int) -> float:
        """On validation images, as a fraction of 1."""
        model = self.member(number)[1].model
        size = model.input_shape[1:3]
        return score(predict(model, ArraySplit(self._of_size(size), self._labels), size), self._labels).accuracy

    @property
    def images(self) -> int:
        """How many images members are judged on."""
        return len(self._chosen)

    def taught(self, teacher: Teacher) -> float:
        """The teacher's accuracy on the same images."""
        return score(teacher.predict(self._of_size(teacher.input_size)), self._labels).accuracy

    def _of_size(self, size: tuple[int, int]) -> Images:
        if size not in self._images:
            self._images[size] = self._split.batch(self._chosen, size)
        return self._images[size]


class Search:
    """Looks at one member after another, and picks for each set of bounds the smallest that holds them.

    Args:
        lookout: the trained members and those that can be cut out of them.
        run: remembers how right each member is; what an earlier process has judged is not judged again.
        progress: gets what was found.
    """

    def __init__(self, lookout: Lookout, run: Checkpoints, progress: Progress) -> None:
        self._lookout, self._run, self._progress = lookout, run, progress
        self._trained = range(len(lookout.plan.specs))
        self._judged: list[Judged] = []

    def _judge(self, number: int, accuracy: float) -> None:
        _, cost = self._lookout.known(number)
        self._judged.append(Judged(cost, accuracy, self._lookout.images))

    def _look(self, seconds: float) -> None:
        """Judges the trained members, then the spare ones; when the seconds are over, no further one is looked at."""
        for number in self._trained:
            self._judge(number, self._lookout.accuracy(number))
        first, others = len(self._trained), len(self._lookout.plan.spares)
        began, before = time.monotonic(), 0.0

        def spent() -> float:
            """Seconds of the search, those of an earlier process included."""
            return before + time.monotonic() - began

        def look_at(number: int) -> tuple[float, float]:
            return self._lookout.accuracy(number), spent()

        with self._progress.stage("search", others) as stage:
            for number in stage.track(range(first, first + others)):
                key = f"search {number}"
                known = self._run.knows(key)
                if not known and spent() > seconds:
                    looked_at = len(self._judged) - first
                    self._progress.note(
                        f"the search ends with the time for it, after {looked_at} of {others} members"
                    )
                    break
                accuracy, until = self._run.recall(key, partial(look_at, number))
                before = until if known else before
                self._judge(number, accuracy)

    def fitting(self, targets: Sequence[Target], teacher: Teacher, seconds: float) -> Plan:
        """The plan with the trained members, and for each set of bounds the smallest member that holds them.

        Of a plan that is settled nothing is judged: its spare members are those that an earlier run has found so.

        Args:
            targets: the bounds.
            teacher: its accuracy is what a drop is reckoned from.
            seconds: that looking may take.
        """
        plan = self._lookout.plan
        if plan.settled:
            return self._with({n: self._lookout.member(n) for n in range(len(plan.specs) + len(plan.spares))}, {})
        self._look(seconds)
        taught = self._lookout.taught(teacher)
        kept = {number: self._lookout.member(number) for number in self._trained}
        taken_for: dict[int, tuple[str, ...]] = {}
        for bounds in bound_sets(targets):
            if not any(target.metric in QUALITY for target in bounds):
                continue
            texts = tuple(target.text for target in bounds)
            smallest = smallest_that_holds(self._judged, bounds, taught)
            if smallest is None:
                self._progress.note(f"no member holds {' and '.join(texts)} on validation images before quantization")
                continue
            spec, part, cost = kept.get(smallest) or self._lookout.member(smallest)
            if smallest not in kept:
                spec = replace(spec, name=f"fitting-{len(kept) - len(self._trained) + 1}")
            kept[smallest] = replace(spec, targets=_added(spec.targets, texts)), part, cost
            taken_for[smallest] = _added(taken_for.get(smallest, ()), texts)
            self._progress.note(
                f"{spec.name}, {spec.input_size[1]}x{spec.input_size[0]}, {cost.macs} MACs, is the smallest of "
                f"{len(self._judged)} looked at that holds {' and '.join(texts)} on validation images: "
                f"{self._judged[smallest].accuracy:.1%} before quantization"
            )
        names = {number: spec.name for number, (spec, _, _) in kept.items()}
        found = Searched(
            images=self._lookout.images,
            teacher_accuracy=round(taught, 6),
            spares=len(plan.spares),
            members=self._looked_at(names, taken_for),
        )
        return self._with(kept, found.model_dump(mode="json"))

    def _looked_at(self, names: Mapping[int, str], taken_for: Mapping[int, tuple[str, ...]]) -> tuple[LookedAt, ...]:
        """All that was judged; those that were taken go by the names that they have in the family."""
        on_front = front(self._judged)
        found = []
        for number, one in enumerate(self._judged):
            spec, cost = self._lookout.known(number)
            found.append(
                LookedAt(
                    name=names.get(number, spec.name),
                    input_size=spec.input_size,
                    trained=number in self._trained,
                    size_bytes=cost.size_bytes,
                    macs=cost.macs,
                    latency_ms=cost.latency_ms or None,
                    peak_memory_bytes=cost.memory_bytes or None,
                    accuracy_validation=round(one.accuracy, 6),
                    on_front=number in on_front,
                    taken_for=taken_for.get(number, ()),
                )
            )
        return tuple(found)

    def _with(self, kept: Mapping[int, tuple[MemberSpec, Part, Cost]], search: dict[str, Any]) -> Plan:
        """The plan with these members, by their numbers, and no spare ones."""
        specs, parts, costs = zip(*sorted(kept.values(), key=_place), strict=True)
        cut_out = tuple(spec.name for number, (spec, _, _) in kept.items() if number not in self._trained)
        return replace(
            self._lookout.plan,
            specs=specs,
            parts=parts,
            costs=costs,
            spares=(),
            start="as built",
            cut_out=cut_out,
            search=search,
        )


def _added(texts: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*texts, *more)))


def _place(member: tuple[MemberSpec, Part, Cost]) -> tuple[Any, ...]:
    """What takes whole images comes first: the others' are resized."""
    spec, _, cost = member
    return [-length for length in spec.input_size], -spec.depth, -cost.size_bytes


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
