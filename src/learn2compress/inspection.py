"""Looking at a model, its data or a finished file, without compressing anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learn2compress.core.errors import InputError
from learn2compress.core.framing import CROP, Framing, as_framing
from learn2compress.core.options import check_seed, read_size
from learn2compress.core.paths import at_home
from learn2compress.core.progress import Listener, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from learn2compress.core.dataset import Images
    from learn2compress.graph.trunk import OwnLayers

# LiteRT crashes when it is asked for far more threads than there are.
MOST_THREADS = 256


def inspect_data(data: Path, listeners: Sequence[Listener] = (), labels: Path | None = None) -> dict[str, Any]:
    """What is in a data set, and what speaks against it; see `inputs.survey.survey`. `labels` names its classes."""
    from learn2compress.inputs.survey import look_through

    return look_through(data, labels=labels, progress=Progress(*listeners)).found


def inspect_model(
    model: Path,
    data: Path | None = None,
    labels: Path | None = None,
    *,
    preprocess: str = "auto",
    input_size: str = "auto",
    input_name: str = "",
    output_name: str = "",
    framing: Framing = CROP,
) -> dict[str, Any]:
    """What a model is: input, classes, cost, and whether its own layers can be cut; with data, how it does on it.

    Args:
        model: path of a model file.
        data: path of labelled images.
        labels: path of the names of the model's outputs.
        preprocess: what the teacher wants done to pixels, or `auto`.
        input_size: of the images, where the model takes any.
        input_name, output_name: which of the model's inputs and outputs to use.
        framing: how images of another shape are brought to the input's.
    """
    from learn2compress.inputs.model_files.kinds import check_model_file

    check_model_file(at_home(model))  # before Keras is loaded, which takes seconds, and the data is looked at
    from learn2compress.graph.input_size import of_fixed_size
    from learn2compress.graph.trunk import cut_points, own_layers
    from learn2compress.inputs.checks import check_teacher_fits
    from learn2compress.inputs.model_files.black_box import Names
    from learn2compress.inputs.survey import load_surveyed
    from learn2compress.inputs.teacher import load_teacher
    from learn2compress.stages.own_words import own_words
    from learn2compress.train.fake_quant import float_by_nature

    dataset, surveyed = load_surveyed(data, labels=labels, framing=framing) if data else (None, None)
    size = read_size(input_size)
    names = Names(input_name, output_name)
    said = own_words(model)
    teacher = load_teacher(model, dataset=dataset, preprocess=preprocess, input_size=size, names=names, said=said)
    keras_model = of_fixed_size(teacher.keras_model, teacher.input_size)
    own = own_layers(keras_model, outputs=teacher.outputs)
    found: dict[str, Any] = {
        "model": str(model),
        "kind": teacher.box.kind if teacher.box else "a Keras model",
        "input": [*teacher.input_size, teacher.channels],
        "classes": teacher.classes,
        "outputs": teacher.outputs,
        "preprocessing": teacher.preprocess.name,
        "parameters": teacher.parameters,
        "layers": len(teacher.keras_model.layers) if teacher.keras_model is not None else None,
        **_work(keras_model),
        "own_layers_can_be_cut": own.uncut is None or f"no: {own.uncut}",
        "cut_points": [] if own.uncut else cut_points(own.model),
        "own_layers_can_be_pruned": own.unpruned is None or f"no: {own.unpruned}",
        "float32_in_int8_files": {} if own.unpruned else float_by_nature(own.model),
        "structure": _structure(own),
    }
    if dataset is not None:
        found["train_images"] = len(dataset.train)
        found["validation_images"] = len(dataset.validation)
        found["test_images"] = len(dataset.test)
        found["class_names"] = list(dataset.class_names)
        found["framing"] = dataset.framing
        found["right_by_preprocessing"] = {
            name: round(right, 4) for name, right in teacher.preprocess_accuracies.items()
        }
        found["findings"] = list(teacher.findings)
        found["validation_accuracy"] = round(check_teacher_fits(teacher, dataset, Progress()), 4)
        found["data"] = surveyed
    return found


def _work(keras_model: Any) -> dict[str, Any]:
    """Multiply-accumulates of one inference, and the layers whose own are not among them; None for code."""
    from learn2compress.graph.calls import UnreadableGraphError, read_graph
    from learn2compress.graph.cost import graph_cost
    from learn2compress.graph.macs import uncounted

    try:
        graph = read_graph(keras_model)
    except UnreadableGraphError:
        return {"macs": None, "macs_not_counted": []}
    return {"macs": graph_cost(graph).macs, "macs_not_counted": uncounted(graph)}


def _structure(own: OwnLayers) -> dict[str, Any]:
    """Channel groups and removable blocks with their shares, or why the layers can't be pruned."""
    from learn2compress.graph.structure import structure

    if own.unpruned is None:
        return asdict(structure(own.model))
    if own.uncut is None:
        return {"refused": f"{own.unpruned}; use --from cuts: members are the teacher up to a cut point"}
    return {
        "refused": f"{own.unpruned}; use --from fresh: students of our own are trained from the teacher's outputs"
    }


