"""The teacher's own graph, with the channels that matter least taken out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from learn2compress.core.choice import Choice
from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.member import Cost, MemberSpec, Route, SourceKind, Start
from learn2compress.graph.channels import Channels, find_channels
from learn2compress.graph.input_size import at_size
from learn2compress.graph.pruned_cost import pruned_cost
from learn2compress.graph.slices import Part
from learn2compress.graph.surgery import prune, remaining_calls
from learn2compress.graph.trunk import build_whole, own_layers
from learn2compress.graph.walk import is_weight_layer
from learn2compress.inputs.outputs import as_probabilities
from learn2compress.inputs.teacher import Teacher
from learn2compress.plan.members import PRICES, Candidate
from learn2compress.plan.pruning import PruningOrder, Removal, pruning_order
from learn2compress.sources.protocol import Recall
from learn2compress.train.importance import MEASURES, Scores, normalized
from learn2compress.train.importance.taylor import Taylor
from learn2compress.train.sensitivity import agreements, least_shares

# At most and at least so many, and between these as many as take so many multiply-accumulates together: planning has
# to leave time for training. By work and not by the clock, so that the same run gives the same members.
JUDGED_BATCHES, FEWEST_JUDGED, JUDGED_MACS = 20, 4, 3e11
JUDGED_BATCH_SIZE = 32
# For the guard, which runs the model on them once for each group.
SILENCED_IMAGES, FEWEST_SILENCED, SILENCED_MACS = 64, 16, 1e12
COMPARED_IMAGES = 8
# Share of the probability that may lie with other classes. Not nothing: at the rim of an image, zero padding stood
# for the mean pixel, and stands for mid-grey in a member.
MOST_APART = 0.25
# Candidates differ in size or in MACs by at least this share. Costing one takes a millisecond.
STEP = 0.01
# A step that saves more than this at once, as a block does, would overshoot bounds: removals before it are given
# back, one after the other. So many are tried.
LARGE_STEP, TRIED = 0.03, 16


class TeacherPrunings:
    """Ever narrower prunings along one order of removals, each nested in all before it; see `MemberSource`."""

    kind: SourceKind = "prunings"
    words = "prunings of the teacher"
    route: Route = "teacher"
    start: Start = "as built"

    def __init__(
        self,
        teacher: Teacher,
        dataset: Dataset,
        reason: str,
        priced: Collection[str] = frozenset(PRICES.values()),
        importance: str = Taylor.name,
        recall: Recall | None = None,
    ) -> None:
        """As other sources, but that `priced` says what a channel's worth is reckoned in.

        `importance` is one of `MEASURES`; but for Taylor none says anything of blocks, which then stay.
        The order, which takes a minute to find, goes through `recall`, where there is one.
        """
        self.reason, self._priced, self._measure = reason, frozenset(priced), MEASURES[importance]
        self._teacher, self._dataset, self._recall = teacher, dataset, recall

    def candidates(self) -> list[Candidate]:
        """The teacher whole and its prunings, close to one another in size and MACs.

        After a large step, candidates lie between with that step taken and some before it given back.

        Raises:
            InputError: `route.teacher_refused` where there is nothing to take out.
        """
        if not self.order.removals:
            raise InputError(
                "route.teacher_refused",
                "The teacher's own graph can't be pruned: no group has channels to spare, and no block can go.",
                "use --from fresh: students of our own are trained from the teacher's outputs.",
            )
        whole = before = self._cost(0)
        found: list[Candidate] = []
        for removals in range(len(self.order.removals) + 1):
            cost = self._cost(removals)
            between = self._between(removals, before, cost) if _smaller(cost, before, LARGE_STEP) else []
            for given_back in (*between, ()):
                cost = self._cost(removals, given_back)
                if not found or _smaller(cost, found[-1].cost):
                    found.append(
                        Candidate(self._spec(removals, given_back, cost.parameters / whole.parameters), cost)
                    )
            before = cost
        return found

    def _cost(self, removals: int, given_back: tuple[int, ...] = ()) -> Cost:
        return pruned_cost(self.channels, self.order.choice(removals, given_back))

    def _spec(self, removals: int, given_back: tuple[int, ...], width: float) -> MemberSpec:
        return MemberSpec(
            f"pruned-{removals}" + f"-{len(given_back)}-back" * bool(given_back),
            "teacher",
            round(width, 3),
            self._teacher.input_size,
            removals=removals,
            given_back=given_back,
            depth=self._depth(self.order.choice(removals, given_back)),
        )

    def _between(self, removals: int, before: Cost, after: Cost) -> list[tuple[int, ...]]:
        """What can be given back, ever less of it, so that it costs less than `before` still.

        The last removals come first: they hurt most.
        """
        found: list[tuple[int, ...]] = []
        given_back: tuple[int, ...] = ()
        for number in range(removals - 2, max(-1, removals - 2 - TRIED), -1):
            if not self.order.may_be_given_back(number, removals, given_back):
                continue
            cost = self._cost(removals, (*given_back, number))
            saves = cost.macs < before.macs and cost.size_bytes < before.size_bytes
            if saves and (cost.macs > after.macs or cost.size_bytes > after.size_bytes):
                given_back, after = (*given_back, number), cost
                found.append(given_back)
        return found[::-1]

    def narrower(self, widest: Candidate, candidates: list[Candidate]) -> list[Candidate]:
        """All that lack what it lacks."""
        return [candidate for candidate in candidates if widest.spec.gone <= candidate.spec.gone]

    def uneven(self, widest: Candidate) -> list[Candidate]:
        """None: which channels go is decided by their worth."""
        return []

    def build(self, spec: MemberSpec) -> Part:
        """The pruned teacher with its own weights and its own classifier."""
        choice = self.order.choice(spec.removals, spec.given_back)
        pruned = prune(self.channels, choice, spec.name.replace("-", "_"))
        return at_size(pruned, spec.input_size)

    def _depth(self, choice: Choice) -> int:
        """Weight layers that a choice leaves."""
        calls, _ = remaining_calls(self.channels, choice)
        left = {id(call.operation): call.operation for call in calls}
        return sum(is_weight_layer(operation) for operation in left.values())

    @cached_property
    def channels(self) -> Channels:
        """The channel analysis of the teacher in the form of a member."""
        preprocess = self._teacher.preprocess
        scale, offset = np.asarray(preprocess.scale, float), np.asarray(preprocess.offset, float)
        own = own_layers(self._teacher.keras_model, self._teacher.input_size)
        whole = build_whole(own.model, "whole", scale, offset, preprocess.bgr)
        self._check_same(whole)
        return find_channels(whole)

    def _check_same(self, whole: Any) -> None:
        """Refuses layers that don't add up to the teacher: all that is trained from here on would start from noise.

        Raises:
            InputError: `route.teacher_refused`.
        """
        images = self._some_images(COMPARED_IMAGES)
        logits = np.asarray(whole.predict_on_batch((images.astype(np.float32) - 128) / 128))
        if self._teacher.outputs == "scores":
            found = as_probabilities(1 / (1 + np.exp(-logits)), "scores")
        else:
            found = as_probabilities(logits, "logits")
        apart = np.abs(found - self._teacher.predict(images)).sum(axis=1).mean() / 2
        if not apart <= MOST_APART:
            raise InputError(
                "route.teacher_refused",
                f"The teacher's layers, put together anew, give other outputs than the teacher: probabilities are "
                f"{100 * apart:.0f} % apart on training images.",
                "use --from fresh: students of our own are trained from the teacher's outputs.",
            )

    @cached_property
    def order(self) -> PruningOrder:
        """What goes first: what the loss would suffer least from, for the work and the bytes that it saves."""
        if self._recall is None:
            return self._judged_order()
        names = [block.name for block in self.channels.blocks]
        key = f"pruning order of {self._teacher.fingerprint} by {self._dataset.train.fingerprint}"
        return _unpacked(self._recall(key, lambda: _packed(self._judged_order(), names)), names)

    def _judged_order(self) -> PruningOrder:
        scores, blocks = self._scores()
        groups = {index: self.channels.groups[index] for index in scores}
        # By the step: so many channels of a group, or a block.
        worth = {
            index: self._saved(Choice({index: np.arange(max(1, group.size - group.step))})) / group.step
            for index, group in groups.items()
        }
        count = _affordable(SILENCED_MACS, len(groups) * self._macs, FEWEST_SILENCED, SILENCED_IMAGES)
        guard = least_shares(agreements(self.channels, scores, self._some_images(count)))
        spared = {name: self._saved(Choice(removed=frozenset([name]))) for name in blocks}
        lost = [(name, score / spared[name]) for name, score in blocks.items() if spared[name] > 0]
        return pruning_order(
            scores,
            fewest={index: group.fewest for index, group in groups.items()},
            multiple={index: group.step for index, group in groups.items()},
            least_shares=guard,
            worth=worth,
            blocks=lost,
        )

    def _scores(self) -> tuple[Scores, dict[str, float]]:
        """How much each unit of each group matters, and each block that the measure can judge."""
        if isinstance(self._measure, Taylor):
            return self._measure.with_blocks(self.channels, self._judged())
        scores = self._measure(self.channels, self._judged())
        return scores if self._measure.comparable else normalized(scores), {}

    def _saved(self, choice: Choice) -> float:
        """What a choice saves of the whole, in what members are reckoned in."""
        whole, cost = pruned_cost(self.channels, Choice()), pruned_cost(self.channels, choice)
        saved = {"macs": 1 - cost.macs / whole.macs, "size": 1 - cost.parameters / whole.parameters}
        return sum(saved[metric] for metric in self._priced)

    @cached_property
    def _macs(self) -> int:
        """Multiply-accumulates of the whole for an image."""
        return pruned_cost(self.channels, Choice()).macs

    def _some_images(self, count: int) -> Any:
        """Training images (n, h, w, 3) from all over the split, at most so many."""
        split = self._dataset.train
        indices = np.unique(np.linspace(0, len(split) - 1, count).astype(np.int64))
        return split.batch(indices, self._teacher.input_size)

    def _judged(self) -> Iterator[tuple[Any, tuple[Any, Any]]]:
        """Training images with their labels, for the measure."""
        split, size = self._dataset.train, self._teacher.input_size
        batches = _affordable(JUDGED_MACS, JUDGED_BATCH_SIZE * self._macs, FEWEST_JUDGED, JUDGED_BATCHES)
        order = np.random.default_rng(0).permutation(len(split))[: batches * JUDGED_BATCH_SIZE]
        for start in range(0, len(order), JUDGED_BATCH_SIZE):
            indices = np.sort(order[start : start + JUDGED_BATCH_SIZE])
            labels = split.labels[indices]
            yield split.batch(indices, size), (labels, np.zeros((len(indices), self._dataset.classes), np.float32))


def _packed(order: PruningOrder, blocks: Sequence[str]) -> dict[str, Any]:
    """What JSON can hold; blocks by their places, which are the same in every process."""
    return {
        "sizes": list(order.sizes.items()),
        "removals": [
            (one.group, one.units, blocks.index(one.block) if one.block else None, one.priority)
            for one in order.removals
        ],
    }


def _unpacked(found: Mapping[str, Any], blocks: Sequence[str]) -> PruningOrder:
    removals = (
        Removal(group, tuple(units), "" if block is None else blocks[block], priority)
        for group, units, block, priority in found["removals"]
    )
    return PruningOrder(tuple(removals), dict(found["sizes"]))


def _affordable(macs: float, each: int, fewest: int, most: int) -> int:
    """How many may be looked at, of which each takes so many multiply-accumulates and all together these."""
    return min(most, max(fewest, int(macs / max(1, each))))


def _smaller(cost: Cost, other: Cost, step: float = STEP) -> bool:
    """Whether a member is smaller, or takes less work, by a step: early layers have few weights, and much to do."""
    return cost.size_bytes <= (1 - step) * other.size_bytes or cost.macs <= (1 - step) * other.macs
