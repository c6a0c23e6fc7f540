"""Which classes the data has, what they are called, and labels that count in them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from learn2compress.core.dataset import Labels
from learn2compress.core.errors import InputError
from learn2compress.inputs.class_labels import refuse_repeated
from learn2compress.inputs.splits import Source, SourceSplit
from learn2compress.inputs.wording import counted, listed

_NUMBER = re.compile("0|[1-9][0-9]{0,8}")
# The way out where the data has some of the classes of a model.
_NAME_ALL = (
    "where the data has only some of the model's classes, name with --labels FILE the class of each output of the "
    "model, one a line in their order: those without images are left out"
)


def with_names(source: Source, given: tuple[str, ...] | None) -> Source:
    """The source with the classes that it knows by number alone called what the user calls them.

    Args:
        source: as a reader found it.
        given: the class names of the user, counted from 0; None where there are none.
    """
    if given is None:
        return source
    if source.names is None:
        return replace(source, names=dict.fromkeys(source.parts, given))
    own = {name for names in source.names.values() for name in names}
    if own & set(given) or not all(map(_NUMBER.fullmatch, own)):
        return source
    # A table or folders of the classes 3, 5 and 8; what is beyond the names stays a number, that nobody named.
    return replace(
        source,
        names={
            part: tuple(given[int(name)] if int(name) < len(given) else name for name in names)
            for part, names in source.names.items()
        },
    )


def class_names(source: Source, given: tuple[str, ...] | None) -> tuple[str, ...]:
    """The class names in the order that everything after uses: of those that are given, those with training images.

    Args:
        source: see `with_names`.
        given: the class names of the user; None where there are none.

    Raises:
        InputError: `dataset.labels_mismatch` where they lack a class that has images; `dataset.class_names` where
            they name one twice; `dataset.label_range`.
    """
    labels = source.parts["train"].labels
    own = source.names["train"] if source.names else None
    if own is None:
        return _numbers(labels)
    if given is None:
        return own
    present = {own[i] for i in np.unique(labels) if i < len(own)}
    refuse_repeated(given, present)
    missing = sorted(present - set(given))
    if missing:
        extra = sorted(set(given) - present)
        unknown = f" {listed(extra)} {'is' if len(extra) == 1 else 'are'} not in the data." if extra else ""
        raise InputError(
            "dataset.labels_mismatch",
            f"The labels don't name all the classes that {source.description} has: they lack "
            f"{listed(missing)}.{unknown}",
            f"name each of the {counted(len(present), 'class', 'classes')} once, spelled as in the data "
            "(of folders: the folder's name).",
        )
    # Names beyond the data's are outputs of the teacher that will not be needed.
    return tuple(name for name in given if name in present)


def _numbers(labels: Labels) -> tuple[str, ...]:
    """Names for class indices that have none: the numbers."""
    largest = int(labels.max())
    if largest >= len(labels):  # said here, before as many names are made
        raise InputError(
            "dataset.label_range",
            f"There is a label {largest}, but with {len(labels)} training images there can't be that many classes.",
            f"number the classes without gaps: 0 for the first class, 1 for the second and so on; or, {_NAME_ALL}.",
        )
    return tuple(str(i) for i in range(largest + 1))


def aligned(source: Source, part: str, names: tuple[str, ...]) -> SourceSplit:
    """The part with its labels as indices into `names`.

    Raises:
        InputError: `dataset.unknown_class` when it has examples of a class that is not among them.
    """
    split = source.parts[part]
    present = np.unique(split.labels)
    own = source.names[part] if source.names else None
    if own is None:
        unknown = [str(i) for i in present if i >= len(names)]
    else:
        unknown = [own[i] if i < len(own) else f"index {i}" for i in present if i >= len(own) or own[i] not in names]
    if unknown:
        noun = f"class {unknown[0]}" if len(unknown) == 1 else f"classes {listed(unknown)}"
        raise InputError(
            "dataset.unknown_class",
            f"The {part} split has images of the {noun}, but there are only "
            f"{counted(len(names), 'class', 'classes')} ({listed(names, 10)}).",
            "give training images for every class, and a name for every class where names are given.",
        )
    if own is None or own == names:
        return split
    index = np.array([names.index(name) if name in names else -1 for name in own], dtype=np.int64)
    return split.with_labels(index[split.labels])


def refuse_few_classes(source: Source, names: tuple[str, ...]) -> None:
    """Raises `dataset.one_class` where there is nothing to tell apart."""
    if len(names) < 2:
        raise InputError(
            "dataset.one_class",
            f"{source.description} has only one class ({listed(names)}).",
            "give images of at least two classes; of folders, each class is a folder of its own.",
        )


def refuse_unseen_classes(train: SourceSplit, names: tuple[str, ...]) -> None:
    """Raises `dataset.empty_class` where a class has no training images and no name of the user's own."""
    counts = np.bincount(train.labels, minlength=len(names))
    unseen = [names[i] for i in np.flatnonzero(counts == 0)]
    if unseen:
        noun = "This class has" if len(unseen) == 1 else "These classes have"
        from_one = unseen == ["0"] and counts[1:].all()
        first = (
            "subtract 1 from the labels: class indices count from 0"
            if from_one
            else "add images of it, or leave the class out; class indices count from 0 without gaps"
        )
        raise InputError(
            "dataset.empty_class",
            f"{noun} no images in the training data: {listed(unseen)}.",
            f"{first}; or, {_NAME_ALL}.",
        )
