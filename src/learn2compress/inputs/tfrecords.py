"""TFRecord files: found by name, checked record by record, and read again when an image is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.core.units import show_bytes
from learn2compress.inputs.class_labels import as_names
from learn2compress.inputs.decode import Facts, bombs_refused, decode, facts_of, told
from learn2compress.inputs.folders import FolderSplit
from learn2compress.inputs.geometry import pool
from learn2compress.inputs.looks import look_of
from learn2compress.inputs.refusals import STRICT, Refusals
from learn2compress.inputs.scan import reason, skipped, warn_of_dark_grey
from learn2compress.inputs.splits import SPLIT_NAMES, Source, SourceSplit
from learn2compress.inputs.tf_examples import Example, Pixels, RecordError, parse
from learn2compress.inputs.wording import listed, shortened

HELD_LIMIT_BYTES = 2 * 10**9  # of images in compressed files, which can't be read from the middle
_CHUNK = 256  # records decoded at a time
_HEADER_BYTES, _FOOTER_BYTES = 12, 4  # around each record: length and its checksum, checksum of the record
_NAME_FILES = ("label.labels.txt", "labels.txt")  # tensorflow-datasets writes the first, TF-Slim the second


@dataclass(frozen=True)
class RecordImage:
    """An image in a TFRecord file; satisfies `inputs.decode.StoredImage`.

    Attributes:
        path: the file.
        number: of the record in it, from 1.
        offset: of the image's bytes in the file; they are read from there.
        held: the bytes themselves where the file is compressed; empty otherwise.
        pixels: how to read the bytes.
        facts: what decoding found out.
        size_bytes: of the image.
    """

    path: Path
    number: int
    offset: int
    held: bytes
    pixels: Pixels
    facts: Facts
    size_bytes: int

    def told(self, root: Path) -> str:
        """The file and the number of the record."""
        return f"{told(self.path, root)} record {self.number}"

    def content(self) -> bytes:
        """The image's bytes."""
        if self.held:
            return self.held
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size_bytes)

    def decoded(self, at_least: int | None) -> Image.Image:
        """See `inputs.decode.decode`."""
        content = self.content()
        return decode(BytesIO(content), at_least) if self.pixels.shape is None else self.pixels.image(content)


def named_like_records(path: Path) -> bool:
    """Whether a file's name says that it is one of TFRecords."""
    return ".tfrec" in path.name.lower()


def record_files(folder: Path) -> list[Path]:
    """TFRecord files directly in a folder, or in folders in it that are named like splits; sorted."""
    inside = sorted(folder.iterdir())
    splits = [path for path in inside if path.is_dir() and path.name.lower() in SPLIT_NAMES]
    found = [*inside, *(path for split in splits for path in sorted(split.iterdir()))]
    return [path for path in found if path.is_file() and named_like_records(path)]


def read_records(
    root: Path,
    files: Sequence[Path],
    description: str,
    progress: Progress,
    names: Sequence[str] | None = None,
    refusals: Refusals = STRICT,
) -> Source:
    """Reads each record once: its checksum, its image and its label; images are not kept.

    The split of a file is told by its name (`train`, `val`, `validation`, `test` as a word of it, or the folder it is
    in). Class names are those of `names`, or a file `labels.txt` beside the records, or the texts in the records.

    Args:
        root: what files are told relative to.
        files: TFRecord files of `tf.train.Example`s, plain or GZIP.
        description: of the data, for people.
        progress: gets steps, and a warning about images that are skipped.
        names: class names by index.
        refusals: what becomes of too many broken images, and of data that has other splits alone.

    Raises:
        InputError: `dataset.tfrecord…`, `dataset.no_train_split`, `dataset.undecodable`.
    """
    parts = _parts(root, files, refusals)
    images: list[RecordImage] = []
    labels: list[tuple[int | None, str | None]] = []
    owners: list[str] = []
    bad: list[str] = []
    held = 0
    with progress.stage("check images", total=sum(file.stat().st_size for file in files)) as stage, bombs_refused():
        for file, part in zip(files, parts, strict=True):
            records = _records(root, file)
            while chunk := list(islice(records, _CHUNK)):
                for found, (record, example) in zip(pool().map(_checked, chunk), chunk, strict=True):
                    stage.done += record.length
                    if isinstance(found, str):
                        bad.append(f"{told(file, root)} record {record.number} ({found})")
                        continue
                    held += len(found.held)
                    images.append(found)
                    labels.append((example.label, example.text))
                    owners.append(part)
                stage.at(stage.done)
                _refuse_too_large(description, held)
    if not images and not bad:
        raise InputError("dataset.tfrecord_empty", f"{description} holds no records.", "check how it was written.")
    if images and "train" not in owners:
        with refusals.held():
            raise InputError(
                "dataset.no_train_split", f"The training files of {description} hold no images.", "write them again."
            )
    notes = skipped(bad, len(bad) + len(images), root, progress, refusals)
    notes += warn_of_dark_grey(images, root, progress)
    class_names, indices = _classes(description, labels, names or _names_beside(files))
    splits: dict[str, SourceSplit] = {}
    for part in [name for name in ("train", "validation", "test") if name in owners]:
        rows = [row for row, owner in enumerate(owners) if owner == part]
        splits[part] = FolderSplit(root, [images[row] for row in rows], indices[rows])
    by_part = None if class_names is None else dict.fromkeys(splits, class_names)
    return Source(splits, by_part, description, notes, tuple(bad))


