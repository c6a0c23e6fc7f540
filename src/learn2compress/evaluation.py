"""How right a finished `.tflite` file is on labelled images: those of its family's run, or new ones."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learn2compress.core.errors import InputError
from learn2compress.core.family import Family
from learn2compress.core.framing import CROP, Framing, as_framing
from learn2compress.core.options import check_seed
from learn2compress.core.progress import Listener, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from learn2compress.core.dataset import Images, ImageSplit, Labels
    from learn2compress.export.metadata import Metadata
    from learn2compress.inputs.output_classes import OutputClasses, OutputNames
    from learn2compress.inputs.splits import Source

# What training needs of data, and measuring does not.
_NOT_NEEDED = ("dataset.no_train_split", "dataset.npz_keys", "dataset.empty_class")
# A `.tflite` teacher in its family, which is there as it was given, and what was found to be done to its pixels: see
# `stages.baselines` and `stages.course`.
GIVEN_TEACHER = "baseline/teacher.tflite"
PREPROCESSING = "preprocessing of the teacher"


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
    """Accuracy of a `.tflite` file on labelled images, which may show some of its classes only.

    Args:
        file: the file.
        data: path of images, as for `compress`.
        split: `test`: the data's test split, made as `compress` does with `seed` where it has none; `all`: all
            images; `auto`: the test split that the data has, or that was made of it in the run whose family the file
            lies in; where there is neither, all images.
        labels: path of the names of the outputs; else those in the file count.
        seed: of the split that `test` makes.
        listeners: get the steps.
        preprocess: what the model was trained on, as for `compress`; `auto` takes, of a teacher that was given as the
            file that lies in its family, what its run found; else what the metadata say of a float input; and else
            pixels as they are.
        framing: how images of another shape are brought to the input's; `auto` takes what the file's metadata say
            (of a teacher that was given, they don't count), else what its family's manifest says, and else crops.

    Returns:
        `file`; `split`: `test` or `all`; `preprocessing`, `framing`; `accuracy`, a fraction of 1, over `examples`
        images; `per_class`: by name, None for a class without images; `notes`: sentences on which images were
        measured and how their classes were found among the outputs, where that was not settled by what was given.

    Raises:
        InputError: `tflite.*`, `dataset.*`, `evaluate.classes`, `preprocess.unknown`, `option.seed`.
    """
    import numpy as np

    from learn2compress.inputs.output_classes import FileOutputs, classes_of_outputs
    from learn2compress.inputs.single_score import both_scores
    from learn2compress.measure.accuracy import score, tflite_probabilities
    from learn2compress.measure.runtime import open_interpreter, ports

    check_seed(seed)
    progress = Progress(*listeners)
    gives = FileOutputs(file, math.prod(ports(open_interpreter(file), file)[1].shape))
    metadata, family = _metadata(file, labels), _family_of(file)
    given = family if _as_in_family(file) == GIVEN_TEACHER else None
    prepare, words = _preparation(file, preprocess, metadata, given)
    framed = _framing(framing, None if given else metadata, family)
    source = _readable(data, progress)
    measured = ("test",) if split != "all" and "test" in source.parts else tuple(source.parts)
    classes = classes_of_outputs(source, measured, gives, _names(file, labels, metadata, family), progress)
    chosen = _chosen(classes, measured, split, seed, file, family, progress)
    parts, wanted = [part.framed(framed) for part in chosen.parts], np.concatenate(chosen.labels)
    if not len(wanted):
        which = "The test split of " if chosen.split == "test" else ""
        raise InputError("dataset.empty_split", f"{which}{source.description} holds no images.", "add images to it.")
    with progress.stage("evaluate", len(wanted)) as stage:
        outputs = np.concatenate(
            [tflite_probabilities(file, part, preprocess=prepare, stage=stage) for part in parts if len(part)]
        )
    notes = [*classes.notes, *chosen.notes]
    if gives.count == 1:
        outputs = both_scores(outputs, True, np.concatenate)
        notes.insert(0, f"{gives.told}: the score is taken for that of {classes.names[1]}, the second class")
    result = score(outputs, wanted)
    shares = [result.per_class[output] for output in classes.outputs]
    return {
        "file": str(file),
        "split": chosen.split,
        "preprocessing": words,
        "framing": framed,
        "accuracy": result.accuracy,
        "examples": result.examples,
        "per_class": dict(zip(classes.names, shares, strict=True)),
        "notes": notes,
    }


def _readable(data: Path, progress: Progress) -> Source:
    """What there is to measure on; it need not be enough to train on.

    Raises:
        InputError: `dataset.*`.
    """
    from learn2compress.inputs.dataset import read_source
    from learn2compress.inputs.refusals import Refusals

    refusals = Refusals(kept=True)
    source = read_source(data, progress, refusals)
    for error in refusals.found:
        if error.code not in _NOT_NEEDED:
            raise error
    return source


@dataclass(frozen=True)
class _Chosen:
    """The images that count: `labels` has, for each part, the output that is right for each image."""

    split: str
    parts: Sequence[ImageSplit]
    labels: Sequence[Labels]
    notes: tuple[str, ...] = ()


def _chosen(
    classes: OutputClasses,
    measured: Sequence[str],
    split: str,
    seed: int,
    file: Path,
    family: Family | None,
    progress: Progress,
) -> _Chosen:
    """Which images are measured, and what is to be said of that."""
    source = classes.source
    images = sum(len(source.parts[part]) for part in measured)
    own_test = split != "all" and "test" in measured
    if split == "test" and not own_test:
        test, labels = _made_test(classes, classes.names, seed, progress)
        note = f"{len(labels)} of {images} images: the test split that l2c compress makes with --seed {seed}"
        return _Chosen("test", [test], [labels], (f"{note}, as {source.description} has none",))
    if split == "auto" and family is not None and not own_test and (found := _test_of_run(classes, family, progress)):
        note = (
            f"{len(found[1])} of {images} images: the test split that was made of {source.description} when "
            f"{file.name} was compressed on it; no training saw these. --split all takes all"
        )
        return _Chosen("test", [found[0]], [found[1]], (note,))
    notes = (_why_all(source, images, file, family),) if split == "auto" and not own_test else ()
    parts = [source.parts[part] for part in measured]
    return _Chosen("test" if own_test else "all", parts, [classes.labels(part) for part in measured], notes)


def _made_test(
    classes: OutputClasses, names: tuple[str, ...], seed: int, progress: Progress
) -> tuple[ImageSplit, Labels]:
    """The test split that `compress` makes of data that has none, and the output that is right for each image.

    Raises:
        InputError: `dataset.*` where none can be made.
    """
    from learn2compress.inputs.dataset import dataset_of

    source = classes.source
    if "train" not in source.parts:
        raise InputError(
            "dataset.no_test_split",
            f"{source.description} has neither a test split nor training images that one could be made of.",
            "give --split all.",
        )
    try:
        dataset = dataset_of(source, names, seed=seed, progress=progress)
    except InputError as error:
        fix = f"{error.fix} Or give --split all: to measure on all images takes no split."
        raise InputError(error.code, error.what, fix) from error
    outputs = classes.outputs[[classes.names.index(name) for name in dataset.class_names]]
    return dataset.test, outputs[dataset.test.labels]


def _test_of_run(classes: OutputClasses, family: Family, progress: Progress) -> tuple[ImageSplit, Labels] | None:
    """The test split that the family was measured on, if it was made of this same data."""
    was, images = family.dataset, sum(map(len, classes.source.parts.values()))
    # Comparing images takes its time, and is not needed to see that these are others.
    if images != was.train_examples + was.validation_examples + was.test_examples:
        return None
    if "train" not in classes.source.parts or not set(was.class_names) <= set(classes.names):
        return None
    try:
        test, labels = _made_test(classes, was.class_names, family.seed, progress)
    except InputError:  # it never was what a family was made from
        return None
    return (test, labels) if test.fingerprint == was.test_fingerprint else None


def _why_all(source: Source, images: int, file: Path, family: Family | None) -> str:
    """What is to be said where all images are measured and nobody asked for that."""
    said = f"all {images} images of {source.description}, which has no test split of its own"
    if family is not None and os.path.realpath(family.dataset.source) == os.path.realpath(source.description):
        return (
            f"{said}: {file.name} was trained on images of it, so the figure is too good. Measure on images that no "
            "training saw"
        )
    return (
        f"{said}. If {file.name} was trained on some of them, --split test keeps to the test split that l2c compress "
        "makes"
    )


def _family_of(file: Path) -> Family | None:
    """The family whose folder the file lies in; None where it is in none, or the manifest can't be read."""
    try:
        family = Family.load(Path(os.path.realpath(file)).parent.parent)
    except InputError:
        return None
    own = {model.file for model in (family.teacher, *family.baselines, *family.members)}
    return family if _as_in_family(file) in own else None


def _as_in_family(file: Path) -> str:
    """The file as the manifest of a family in whose folder it lies calls it."""
    whole = Path(os.path.realpath(file))
    return f"{whole.parent.name}/{whole.name}"


def _metadata(file: Path, labels: Path | None) -> Metadata | None:
    """What the file says of itself; where the user names the classes, it may be unreadable."""
    from learn2compress.export.metadata import metadata_of

    try:
        return metadata_of(file)
    except InputError:
        if labels is None:
            raise
        return None


def _names(file: Path, labels: Path | None, metadata: Metadata | None, family: Family | None) -> OutputNames | None:
    """What the outputs are called: by the user, the file, or the manifest of its family."""
    from learn2compress.inputs.class_labels import read_names
    from learn2compress.inputs.output_classes import OutputNames

    if labels is not None:
        return OutputNames(read_names(labels), "labels", by_user=True)
    if metadata is not None and metadata.labels:
        return OutputNames(metadata.labels, f"labels inside {file}", by_user=False)
    if family is not None:
        return OutputNames(family.dataset.class_names, f"classes of the family in {family.folder}", by_user=False)
    return None


def _framing(asked: str, metadata: Metadata | None, family: Family | None) -> Framing:
    """How images of another shape are brought to the input's."""
    if asked != "auto":
        return as_framing(asked)
    if metadata is not None:
        return metadata.framing
    return family.dataset.framing if family is not None else CROP


def _preparation(
    file: Path, asked: str, metadata: Metadata | None, family: Family | None
) -> tuple[Callable[[Images], NDArray[np.float32]] | None, str]:
    """What makes of pixels 0..255 what the file takes, and its name; None for pixels as they are.

    Args:
        file, asked, metadata: see `evaluate_file`.
        family: whose teacher the file is, as it was given; None for any other file.
    """
    from learn2compress.inputs.preprocessing import parse_preprocess
    from learn2compress.measure.graph import describe

    found = parse_preprocess(asked)
    words = "" if found is None else found.name
    if found is None and family is not None:
        found = parse_preprocess(str(family.plan.get(PREPROCESSING, "auto")))
        words = "" if found is None else f"{found.name} (found when it was compressed)"
    if found is not None:
        return (None, "raw") if found.name == "raw" else (found.apply, words)
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
