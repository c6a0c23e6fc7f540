"""Class indices and class names as users have them, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learn2compress.core.dataset import Labels
from learn2compress.core.errors import InputError
from learn2compress.core.names import composed, is_one_line
from learn2compress.inputs.wording import listed

_FIX = "give one whole number per image: 0 for the first class, 1 for the second and so on."


def as_labels(name: str, value: Any, examples: int) -> Labels:
    """Brings labels to class indices.

    Args:
        name: what to call them in errors, for example `y_train`.
        value: shape (examples,), (examples, 1), or one-hot (examples, classes).
        examples: how many images they belong to.

    Raises:
        InputError: `dataset.label_type`, `dataset.label_shape`, `dataset.length_mismatch` or
            `dataset.label_range`.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError("dataset.label_shape", f"{name} can't be read as one array: {error}.", _FIX) from error
    if array.dtype.kind not in "uifb":
        kind = "Python objects" if array.dtype == object else "text" if array.dtype.kind in "US" else str(array.dtype)
        raise InputError("dataset.label_type", f"{name} holds {kind}; expected are class indices.", _FIX)
    if array.ndim == 0 or array.ndim > 2:
        shape = "(examples,), (examples, 1) or one-hot (examples, classes)"
        raise InputError("dataset.label_shape", f"{name} has the shape {array.shape}; expected is {shape}.", _FIX)
    if len(array) != examples:
        raise InputError(
            "dataset.length_mismatch",
            f"There are {examples} images but {len(array)} labels in {name}.",
            "give exactly one label per image, in the same order.",
        )
    if array.ndim == 2:
        array = array[:, 0] if array.shape[1] == 1 else _from_one_hot(name, array)
    whole = array.astype(np.int64) if np.isfinite(array).all() else None
    if whole is None or not np.array_equal(whole, array):
        raise InputError("dataset.label_type", f"{name} holds numbers that are not whole.", _FIX)
    if whole.size and whole.min() < 0:
        raise InputError(
            "dataset.label_range",
            f"{name} holds negative labels, such as {whole.min()}; classes count from 0.",
            _FIX,
        )
    return whole


def _from_one_hot(name: str, array: Any) -> Any:
    ones = (array == 1).sum(axis=1) == 1
    zeros = (array == 0).sum(axis=1) == array.shape[1] - 1
    if not (ones & zeros).all():
        row = int(np.argmin(ones & zeros))
        raise InputError(
            "dataset.label_shape",
            f"{name} has the shape {array.shape}, but row {row} is not one-hot (one 1, else 0).",
            _FIX,
        )
    return np.argmax(array, axis=1)


def as_names(what: str, value: Any, *, repeated: bool = False) -> tuple[str, ...]:
    """Class names, from any sequence of texts.

    Args:
        what: to call them in errors.
        value: the texts.
        repeated: whether a name may occur twice: see `refuse_repeated`.

    Raises:
        InputError: `dataset.class_names`, when they are no texts, empty, or one occurs twice.
    """
    names = (
        [n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in np.asarray(value).tolist()]
        if (np.ndim(value) == 1)
        else None
    )
    if names is None or not all(isinstance(name, str) for name in names):
        raise InputError("dataset.class_names", f"{what} is not a list of texts.", "give one name per class.")
    names = [composed(name.strip()) for name in names]
    doubles = [] if repeated else sorted(name for name, count in Counter(names).items() if count > 1)
    if not names or "" in names or doubles:
        problem = f"names {listed(doubles)} twice" if doubles else "has an empty name" if names else "is empty"
        raise InputError("dataset.class_names", f"{what} {problem}.", "give each class one name of its own.")
    return tuple(names)


def read_names(labels: str | Path | Sequence[str]) -> tuple[str, ...]:
    """The names of a model's outputs from a text file (one name a line) or from a list; they may occur twice.

    Raises:
        InputError: `dataset.labels_file` or `dataset.class_names`.
    """
    if not isinstance(labels, (str, Path)):
        return as_names("The list of class names", list(labels), repeated=True)
    try:
        text = Path(labels).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = "is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else "can't be read"
        raise InputError(
            "dataset.labels_file",
            f"The labels file {labels} {problem} ({error}).",
            "give a text file with one class name a line, in the order of the model's outputs.",
        ) from error
    return as_names(f"The labels file {labels}", text.strip("\r\n").splitlines(), repeated=True)


def refuse_repeated(names: Sequence[str], own: Collection[str]) -> None:
    """Refuses names of outputs of which several are one class of the data: nothing says which of them it is.

    Classes that the data lacks may share a name, as `crane` and `maillot` do in the usual list of ImageNet's.

    Args:
        names: of the model's outputs, in their order.
        own: the names of the data's classes.

    Raises:
        InputError: `dataset.class_names`.
    """
    lines: dict[str, list[int]] = {}
    for line, name in enumerate(names, start=1):
        if name in own:
            lines.setdefault(name, []).append(line)
    doubles = {name: places for name, places in lines.items() if len(places) > 1}
    if doubles:
        said = [f"{name} {_times(places)}" for name, places in sorted(doubles.items())]
        raise InputError(
            "dataset.class_names",
            f"The labels name {listed(said)}, and the data has images of that class: which of the outputs stands for "
            "it can't be told.",
            "give each class one name of its own: keep the data's in the line of the output that stands for it, and "
            f"write something else in the other, such as '{min(doubles)} (other)'.",
        )


def _times(lines: list[int]) -> str:
    """`twice (lines 135 and 518)`."""
    often = "twice" if len(lines) == 2 else f"{len(lines)} times"
    return f"{often} (lines {listed(lines[:-1])} and {lines[-1]})"


def refuse_unreadable_names(names: Sequence[str]) -> None:
    """Refuses class names that could not be read back from the labels file in a model.

    Raises:
        InputError: `dataset.class_names`.
    """
    for name in names:
        if not is_one_line(name):
            raise InputError(
                "dataset.class_names",
                f"The class name {name!r} is blank or has a line break or control character.",
                "give the class a name that is one line of text (of folders: rename the folder).",
            )
