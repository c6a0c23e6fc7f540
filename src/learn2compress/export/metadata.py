"""Metadata inside a `.tflite` file: what it is, which pixels it wants, and what its outputs are called.

The TFLite Metadata FlatBuffer goes into one of the model's buffers and `labels.txt` behind the model as an
uncompressed ZIP, so that the file is a model and an archive at once. MediaPipe, ML Kit, Android Studio read
both. Format: https://ai.google.dev/edge/litert/models/metadata and `metadata_schema.fbs`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np

from learn2compress.core.errors import ConversionError, InputError
from learn2compress.core.framing import CROP, Framing, as_framing
from learn2compress.core.names import is_one_line
from learn2compress.export.schema import metadata_schema as schema
from learn2compress.export.schema.packing import DAMAGE, pack, text, unpack, utf8
from learn2compress.export.schema.tensors import (
    LABELS_FILE,
    display_file,
    image_and_scores,
    image_metadata,
    normalization,
    scores_metadata,
)

FIELD = "TFLITE_METADATA"
FRAMING_FIELD = "learn2compress.framing"  # beside it: its schema has no word for what is done to a photo's shape
IDENTIFIER = b"M001"
MIN_PARSER_VERSION = "1.0.0"  # the schema version that has every field written here


@dataclass(frozen=True)
class Metadata:
    """What a file says of itself. An app feeds (pixel - mean) / std, quantized where the input is integer.

    `display_labels` maps a locale, such as `de`, to the labels in that language. `framing` is how a photo of another
    shape is brought to the input's; for a file that does not say it is cropped.
    """

    name: str
    description: str
    version: str
    author: str
    license: str
    labels: tuple[str, ...]
    input_name: str
    input_mean: tuple[float, ...]
    input_std: tuple[float, ...]
    output_name: str
    min_parser_version: str
    display_labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    framing: Framing = CROP


def check_labels(labels: Sequence[str], outputs: int | None = None) -> None:
    """Refuses labels that an app would not read back as they are: the labels file has one a line.

    A label with a line break would be two, and some readers drop blank lines, which shifts every label behind
    one. Equal labels are let through: apps tell classes apart by index, and ImageNet itself has two cranes.

    Args:
        labels: one per output, in the outputs' order.
        outputs: how many outputs the model has, where known.

    Raises:
        InputError: `labels.unreadable` or `labels.count`.
    """
    for index, label in enumerate(labels):
        if not is_one_line(label):
            raise InputError(
                "labels.unreadable",
                f"The name of class {index}, {label!r}, is blank or has a line break or control character.",
                "give the class a name that is one line of text.",
            )
    if outputs is not None and len(labels) != outputs:
        raise InputError(
            "labels.count",
            f"There are {len(labels)} class names for a model with {outputs} outputs.",
            "give one name per output, in the order of the outputs.",
        )


def add_metadata(
    model: bytes,
    *,
    name: str,
    description: str,
    version: str,
    author: str,
    license: str,  # noqa: A002  (the schema's word)
    labels: Sequence[str],
    display_labels: Mapping[str, Sequence[str]] | None = None,
    input_mean: Sequence[float] | None = None,
    input_std: Sequence[float] | None = None,
    input_name: str = "image",
    output_name: str = "probability",
    logits: bool = False,
    framing: Framing = CROP,
    description_room: int = 0,
) -> bytes:
    """The model with metadata and labels in it; earlier ones are replaced. What it computes does not change.

    Args:
        model: a `.tflite` file's bytes: one RGB image in, one vector of class probabilities out.
        name, description, version, author, license: for people.
        labels: one per output.
        display_labels: locale -> labels in that language, one per output too, for apps that ask for the locale.
        input_mean, input_std: what takes a pixel 0..255 to the model's *real* input, (pixel - mean) / std;
            one value each, or three for R, G, B (MediaPipe wants these equal). A float32 input needs them. An
            integer input does not: the default undoes its own quantization (for uint8: mean = zero point, std
            = 1 / scale), so that an app that normalises and quantizes and an app that copies pixels both feed
            the pixels as they are.
        input_name, output_name: what apps call them.
        logits: whether the file gives what stands before the softmax instead of probabilities.
        framing: how a photo of another shape is brought to the input's.
        description_room: bytes of UTF-8 that are set aside for the description: one that takes no more can be put
            in the place of another later, and the file keeps its size.

    Raises:
        InputError: `labels.unreadable` or `labels.count`.
        ConversionError: `metadata.not_tflite`, `metadata.ports` or `metadata.normalization`.
    """
    root = unpack(model)
    image_in, out = image_and_scores(root)
    for names in (labels, *(display_labels or {}).values()):
        check_labels(names, prod(int(n) for n in out.shape))
    mean, std = normalization(image_in, input_mean, input_std)
    content = schema.ModelMetadataT(
        name=utf8(name),
        description=utf8(description),
        version=utf8(version),
        author=utf8(author),
        license=utf8(license),
        subgraphMetadata=[
            schema.SubGraphMetadataT(
                inputTensorMetadata=[image_metadata(image_in, input_name, mean, std)],
                outputTensorMetadata=[scores_metadata(out, output_name, tuple(display_labels or {}), logits=logits)],
            )
        ],
        minParserVersion=MIN_PARSER_VERSION,
    )
    packed = _packed(content)
    content.description = bytes(max(description_room, len(content.description)))
    # Readers start at the front and follow offsets: what stands behind is never looked at.
    _put(root, FIELD, packed.ljust(len(_packed(content)), b"\0"))
    _put(root, FRAMING_FIELD, framing.encode())
    lists = {LABELS_FILE: labels, **{display_file(locale): names for locale, names in (display_labels or {}).items()}}
    return _with_files(pack(root), {name: "\n".join(names).encode("utf-8") for name, names in lists.items()})


def read_metadata(path: str | Path) -> Metadata | None:
    """What `add_metadata`, or another tool, wrote of one input and one output; None where there is nothing.

    Raises:
        ConversionError: `metadata.not_tflite` or `metadata.unreadable`.
    """
    root = unpack(Path(path).read_bytes())
    held = {text(entry.name): entry.buffer for entry in root.metadata or ()}
    if FIELD not in held:
        return None
    try:
        packed = root.buffers[held[FIELD]].data.tobytes()
        content = schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAs(packed, 0))
        said = root.buffers[held[FRAMING_FIELD]].data.tobytes().decode() if FRAMING_FIELD in held else CROP
        return replace(_read(content, Path(path)), framing=as_framing(said))
    except (*DAMAGE, zipfile.BadZipFile) as error:
        what = f"The metadata in {path} can't be read: {error}"
        raise ConversionError("metadata.unreadable", what, "write the file again.") from error


def metadata_of(path: str | Path) -> Metadata | None:
    """`read_metadata` of a file that a user names.

    Raises:
        InputError: `tflite.metadata`, `tflite.*`.
    """
    try:
        return read_metadata(path)
    except ConversionError as error:
        raise InputError(
            "tflite.metadata",
            error.what,
            "take the file from where it came once more, or name classes with --labels.",
        ) from error


def _read(content: Any, path: Path) -> Metadata:
    graph = content.subgraphMetadata[0]
    image_in, out = graph.inputTensorMetadata[0], graph.outputTensorMetadata[0]
    steps = [unit.options for unit in image_in.processUnits or ()]
    scaling = next((step for step in steps if isinstance(step, schema.NormalizationOptionsT)), None)
    axis = schema.AssociatedFileType.TENSOR_AXIS_LABELS
    label_files = [(text(file.locale), text(file.name)) for file in out.associatedFiles or () if file.type == axis]
    lists: dict[str, tuple[str, ...]] = {}
    if label_files:
        with zipfile.ZipFile(path) as archive:
            for locale, name in label_files:
                content_text = archive.read(name).decode("utf-8", "replace").removesuffix("\n")
                lists.setdefault(locale, tuple(content_text.split("\n")) if content_text else ())
    # Those that stand first are the ones that classes go by, whatever their language.
    labels = next(iter(lists.values()), ())
    return Metadata(
        name=text(content.name),
        description=text(content.description),
        version=text(content.version),
        author=text(content.author),
        license=text(content.license),
        labels=labels,
        input_name=text(image_in.name),
        input_mean=tuple(float(v) for v in scaling.mean) if scaling else (),
        input_std=tuple(float(v) for v in scaling.std) if scaling else (),
        output_name=text(out.name),
        min_parser_version=text(content.minParserVersion),
        display_labels=dict(list(lists.items())[1:]),
    )


def _packed(content: Any) -> bytes:
    builder = flatbuffers.Builder(4096)
    builder.Finish(content.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _put(root: Any, name: str, content: bytes) -> None:
    """Puts an entry into the model's metadata, in the place of what was there under its name."""
    from ai_edge_litert import schema_py_generated as model_schema

    buffer = model_schema.BufferT(data=np.frombuffer(content, np.uint8))
    root.metadata = root.metadata or []
    for entry in root.metadata:
        if text(entry.name) == name:
            root.buffers[entry.buffer] = buffer
            return
    root.buffers.append(buffer)
    root.metadata.append(model_schema.MetadataT(name=name, buffer=len(root.buffers) - 1))


def _with_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """The model with a ZIP of name -> data behind it: stored, not deflated, because MediaPipe points into it."""
    whole = io.BytesIO()
    whole.write(model)
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # its date is fixed: the same model gives the same bytes
    return whole.getvalue()
