"""Which output of a finished file stands for which class of the data that it is measured on.

Other than data to train on, this may show some of the file's classes only: what the outputs are called decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Labels
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs.class_labels import refuse_repeated
from learn2compress.inputs.class_mapping import imagenet_outputs
from learn2compress.inputs.class_names import aligned, with_names
from learn2compress.inputs.splits import Source
from learn2compress.inputs.taken_at_word import plain
from learn2compress.inputs.wording import counted, listed

_NAME_THEM = (
    "name with --labels FILE the class of each output of the model, one a line in their order and spelled as in the "
    "data (of folders: the folder's name); the data may have images of some of them only."
)


@dataclass(frozen=True)
class FileOutputs:
    """The scores that a file gives: `count` of them. A single one is that of the second of two classes."""

    file: Path
    count: int

    @property
    def classes(self) -> int:
        """How many classes they tell apart."""
        return 2 if self.count == 1 else self.count

    @property
    def told(self) -> str:
        """`small.tflite gives 10 outputs`."""
        if self.count == 1:
            return f"{self.file} has a single score, as a yes/no model has, and tells 2 classes apart"
        return f"{self.file} gives {self.count} outputs"


@dataclass(frozen=True)
class OutputNames:
    """What the classes of the outputs are called, in their order.

    Attributes:
        names: one a class.
        words: which names these are: `labels inside small.tflite`.
        by_user: whether the user gave them for this file: then nothing else counts.
    """

    names: tuple[str, ...]
    words: str
    by_user: bool


@dataclass(frozen=True)
class OutputClasses:
    """Data whose classes are known among the outputs.

    Attributes:
        source: the data; its classes are called as in `names`.
        names: of classes.
        outputs: for each of them the index of its output, shape (names,).
        notes: how that was told, where neither the file nor the user says it.
    """

    source: Source
    names: tuple[str, ...]
    outputs: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def labels(self, part: str) -> Labels:
        """The output that stands for the class of each image of a part, shape (examples,)."""
        found: Labels = self.outputs[aligned(self.source, part, self.names).labels]
        return found


def classes_of_outputs(
    source: Source, measured: Sequence[str], gives: FileOutputs, said: OutputNames | None, progress: Progress
) -> OutputClasses:
    """Finds the class of each image among the file's outputs.

    In this order: by the names of the outputs, spelled as in the data or nearly so; by name among ImageNet's classes;
    by number, where the data has numbers; and where all of these are silent and the numbers of classes agree, in the
    data's order.

    Args:
        source: as a reader found it.
        measured: the parts of it that count.
        gives: what the file gives.
        said: what its outputs are called; None where nobody says it.
        progress: gets a note on what was found among ImageNet's classes.

    Raises:
        InputError: `dataset.labels_mismatch` where names lack a class that has images, `dataset.class_names` where
            they name one twice, `evaluate.classes` where there are not as many names, or classes, as outputs;
            `teacher.class_names` where names of ImageNet's classes are unclear.
    """
    if said is None:
        return _unnamed(source, measured, gives, progress)
    named = with_names(source, said.names)
    present = _present(named, measured)
    spelled = _spelled(present, said.names)
    missing = [one for one in present if one not in spelled]
    if not missing and len(said.names) == gives.classes:
        _refuse_repeated(said, set(spelled.values()))
        return OutputClasses(_called(named, spelled), said.names, np.arange(gives.classes))
    if not said.by_user and (found := _of_imagenet(source, present, gives, progress)):
        return found
    if missing:
        theirs = "" if said.by_user else f" They are {listed(said.names, 10)}."
        raise InputError(
            "dataset.labels_mismatch",
            f"The {said.words} don't name all the classes that {source.description} has: they lack "
            f"{listed(missing)}.{theirs}",
            _NAME_THEM,
        )
    raise InputError(
        "evaluate.classes",
        f"{gives.told}, but the {said.words} name {counted(len(said.names), 'class', 'classes')}.",
        _NAME_THEM,
    )


def _present(source: Source, measured: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes that have images in some of the parts; of numbers beyond all names, these."""
    assert source.names is not None
    found: dict[str, None] = {}
    for part in measured:
        own = source.names[part]
        found |= {own[i] if i < len(own) else f"index {i}": None for i in np.unique(source.parts[part].labels)}
    return tuple(found)


