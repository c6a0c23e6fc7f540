"""Looking at a model and its data, without compressing anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learn2compress.core.framing import CROP, Framing
from learn2compress.core.options import read_size
from learn2compress.core.paths import at_home
from learn2compress.core.progress import Event, Listener, Progress

if TYPE_CHECKING:
    from learn2compress.core.dataset import Dataset
    from learn2compress.graph.trunk import OwnLayers
    from learn2compress.inputs.teacher import Teacher


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
    listeners: Sequence[Listener] = (),
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
        listeners: get the steps, notes and warnings.

    Returns:
        What is shown, by name. `verdict` says how well model and data fit; `problems`, each with its `code`,
        `message` and `fix`, are what `compress` would refuse them for.

    Raises:
        InputError: what `load_dataset` or `load_teacher` refuses.
    """
    from learn2compress.inputs.model_files.kinds import check_model_file

    check_model_file(at_home(model))  # before Keras is loaded, which takes seconds, and the data is looked at
    from learn2compress.graph.input_size import of_fixed_size
    from learn2compress.graph.trunk import cut_points, own_layers
    from learn2compress.inputs.model_files.black_box import Names
    from learn2compress.inputs.survey import load_surveyed
    from learn2compress.inputs.teacher import load_teacher
    from learn2compress.stages.own_words import own_words
    from learn2compress.train.fake_quant import float_by_nature

    progress = Progress(*listeners)
    dataset, surveyed = (
        load_surveyed(data, labels=labels, framing=framing, progress=progress) if data else (None, None)
    )
    size = read_size(input_size)
    names = Names(input_name, output_name)
    said = own_words(model)
    teacher = load_teacher(
        model,
        dataset=dataset,
        preprocess=preprocess,
        input_size=size,
        names=names,
        said=said,
        progress=progress,
    )
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
        "problems": [],
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
        found |= _fit(teacher, dataset, progress)
        found["data"] = surveyed
    return found


def _fit(teacher: Teacher, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """How well the model knows the data, judged on how many images, and what that speaks for or against."""
    from learn2compress.inputs.checks import CHECK_IMAGES, check_teacher_fits
    from learn2compress.inputs.refusals import Refusals

    refusals = Refusals(kept=True)
    heard: list[Event] = []
    accuracy: float | None = None
    with refusals.held():
        accuracy = round(check_teacher_fits(teacher, dataset, progress.with_listener(heard.append)), 4)
    said = [event.message for event in heard] + [error.what for error in refusals.found]
    return {
        "validation_accuracy": accuracy,
        "validation_images_checked": min(CHECK_IMAGES, len(dataset.validation)),
        "verdict": " ".join(said),
        "problems": [error.told for error in refusals.found],
    }


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