def _parts(root: Path, files: Sequence[Path], refusals: Refusals) -> list[str]:
    """The split of each file; `train` for all where their names tell no split, or are all of one."""
    parts = [_part_of(told(file, root)) for file in files]
    known = {part for part in parts if part}
    unknown = [file.name for file, part in zip(files, parts, strict=True) if not part]
    if not known or (len(known) == 1 and not unknown):
        return ["train"] * len(files)
    if "train" not in known and not unknown:
        with refusals.held():
            raise InputError(
                "dataset.no_train_split",
                f"{root} has record files of the {listed(sorted(known))} splits, but none of the train split.",
                "name the training files so that train is a word of their name, as in train-00000-of-00004.tfrecord.",
            )
    if unknown:
        raise InputError(
            "dataset.tfrecord_split",
            f"Some record files in {root} are named after a split, and others not ({listed(unknown)}).",
            "name each after its split, or give the files themselves.",
        )
    return [part or "train" for part in parts]


def _part_of(name: str) -> str | None:
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word in SPLIT_NAMES]
    return SPLIT_NAMES[words[-1]] if words else None


@dataclass(frozen=True)
class _Record:
    """Where a record is: `offset` of its data in the file, -1 where the file is compressed."""

    path: Path
    number: int
    offset: int
    length: int
    data: bytes


def _records(root: Path, file: Path) -> Iterator[tuple[_Record, Example]]:
    tf = _tensorflow()
    with file.open("rb") as opened:
        compressed = opened.read(2) == b"\x1f\x8b"
    elements = tf.data.TFRecordDataset(str(file), "GZIP" if compressed else "").as_numpy_iterator()
    offset = number = 0
    while True:
        number += 1
        try:
            data = next(elements, None)
        except Exception as error:
            raise InputError(
                "dataset.tfrecord_damaged",
                f"{told(file, root)} is cut off or damaged at record {number} ({shortened(error, 120)}).",
                "write it again, or take it out; check that it was copied whole.",
            ) from error
        if data is None:
            return
        where = -1 if compressed else offset + _HEADER_BYTES
        offset += _HEADER_BYTES + len(data) + _FOOTER_BYTES
        try:
            features = tf.train.Example.FromString(data).features.feature
            yield _Record(file, number, where, len(data), data), parse(features)
        except Exception as error:
            said = error if isinstance(error, RecordError) else "it is no tf.train.Example"
            raise InputError(
                "dataset.tfrecord_example",
                f"Record {number} of {told(file, root)} can't be used: {said}.",
                "write tf.train.Examples with image/encoded (an encoded image) and image/class/label (a number).",
            ) from error


def _checked(item: tuple[_Record, Example]) -> RecordImage | str:
    record, example = item
    content = example.content
    try:
        if example.pixels.shape is None:
            facts = facts_of(BytesIO(content))
        else:
            image = example.pixels.image(content)
            facts = Facts(image.height, image.width, "raw", "RGB", look_of(image).tobytes())
    except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged bytes; the record is reported
        return reason(error, record.path)
    compressed = record.offset < 0
    offset = -1 if compressed else record.offset + record.data.index(content)
    held = content if compressed else b""
    return RecordImage(record.path, record.number, offset, held, example.pixels, facts, len(content))


def _refuse_too_large(description: str, held: int) -> None:
    if held > HELD_LIMIT_BYTES:
        raise InputError(
            "dataset.too_large",
            f"The images in the compressed records of {description} take more than {show_bytes(HELD_LIMIT_BYTES)}.",
            "unpack the files with gunzip: what is not compressed is read when it is needed.",
        )


def _classes(
    description: str, labels: Sequence[tuple[int | None, str | None]], names: Sequence[str] | None
) -> tuple[tuple[str, ...] | None, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Class names, None where the records have only numbers; and the class index of each label."""
    numbered = all(number is not None for number, _ in labels)
    if names is not None and numbered:
        unknown = sorted({number for number, _ in labels if number is not None and number >= len(names)})
        if unknown:
            raise InputError(
                "dataset.unknown_class",
                f"{description} has the label {listed(unknown)}, but names only {len(names)} classes.",
                "name all classes, in the order of their numbers from 0 on.",
            )
        return tuple(names), np.array([number for number, _ in labels], np.int64)
    if all(text for _, text in labels):
        pairs = {(number, text) for number, text in labels} if numbered else {(0, text) for _, text in labels}
        ordered = sorted({(number or 0, text or "") for number, text in pairs})
        found = tuple(text for _, text in ordered)
        if len(set(found)) < len(found) or (numbered and len({number for number, _ in ordered}) < len(ordered)):
            raise InputError(
                "dataset.tfrecord_labels",
                f"Numbers and texts of the labels in {description} do not go together one to one.",
                "give each class one number and one text.",
            )
        index = {text: i for i, text in enumerate(found)}
        return found, np.array([index[text or ""] for _, text in labels], np.int64)
    if not numbered:
        raise InputError(
            "dataset.tfrecord_labels",
            f"Some records of {description} have a number as label, and others a text.",
            "give all records labels of one kind.",
        )
    return None, np.array([number for number, _ in labels], np.int64)


def _names_beside(files: Sequence[Path]) -> tuple[str, ...] | None:
    """Class names from a file in the folder of the records; TF-Slim's lines begin with the number."""
    for name in _NAME_FILES:
        path = files[0].parent / name
        if path.is_file():
            lines = [line for line in path.read_text("utf-8-sig", "replace").splitlines() if line.strip()]
            if all(re.match(rf"{i}:", line) for i, line in enumerate(lines)):
                lines = [line.split(":", 1)[1] for line in lines]
            return as_names(f"{path}", lines)
    return None


def _tensorflow() -> Any:
    from learn2compress.core.silence import silenced

    with silenced():  # TensorFlow greets everyone on import
        import tensorflow
    return tensorflow