def evaluate_file(
    file: Path,
    data: Path,
    split: str,
    labels: Path | None,
    seed: int,
    listeners: Sequence[Listener],
    preprocess: str = "auto",
    framing: str = "auto",
) -> dict[str, Any]:
    """Accuracy of a `.tflite` file on the test split, or on all of the data.

    Args:
        preprocess: what the model was trained on, as for `compress`; `auto` takes what the file's metadata say of a
            float input, and else pixels as they are.
        framing: how images of another shape are brought to the input's; `auto` takes what the file's metadata say,
            and else crops.
    """
    from learn2compress.inputs.dataset import load_dataset
    from learn2compress.measure.accuracy import score, tflite_probabilities
    from learn2compress.measure.runtime import open_interpreter, ports

    check_seed(seed)
    progress = Progress(*listeners)
    classes = math.prod(ports(open_interpreter(file), file)[1].shape)
    prepare, words = _preparation(file, preprocess)
    framed = _framing_inside(file) if framing == "auto" else as_framing(framing)
    names = labels or _labels_inside(file)
    dataset = load_dataset(data, labels=names, seed=seed, framing=framed, progress=progress)
    if classes != dataset.classes:
        raise InputError(
            "evaluate.classes",
            f"{file} gives {classes} outputs, but {data} has {dataset.classes} classes.",
            "give the data that the model was trained for.",
        )
    splits = [dataset.test] if split == "test" else [dataset.train, dataset.validation, dataset.test]
    import numpy as np

    with progress.stage("evaluate", sum(len(part) for part in splits)) as stage:
        outputs = np.concatenate(
            [tflite_probabilities(file, part, preprocess=prepare, stage=stage) for part in splits]
        )
    result = score(outputs, np.concatenate([part.labels for part in splits]))
    return {
        "file": str(file),
        "split": split,
        "preprocessing": words,
        "framing": framed,
        "accuracy": result.accuracy,
        "examples": result.examples,
        "per_class": dict(zip(dataset.class_names, result.per_class, strict=True)),
    }


def _preparation(file: Path, asked: str) -> tuple[Callable[[Images], NDArray[np.float32]] | None, str]:
    """What makes of pixels 0..255 what the file takes, and its name; None for pixels as they are."""
    from learn2compress.export.metadata import metadata_of
    from learn2compress.inputs.preprocessing import parse_preprocess
    from learn2compress.measure.graph import describe

    found = parse_preprocess(asked)
    if found is not None:
        return (None if found.name == "raw" else found.apply), found.name
    metadata = metadata_of(file)
    of_floats = [tensor.dtype for tensor in describe(file).inputs] == ["FLOAT32"]
    if not of_floats or metadata is None or not metadata.input_std:
        return None, "raw"
    means, stds = ([*values, *values, *values][:3] for values in (metadata.input_mean, metadata.input_std))
    if (*means, *stds) == (0, 0, 0, 1, 1, 1):
        return None, "raw"
    numbers = ",".join(f"{value:g}" for value in (*means, *stds))
    own = parse_preprocess(numbers)
    assert own is not None
    return own.apply, f"{numbers} (mean and deviation, from the file's metadata)"


def _labels_inside(file: Path) -> tuple[str, ...] | None:
    """The class names that a file carries, if it does."""
    from learn2compress.export.metadata import metadata_of

    metadata = metadata_of(file)
    return (metadata.labels if metadata else None) or None


def _framing_inside(file: Path) -> Framing:
    """How a file says that its images are framed; where it says nothing, they are cropped."""
    from learn2compress.export.metadata import metadata_of

    metadata = metadata_of(file)
    return metadata.framing if metadata else CROP


def measure_paths(files: Sequence[Path], threads: int) -> list[dict[str, Any]]:
    """Size, latency and memory of files, timed interleaved."""
    from learn2compress.measure.delegation import delegation
    from learn2compress.measure.graph import describe
    from learn2compress.measure.latency import latencies
    from learn2compress.measure.memory import peak_memory_bytes
    from learn2compress.measure.size import size_bytes, zipped_bytes

    if not 1 <= threads <= MOST_THREADS:
        raise InputError(
            "option.threads", f"--threads {threads} is not between 1 and {MOST_THREADS}.", "give --threads 1."
        )
    timings = latencies(files, threads=threads)
    rows = []
    for path, latency in zip(files, timings, strict=True):
        file = describe(path)
        rows.append(
            {
                "file": str(path),
                "size_bytes": size_bytes(path),
                "zipped_bytes": zipped_bytes(path),
                "parameters": file.parameters,
                "macs": file.macs,
                "latency_ms": latency.model_dump(),
                "peak_memory_bytes": peak_memory_bytes(path, threads=threads),
                "xnnpack": delegation(path).model_dump(mode="json"),
                "fully_integer": file.fully_integer,
                "operators": dict(file.ops),
            }
        )
    return rows
