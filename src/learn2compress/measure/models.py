"""Everything that is measured of a set of files, in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learn2compress.core.dataset import Dataset
from learn2compress.core.family import Accuracy, Delegation, Latency
from learn2compress.core.progress import Progress, Stage
from learn2compress.measure.accuracy import accuracy_of, accuracy_record
from learn2compress.measure.delegation import delegation
from learn2compress.measure.graph import describe
from learn2compress.measure.latency import latencies
from learn2compress.measure.memory import peak_memory_bytes
from learn2compress.measure.size import size_bytes, zipped_bytes

Recall = Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]]


@dataclass(frozen=True)
class FileMeasurements:
    """What was measured of one file; the fields are those of `core.family.Model`."""

    size_bytes: int
    zipped_bytes: int
    parameters: int
    macs: int
    accuracy: Accuracy
    latency_ms: Latency
    peak_memory_bytes: int
    xnnpack: Delegation


def _accuracy(path: Path, dataset: Dataset, stage: Stage) -> Accuracy:
    validation, test = (accuracy_of(path, split, stage=stage) for split in (dataset.validation, dataset.test))
    return accuracy_record(validation, test)


def measure_accuracies(
    paths: Sequence[Path],
    dataset: Dataset,
    progress: Progress,
    recall: Recall = lambda key, measure: measure(),
    known: Mapping[Path, Accuracy] = {},
) -> list[Accuracy]:
    """How right the files are, in the order given.

    Args:
        paths: files of different names.
        dataset: on whose validation and test split they are right so often.
        progress: gets the steps.
        recall: function (key, function that measures) -> what was measured earlier in the same run, or is now.
        known: accuracies that were measured already.
    """
    images = len(dataset.validation) + len(dataset.test)
    accuracies = []
    with progress.stage("accuracy of the files", images * len(paths)) as stage:
        for number, path in enumerate(paths):
            stage.message = path.stem

            def measure(path: Path = path) -> dict[str, Any]:
                accuracy = known[path] if path in known else _accuracy(path, dataset, stage)
                return accuracy.model_dump(mode="json")

            accuracies.append(Accuracy.model_validate(recall(f"accuracy of {path.name}", measure)))
            stage.at(images * (number + 1))
    return accuracies


def measure_files(
    paths: Sequence[Path], accuracies: Sequence[Accuracy], progress: Progress
) -> list[FileMeasurements]:
    """Measures what else there is of the files, in the order given; latencies are interleaved, so their ratios hold.

    Args:
        paths: the files.
        accuracies: of each.
        progress: gets the steps.
    """
    with progress.stage("latency and memory", len(paths) + 1) as stage:
        timings = latencies(paths)
        stage.advance()
        memory = [peak_memory_bytes(path) for path in stage.track(paths)]
    described = [describe(path) for path in paths]
    return [
        FileMeasurements(
            size_bytes=size_bytes(path),
            zipped_bytes=zipped_bytes(path),
            parameters=file.parameters,
            macs=file.macs,
            accuracy=accuracy,
            latency_ms=timing,
            peak_memory_bytes=peak,
            xnnpack=delegation(path),
        )
        for path, file, accuracy, timing, peak in zip(paths, described, accuracies, timings, memory, strict=True)
    ]
