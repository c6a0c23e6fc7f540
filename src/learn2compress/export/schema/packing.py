"""A `.tflite` FlatBuffer as objects, and back, with the weights where LiteRT wants them."""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers

from learn2compress.core.errors import ConversionError

IDENTIFIER = b"TFL3"
WEIGHT_ALIGNMENT = 16  # `force_align: 16` of Buffer.data in LiteRT's schema.fbs
# The generated reader trusts every offset: out of a damaged file any of these can come.
DAMAGE = (struct.error, LookupError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)


class _AligningBuilder(flatbuffers.Builder):
    """Puts byte vectors at multiples of 16 bytes: generated Python ignores the schema's `force_align`.

    Without it float and int32 weights lie at odd addresses: slow, or a fault, on some processors.
    """

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
        return super().StartVector(elemSize, numElems, WEIGHT_ALIGNMENT if elemSize == 1 else alignment)


def unpack(model: bytes) -> Any:
    """The model as LiteRT's generated `ModelT`. A ZIP behind the FlatBuffer is left out.

    Raises:
        ConversionError: `metadata.not_tflite`.
    """
    from ai_edge_litert import schema_py_generated as schema

    if model[4:8] != IDENTIFIER:
        raise ConversionError("metadata.not_tflite", "This is no .tflite file.", "pass what the converter made.")
    try:
        return schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    except DAMAGE as error:
        what = f"This .tflite file is damaged: {error}"
        raise ConversionError("metadata.not_tflite", what, "convert the model again.") from error


def pack(model: Any) -> bytes:
    """The bytes of a `ModelT`."""
    builder = _AligningBuilder(1 << 16)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def text(value: bytes | str | None) -> str:
    """A string field as text: generated readers give bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def utf8(words: str) -> bytes:
    """Text as a string field. What UTF-8 can't say (half of a surrogate pair) becomes `?`."""
    return words.encode("utf-8", "replace")
