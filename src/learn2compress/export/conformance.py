"""What ML Kit asks of a custom image model, item by item.

The list is that of https://developers.google.com/ml-kit/custom-models under "TensorFlow Lite model compatibility".
ML Kit itself runs on phones only, so a file is held against what is published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from learn2compress.export.metadata import Metadata, metadata_of
from learn2compress.export.schema.packing import unpack
from learn2compress.export.schema.tensors import FLOAT32, INT8, UINT8

_TYPES = {FLOAT32: "float32", UINT8: "uint8", INT8: "int8"}


@dataclass(frozen=True)
class Finding:
    """Whether a file keeps one requirement, and what it has."""

    requirement: str
    kept: bool
    found: str


@dataclass(frozen=True)
class _Ports:
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    metadata: Metadata | None

    @property
    def image(self) -> list[int]:
        return [int(n) for n in self.inputs[0].shape]

    @property
    def input_type(self) -> str:
        return _TYPES.get(self.inputs[0].type, f"type {self.inputs[0].type}")

    @property
    def scores(self) -> list[int]:
        return [int(n) for n in self.outputs[0].shape]


_TABLE: tuple[tuple[str, Callable[[_Ports], bool], Callable[[_Ports], object]], ...] = (
    ("one input tensor", lambda p: len(p.inputs) == 1, lambda p: len(p.inputs)),
    ("input of 4 dimensions BxHxWxC", lambda p: len(p.image) == 4, lambda p: p.image),
    ("a batch of 1", lambda p: p.image[:1] == [1], lambda p: p.image),
    ("3 channels", lambda p: p.image[3:] == [3], lambda p: p.image),
    ("input of uint8 or float32", lambda p: p.inputs[0].type in (UINT8, FLOAT32), lambda p: p.input_type),
    (
        "a float32 input has NormalizationOptions in the metadata",
        lambda p: p.inputs[0].type != FLOAT32 or bool(p.metadata and p.metadata.input_std),
        lambda p: p.metadata and (p.metadata.input_mean, p.metadata.input_std),
    ),
    ("one head, as only these are fully supported", lambda p: len(p.outputs) == 1, lambda p: len(p.outputs)),
    (
        "output of dimensions 1xN or 1x1x1xN",
        lambda p: len(p.scores) in (2, 4) and p.scores[:-1] == [1] * (len(p.scores) - 1),
        lambda p: p.scores,
    ),
    (
        "a label for each class in a file of type TENSOR_AXIS_LABELS in the metadata",
        lambda p: bool(p.metadata) and len(p.metadata.labels) == prod(p.scores),  # type: ignore[union-attr]
        lambda p: len(p.metadata.labels) if p.metadata else None,
    ),
)


def ml_kit_findings(path: str | Path) -> tuple[Finding, ...]:
    """Each published requirement, and whether the file keeps it.

    Raises:
        ConversionError: `metadata.not_tflite` or `metadata.unreadable`.
    """
    graph = unpack(Path(path).read_bytes()).subgraphs[0]
    tensors = graph.tensors
    ports = _Ports(
        tuple(tensors[index] for index in graph.inputs),
        tuple(tensors[index] for index in graph.outputs),
        metadata_of(path),
    )
    return tuple(Finding(words, keeps(ports), str(found(ports))) for words, keeps, found in _TABLE)
