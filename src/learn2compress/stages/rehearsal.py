"""Rehearsals: members are written untrained, so that what can fail fails early and bounds are kept by measuring."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import ConversionError
from learn2compress.core.member import MemberSpec
from learn2compress.core.precision import FULL_INT8, FileFormat
from learn2compress.export.write import write_member
from learn2compress.inputs.teacher import Teacher
from learn2compress.measure.graph import describe
from learn2compress.measure.latency import latencies
from learn2compress.measure.memory import peak_memory_bytes
from learn2compress.plan.members import Candidate
from learn2compress.sources.protocol import MemberSource
from learn2compress.stages.files import file_specs, ready_to_write
from learn2compress.stages.metadata import metadata
from learn2compress.tasks import Task
from learn2compress.train.quantize import folded, quantization_ready
from learn2compress.train.trainable import trainable

# So many candidates are measured before any is chosen; what lies between is interpolated.
MEASURED_CANDIDATES = 5
# In all rounds together; in each of them at least so many blocks are timed, see `measure.latency`.
SECONDS_PER_FILE = 0.9
ROUNDS, MIN_RUNS = 3, 17
# A finished file is measured anew, on a machine that may just then be a little slower.
SAFETY = 1.02


class Rehearsal:
    """Files of untrained members, each written once.

    Args:
        task, source, teacher, dataset: of the run.
        folder: for the files.
        formats: how the members will be written; bounds are held by the first.
    """

    def __init__(
        self,
        task: Task,
        source: MemberSource,
        teacher: Teacher,
        dataset: Dataset,
        folder: Path,
        formats: Sequence[FileFormat] = (FULL_INT8,),
    ) -> None:
        self._formats = formats
        self._task, self._source, self._teacher, self._dataset = task, source, teacher, dataset
        self._folder = folder
        self._files: dict[tuple[object, ...], Path] = {}

    def file(self, spec: MemberSpec) -> Path:
        """The member's file, in the first of the precisions.

        Raises:
            ConversionError: it can't be written.
        """
        return self._file(spec, self._formats[0])

    def rehearse_others(self, spec: MemberSpec) -> None:
        """Writes the member in the other precisions, to see that it can be done.

        Raises:
            ConversionError: it can't.
        """
        for written in self._formats[1:]:
            self._file(spec, written)

    def succeeds(self, spec: MemberSpec) -> bool:
        """Whether the member can be written in every precision."""
        try:
            self.file(spec)
            self.rehearse_others(spec)
        except ConversionError:
            return False
        return True

    def _file(self, spec: MemberSpec, written: FileFormat) -> Path:
        key = (*spec.identity, written)
        if key not in self._files:
            model = self._source.build(spec).model
            rng = np.random.default_rng(0)
            # Equal buffers are stored once: all-zero biases would make the file look smaller than it will be.
            model.set_weights([np.abs(rng.normal(0.1, 0.05, w.shape)) + 0.01 for w in model.get_weights()])
            copy = trainable(model, "float32", 0.9)
            ready = quantization_ready(copy) if written.kind.rounded_in_training else folded(copy)
            # The file says its name, so the size is that of the finished one only under the same name.
            named = file_specs(spec, self._formats)[self._formats.index(written)]
            about = metadata(self._task, named, self._teacher, self._dataset, written)
            name = f"{self._source.kind}-{len(self._files)}"
            self._files[key] = write_member(
                ready_to_write(ready, written, "rehearsal"),
                None,
                self._folder,
                name,
                spec.input_size,
                about,
                written=written,
                samples=rng.integers(0, 256, (2, *spec.input_size, 3), np.uint8),
            )
        return self._files[key]

    def filed(self, candidate: Candidate) -> Candidate:
        """The candidate with the size and the MACs of its file.

        Raises:
            ConversionError: it can't be written.
        """
        file = self.file(candidate.spec)
        cost = replace(candidate.cost, size_bytes=file.stat().st_size, macs=describe(file).macs)
        return replace(candidate, cost=cost)


class MeasuredCosts:
    """What candidates take beside size and MACs: of some measured, of the others interpolated over their MACs.

    A shared host is slower at one moment than at another, by a tenth and more. So the first are timed in several
    rounds, of which the least counts, and later ones in turns with the known one that is most like them: it tells how
    slow the moment is.

    Args:
        rehearsal: writes their files.
        metrics: which of `latency` and `memory` are bounded; nothing else is measured.
    """

    def __init__(self, rehearsal: Rehearsal, metrics: Collection[str]) -> None:
        self._rehearsal = rehearsal
        self._metrics = [metric for metric in ("latency", "memory") if metric in metrics]
        # By identity: a candidate, and for each metric its milliseconds or bytes.
        self._known: dict[tuple[object, ...], tuple[Candidate, dict[str, float]]] = {}

    @property
    def measures(self) -> bool:
        """Whether anything is measured."""
        return bool(self._metrics)

    def survey(self, candidates: Sequence[Candidate]) -> None:
        """Measures some candidates between the cheapest and the dearest: beyond them nothing can be interpolated."""
        if not self._metrics or self._known:
            return
        ordered = sorted(candidates, key=lambda c: c.cost.macs)
        places = np.unique(np.linspace(0, len(ordered) - 1, MEASURED_CANDIDATES).round().astype(int))
        self.measure([ordered[place] for place in places])

    def measure(self, candidates: Sequence[Candidate]) -> None:
        """Measures these, interleaved, so far as they are not yet."""
        by_identity = {c.spec.identity: c for c in candidates}
        new = [candidate for key, candidate in by_identity.items() if key not in self._known]
        if not self._metrics or not new:
            return
        files = [self._rehearsal.file(c.spec) for c in new]
        found: list[dict[str, float]] = [{} for _ in new]
        if "latency" in self._metrics:
            timings = self._timed_beside(new, files) if self._known else self._timed(files)
            for values, milliseconds in zip(found, timings, strict=True):
                values["latency"] = milliseconds
        if "memory" in self._metrics:
            for values, file in zip(found, files, strict=True):
                values["memory"] = peak_memory_bytes(file)
        for candidate, values in zip(new, found, strict=True):
            self._known[candidate.spec.identity] = candidate, values

    def _timed(self, files: Sequence[Path]) -> list[float]:
        """Milliseconds of each file in the quickest of several rounds."""
        rounds = [
            [t.median for t in latencies(files, seconds_per_file=SECONDS_PER_FILE / ROUNDS, min_runs=MIN_RUNS)]
            for _ in range(ROUNDS)
        ]
        return [min(medians) for medians in zip(*rounds, strict=True)]

    def _timed_beside(self, new: Sequence[Candidate], files: Sequence[Path]) -> list[float]:
        """Milliseconds of each file, as if the moment were as quick as when a known one like them was timed."""
        middle = sorted(c.cost.macs for c in new)[len(new) // 2]
        beside, known = min(self._known.values(), key=lambda pair: abs(pair[0].cost.macs - middle))
        timings = latencies([self._rehearsal.file(beside.spec), *files], seconds_per_file=SECONDS_PER_FILE)
        reference, *medians = [timing.median for timing in timings]
        slower = max(1.0, reference / known["latency"])
        # Where this moment is the quicker one, it was the known one's that was slow.
        known["latency"] = min(known["latency"], reference)
        return [median / slower for median in medians]

    def of(self, candidate: Candidate, doubt: float = 0.0) -> Candidate:
        """The candidate with what it takes.

        Args:
            candidate: measured or not.
            doubt: by this share what is interpolated is lowered; what was measured stays as it is.
        """
        if not self._metrics:
            return candidate
        known = self._known.get(candidate.spec.identity)
        if known:
            values = known[1]
        else:
            values = {metric: (1 - doubt) * self._between(metric, candidate.cost.macs) for metric in self._metrics}
        cost = replace(
            candidate.cost,
            latency_ms=SAFETY * values.get("latency", 0.0),
            memory_bytes=SAFETY * values.get("memory", 0.0),
        )
        return replace(candidate, cost=cost)

    def _between(self, metric: str, macs: int) -> float:
        points = sorted((c.cost.macs, values[metric]) for c, values in self._known.values())
        return float(np.interp(macs, [at for at, _ in points], [value for _, value in points]))