def _spelled(present: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """The one of the names that is each class': the same, or else the only one that differs in spelling alone."""
    same = set(names)
    alike: dict[str, set[str]] = {}
    for name in names:
        alike.setdefault(plain(name), set()).add(name)
    nearly = {one: alike.get(plain(one), set()) for one in present if one not in same}
    return {one: one for one in present if one in same} | {
        one: next(iter(found)) for one, found in nearly.items() if len(found) == 1
    }


def _called(source: Source, spelled: dict[str, str]) -> Source:
    """The source with its classes called so."""
    assert source.names is not None
    names = {part: tuple(spelled.get(one, one) for one in own) for part, own in source.names.items()}
    return replace(source, names=names)


def _refuse_repeated(said: OutputNames, own: set[str]) -> None:
    try:
        refuse_repeated(said.names, own)
    except InputError as error:
        if said.by_user:
            raise
        raise InputError(error.code, f"Of the {said.words}: {error.what}", _NAME_THEM) from error


def _unnamed(source: Source, measured: Sequence[str], gives: FileOutputs, progress: Progress) -> OutputClasses:
    """Where nobody says what the outputs are called."""
    # As training takes them; where there is nothing to train on, those of the part that shows most.
    own = (source.names.get("train") or max(source.names.values(), key=len)) if source.names else None
    nobody = f"neither {gives.file} nor --labels names them"
    if own is None or (len(own) != gives.classes and all(map(str.isdecimal, own))):
        return _numbered(source, measured, gives, nobody)
    if found := _of_imagenet(source, _present(source, measured), gives, progress):
        return found
    if len(own) != gives.classes:
        raise InputError(
            "evaluate.classes",
            f"{gives.told}, but {source.description} has {counted(len(own), 'class', 'classes')} "
            f"({listed(own, 10)}), and {nobody}.",
            _NAME_THEM,
        )
    note = f"classes taken in the data's order ({listed(own, 10)}): {nobody}"
    return OutputClasses(source, own, np.arange(gives.classes), (note,))


def _numbered(source: Source, measured: Sequence[str], gives: FileOutputs, nobody: str) -> OutputClasses:
    """Where the data's classes are numbers."""
    names = tuple(map(str, range(gives.classes)))
    if source.names is None:
        largest = max((int(source.parts[part].labels.max(initial=0)) for part in measured), default=0)
        own = dict.fromkeys(source.parts, names)
    else:
        largest = max(map(int, _present(source, measured)), default=0)
        own = {part: tuple(str(int(one)) for one in theirs) for part, theirs in source.names.items()}
    if largest >= gives.classes:
        raise InputError(
            "evaluate.classes",
            f"{gives.told}, but {source.description} has images of the class {largest}; outputs count from 0.",
            "give the data that the model was trained for, with labels that count from 0.",
        )
    note = f"classes taken by number, from 0 for the first output: {nobody}"
    return OutputClasses(replace(source, names=own), names, np.arange(gives.classes), (note,))


def _of_imagenet(
    source: Source, present: tuple[str, ...], gives: FileOutputs, progress: Progress
) -> OutputClasses | None:
    """Where the data's names are found among ImageNet's, and the file gives as many outputs."""
    if source.names is None:
        return None
    outputs = imagenet_outputs(gives.count, present, gives.file.name, progress)
    if outputs is None:
        return None
    note = (
        f"the data's {counted(len(present), 'class', 'classes')} found by name among the {gives.count:,} outputs, "
        "in ImageNet's order; an image that is given any other class counts as wrong"
    )
    return OutputClasses(source, present, outputs, (note,))
