"""Reading `.npz` files, tuples and dictionaries of arrays, and `tf.data` datasets."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from learn2compress.core.errors import InputError
from learn2compress.core.memory import available_memory_bytes
from learn2compress.core.units import show_bytes
from learn2compress.inputs.archives import is_bomb, unpacked_bytes
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.class_labels import as_labels, as_names
from learn2compress.inputs.pixels import as_pixels
from learn2compress.inputs.refusals import STRICT, Refusals
from learn2compress.inputs.splits import SPLIT_NAMES, Source, SourceSplit
from learn2compress.inputs.tfdata import is_tf_dataset, read_tf_dataset, tf_class_names
from learn2compress.inputs.wording import listed, shortened

_KEYS = "x_train, y_train and, if you have them, x_val, y_val, x_test, y_test, class_names"
_SHORT = {"train": "train", "validation": "val", "test": "test"}


def read_npz(path: Path, refusals: Refusals = STRICT) -> Source:
    """Reads an `.npz` file; nothing in it is executed (`allow_pickle=False`).

    Raises:
        InputError: `dataset.unreadable_npz`, `dataset.zip_bomb`, `dataset.larger_than_memory`,
            `dataset.object_array`, `dataset.npz_keys`, or what `read_arrays` raises.
    """
    name = ""
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise zipfile.BadZipFile("it is no archive of arrays")
            _refuse_bomb(path, file)
            _refuse_larger_than_memory(path, file)
            found = list(file.files)
            arrays = {}
            for name in filter(_names_a_part, found):
                arrays[name] = file[name]
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        MemoryError,
        KeyError,
        NotImplementedError,
        ValueError,
    ) as error:
        if "allow_pickle" in str(error) and "Object arrays" in str(error):
            called = f", {name}," if name else ""
            raise InputError(
                "dataset.object_array",
                f"{path} holds an array of Python objects{called} which could carry code and is not read.",
                "save the names as text: class_names=np.array(names, dtype=str)."
                if name == "class_names"
                else "save arrays of numbers: np.savez(path, x_train=np.stack(images), y_train=np.array(labels)).",
            ) from error
        raise InputError(
            "dataset.unreadable_npz",
            f"{path} can't be read as an .npz file ({shortened(error)}).",
            f"write it with np.savez or np.savez_compressed, with the arrays {_KEYS}.",
        ) from error
    if "x_train" not in arrays or "y_train" not in arrays:
        with (refusals if {"x_test", "y_test"} <= arrays.keys() else STRICT).held():
            raise InputError(
                "dataset.npz_keys",
                f"{path} holds the arrays {listed(sorted(found), 10) or '(none)'}; expected are {_KEYS}.",
                "write it with np.savez(path, x_train=..., y_train=...).",
            )
    return read_arrays(arrays, str(path), refusals)


def _refuse_bomb(path: Path, file: Any) -> None:
    packed, unpacked = path.stat().st_size, unpacked_bytes(file.zip.infolist())
    if is_bomb(packed, unpacked):
        raise InputError(
            "dataset.zip_bomb",
            f"{path} is {show_bytes(packed)} but would unpack to {show_bytes(unpacked)}: not opened.",
            "if its images are real, write them uncompressed with np.savez.",
        )


def _refuse_larger_than_memory(path: Path, file: Any) -> None:
    """Before anything is unpacked: later the system would end the process, which could then say nothing."""
    needed, free = _needed_bytes(file), available_memory_bytes()
    if free is not None and needed > free:
        raise InputError(
            "dataset.larger_than_memory",
            f"{path} takes at least {show_bytes(needed)} of memory to read, and {show_bytes(free)} are free: "
            "arrays are held there whole.",
            "give the images as class folders or TFRecords, which are read as they are needed, or close other "
            "programs.",
        )


def _needed_bytes(file: Any) -> int:
    """The most that reading holds at a time of the images, by what the archive declares."""
    stored = converted = 0
    pixels: dict[str, int] = {}
    for entry in file.zip.infolist():
        name = entry.filename.removesuffix(".npy")
        if not (name.startswith("x_") and _names_a_part(name)):
            continue
        item_bytes = _item_bytes(file, entry)
        stored += entry.file_size
        pixels[SPLIT_NAMES[name.partition("_")[2]]] = entry.file_size // item_bytes
        # What is no uint8 becomes so beside it.
        converted += entry.file_size // item_bytes if item_bytes > 1 else 0
    # Where a split is missing, all are made of copies of the training images.
    made = pixels.get("train", 0) if len(pixels) < len(_SHORT) else 0
    return max(stored + converted, sum(pixels.values()) + made)


def _item_bytes(file: Any, entry: zipfile.ZipInfo) -> int:
    with file.zip.open(entry) as array:
        version = np.lib.format.read_magic(array)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return max(1, int(read(array)[2].itemsize))


def _names_a_part(key: str) -> bool:
    letter, _, part = key.partition("_")
    return key == "class_names" or (letter in ("x", "y") and part in SPLIT_NAMES)


def read_arrays(arrays: Mapping[str, Any], description: str, refusals: Refusals = STRICT) -> Source:
    """Reads arrays named `x_train`, `y_train`, `x_val` and so on, and perhaps `class_names`.

    Raises:
        InputError: `dataset.npz_keys` when a pair is incomplete, or what the checks of the arrays raise.
    """
    images: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    for key, value in arrays.items():
        letter, _, part = key.partition("_")
        if letter in ("x", "y") and part in SPLIT_NAMES:
            (images if letter == "x" else labels)[SPLIT_NAMES[part]] = value
    needed = set() if refusals.kept and images else {"train"}
    for part in (set(images) ^ set(labels)) | (needed - set(images)):
        name = _SHORT[part]
        raise InputError(
            "dataset.npz_keys",
            f"{description} lacks x_{name} or y_{name}.",
            f"give both; known names are {_KEYS}.",
        )
    pixels = as_pixels({f"x_{_SHORT[part]}": images[part] for part in images})
    parts: dict[str, SourceSplit] = {}
    for part, short in _SHORT.items():
        if part in images:
            x = pixels[f"x_{short}"]
            parts[part] = ArraySplit(x, as_labels(f"y_{short}", labels[part], len(x)))
    names = as_names("class_names", arrays["class_names"]) if arrays.get("class_names") is not None else None
    return Source(parts, None if names is None else dict.fromkeys(parts, names), description)


def read_value(data: Any) -> Source:
    """Reads what Python code hands over: (x, y), ((x, y), (x, y)), a dictionary, or a `tf.data.Dataset`.

    Raises:
        InputError: `dataset.unknown_kind`, or what the checks of the parts raise.
    """
    if is_tf_dataset(data):
        return _read_pairs({"train": data})
    if isinstance(data, Mapping):
        if "x_train" in data:
            return read_arrays(data, "arrays")
        unknown = [key for key in data if key not in SPLIT_NAMES and key != "class_names"]
        if not unknown and any(SPLIT_NAMES.get(key) == "train" for key in data):
            named = {SPLIT_NAMES[key]: value for key, value in data.items() if key != "class_names"}
            return _read_pairs(named, data.get("class_names"))
        raise InputError(
            "dataset.unknown_kind",
            f"The dictionary has the keys {listed(map(repr, data))}; expected are train, val and test.",
            "give {'train': (x, y), 'test': (x, y)}, the values being arrays or tf.data.Datasets.",
        )
    if isinstance(data, (tuple, list)) and len(data) in (2, 3) and all(map(_is_pair, data)):
        order = ("train", "test") if len(data) == 2 else ("train", "validation", "test")
        return _read_pairs(dict(zip(order, data, strict=True)))
    if _is_pair(data):
        return _read_pairs({"train": data})
    raise InputError(
        "dataset.unknown_kind",
        f"A {type(data).__name__} is no data that can be read.",
        "give a path, (x, y), ((x_train, y_train), (x_test, y_test)), {'train': ..., 'test': ...} "
        "or a tf.data.Dataset.",
    )


def _is_pair(value: Any) -> bool:
    """Whether it is (images, labels): a pair whose first is an array or a list of them, not itself a pair."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return False
    return np.ndim(value[0][0] if isinstance(value[0], list) and value[0] else value[0]) >= 2


def _read_pairs(pairs: Mapping[str, Any], class_names: Any = None) -> Source:
    arrays: dict[str, Any] = {} if class_names is None else {"class_names": class_names}
    description = "arrays"
    for part, pair in pairs.items():
        short = _SHORT[part]
        if is_tf_dataset(pair):
            description = "tf.data"
            names = tf_class_names(pair)
            if names is not None:
                arrays.setdefault("class_names", names)
            arrays[f"x_{short}"], arrays[f"y_{short}"] = read_tf_dataset(part, pair)
            continue
        if not _is_pair(pair):
            raise InputError(
                "dataset.unknown_kind",
                f"What is given for {part} is a {type(pair).__name__}; expected is (images, labels).",
                "give a pair of arrays, or a tf.data.Dataset of (image, label).",
            )
        arrays[f"x_{short}"], arrays[f"y_{short}"] = pair
    return read_arrays(arrays, description)
