"""Everything that is measured of a set of files, in one go: of a run's, and of those that a user names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.family import Accuracy, Delegation, Latency
from learn2compress.core.progress import SILENT, Progress, Stage
from learn2compress.measure.accuracy import accuracy_of, accuracy_record
from learn2compress.measure.delegation import delegation
from learn2compress.measure.graph import describe
from learn2compress.measure.latency import latencies
from learn2compress.measure.memory import peak_memory_bytes
from learn2compress.measure.size import size_bytes, zipped_bytes

Recall = Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]]

# LiteRT crashes when it is asked for far more threads than there are.
MOST_THREADS = 256


@dataclass(frozen=True)
class FileCosts:
    """What one file costs; the fields are those of `core.family.Model`."""

    size_bytes: int
    zipped_bytes: int
    parameters: int
    macs: int
    latency_ms: Latency
    peak_memory_bytes: int
    xnnpack: Delegation


@dataclass(frozen=True)
class FileMeasurements(FileCosts):
    """What was measured of one file of a run; the fields are those of `core.family.Model`."""

    accuracy: Accuracy


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
    costs = measure_costs(paths, progress=progress)
    return [FileMeasurements(**vars(cost), accuracy=own) for cost, own in zip(costs, accuracies, strict=True)]


def measure_costs(paths: Sequence[Path], *, threads: int = 1, progress: Progress = SILENT) -> list[FileCosts]:
    """What files cost, in the order given; they take turns in being timed, so the ratios of latencies hold.

    Args:
        paths: the files.
        threads: of the LiteRT interpreter.
        progress: gets the steps.

    Raises:
        InputError: `tflite.*` where one can't be read, `measure.crashed`.
    """
    with progress.stage("latency and memory", len(paths) + 1) as stage:
        timings = latencies(paths, threads=threads)
        stage.advance()
        memory = [peak_memory_bytes(path, threads=threads) for path in stage.track(paths)]
    described = [describe(path) for path in paths]
    return [
        FileCosts(
            size_bytes=size_bytes(path),
            zipped_bytes=zipped_bytes(path),
            parameters=file.parameters,
            macs=file.macs,
            latency_ms=timing,
            peak_memory_bytes=peak,
            xnnpack=delegation(path),
        )
        for path, file, timing, peak in zip(paths, described, timings, memory, strict=True)
    ]


def measure_paths(files: Sequence[Path], threads: int) -> list[dict[str, Any]]:
    """What files cost, and which operators they run; a row of what JSON can hold for each.

    Args:
        files: that a user names.
        threads: of the LiteRT interpreter, from 1 to `MOST_THREADS`.

    Raises:
        InputError: `option.threads`, and what `measure_costs` raises.
    """
    if not 1 <= threads <= MOST_THREADS:
        raise InputError(
            "option.threads", f"--threads {threads} is not between 1 and {MOST_THREADS}.", "give --threads 1."
        )
    rows = []
    for path, cost in zip(files, measure_costs(files, threads=threads), strict=True):
        file = describe(path)
        records = {"latency_ms": cost.latency_ms.model_dump(), "xnnpack": cost.xnnpack.model_dump(mode="json")}
        operators = {"fully_integer": file.fully_integer, "operators": dict(file.ops)}
        rows.append({"file": str(path), **vars(cost), **records, **operators})
    return rows
