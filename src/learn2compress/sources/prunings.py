"""The teacher's own graph, with the channels that matter least taken out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from learn2compress.core.choice import Choice
from learn2compress.core.dataset import Dataset
from learn2compress.core.member import MemberSpec, Route, Start
from learn2compress.graph.channels import FEWEST_CHANNELS, Channels, find_channels
from learn2compress.graph.pruned_cost import pruned_cost
from learn2compress.graph.slices import Part
from learn2compress.graph.surgery import prune
from learn2compress.graph.trunk import build_whole
from learn2compress.graph.walk import weight_layers
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.members import Candidate
from learn2compress.plan.pruning import PruningOrder, pruning_order
from learn2compress.train.importance import MEASURES

MEASURE = "Taylor"
MULTIPLE = 8
JUDGED_BATCHES = 20
JUDGED_BATCH_SIZE = 32
# Candidates differ in size by at least this share.
SIZE_STEP = 0.02


def _flat(model: Any) -> Any:
    """The same model without nested ones."""
    return prune(find_channels(model), Choice()).model


class TeacherPrunings:
    """Ever narrower prunings along one order of removals, each nested in all before it; see `MemberSource`."""

    route: Route = "teacher"
    start: Start = "as built"

    def __init__(self, teacher: Teacher, dataset: Dataset, reason: str) -> None:
        self.reason = reason
        self._teacher, self._dataset = teacher, dataset

    def candidates(self) -> list[Candidate]:
        """The teacher whole and its prunings, a few per cent of size apart."""
        found: list[Candidate] = []
        for removals in range(len(self.order.removals) + 1):
            cost = pruned_cost(self.channels, self.order.choice(removals))
            if found and cost.size_bytes > (1 - SIZE_STEP) * found[-1].cost.size_bytes:
                continue
            spec = MemberSpec(
                f"pruned-{removals}",
                "teacher",
                round(cost.parameters / (found[0].cost.parameters if found else cost.parameters), 3),
                self._teacher.input_size,
                removals=removals,
                depth=weight_layers(self.channels.graph.model),
            )
            found.append(Candidate(spec, cost))
        return found

    def narrower(self, widest: Candidate, candidates: list[Candidate]) -> list[Candidate]:
        """All that come later in the order."""
        return [candidate for candidate in candidates if candidate.spec.removals >= widest.spec.removals]

    def build(self, spec: MemberSpec) -> Part:
        """The pruned teacher with its own weights and its own classifier."""
        return prune(self.channels, self.order.choice(spec.removals), spec.name.replace("-", "_"))

    @cached_property
    def channels(self) -> Channels:
        """The channel analysis of the teacher in the form of a member."""
        preprocess = self._teacher.preprocess
        scale, offset = np.asarray(preprocess.scale, float), np.asarray(preprocess.offset, float)
        return find_channels(build_whole(_flat(self._teacher.keras_model), "whole", scale, offset, preprocess.bgr))

    @cached_property
    def order(self) -> PruningOrder:
        """What goes first: what the loss would suffer least from, for the work and the bytes that it saves."""
        scores = MEASURES[MEASURE](self.channels, self._judged())
        whole = pruned_cost(self.channels, Choice())
        worth = {}
        for index, values in scores.items():
            fewer = Choice({index: np.arange(len(values) - MULTIPLE)})
            cost = pruned_cost(self.channels, fewer)
            worth[index] = (1 - cost.macs / whole.macs) + (1 - cost.parameters / whole.parameters)
        return pruning_order(scores, fewest=FEWEST_CHANNELS, multiple=MULTIPLE, worth=worth)

    def _judged(self) -> Iterator[tuple[Any, tuple[Any, Any]]]:
        """Training images with their labels, for the measure."""
        split, size = self._dataset.train, self._teacher.input_size
        order = np.random.default_rng(0).permutation(len(split))
        for start in range(0, min(len(order), JUDGED_BATCHES * JUDGED_BATCH_SIZE), JUDGED_BATCH_SIZE):
            indices = np.sort(order[start : start + JUDGED_BATCH_SIZE])
            labels = split.labels[indices]
            yield split.batch(indices, size), (labels, np.zeros((len(indices), self._dataset.classes), np.float32))
