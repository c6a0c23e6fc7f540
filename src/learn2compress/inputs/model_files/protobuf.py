"""Reads TensorFlow graphs, SavedModels and ONNX models as far as checking them needs, without either library.

The messages here hold a part of the fields of the published formats, under their numbers: tensorflow/core/framework
`graph.proto`, `function.proto`, `attr_value.proto`, core/protobuf `saved_model.proto`, `meta_graph.proto`,
`saved_object_graph.proto`; Keras' `saved_metadata.proto`; and `onnx.proto`. What is not named is skipped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from learn2compress.core.errors import InputError
from learn2compress.inputs.wording import shortened

# Message: {field: (number, type)}; a star says that it is repeated. A map is a repeated message of key and value.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "GraphDef": {"node": (1, "NodeDef*"), "library": (2, "Library")},
    "Library": {"function": (1, "FunctionDef*")},
    "FunctionDef": {"signature": (1, "OpDef"), "node_def": (3, "NodeDef*")},
    "OpDef": {"name": (1, "string")},
    "NodeDef": {"name": (1, "string"), "op": (2, "string"), "input": (3, "string*"), "attr": (5, "Attr*")},
    "Attr": {"key": (1, "string"), "value": (2, "AttrValue")},
    "AttrValue": {"list": (1, "AttrList"), "s": (2, "bytes"), "func": (10, "NamedAttrs")},
    "AttrList": {"func": (9, "NamedAttrs*")},
    "NamedAttrs": {"name": (1, "string"), "attr": (2, "Attr*")},
    "SavedModel": {"schema": (1, "int64"), "meta_graphs": (2, "MetaGraph*")},
    "MetaGraph": {
        "info": (1, "MetaInfo"),
        "graph": (2, "GraphDef"),
        "saver": (3, "Saver"),
        "collection": (4, "Collection*"),
        "signature": (5, "Signature*"),
        "objects": (7, "ObjectGraph"),
    },
    "MetaInfo": {"tags": (4, "string*")},
    "Saver": {"save": (2, "string"), "restore": (3, "string")},
    "Collection": {"key": (1, "string"), "value": (2, "CollectionValue")},
    "CollectionValue": {"nodes": (1, "NodeList")},
    "NodeList": {"value": (1, "string*")},
    "Signature": {"key": (1, "string"), "value": (2, "SignatureDef")},
    "SignatureDef": {"outputs": (2, "TensorEntry*")},
    "TensorEntry": {"key": (1, "string"), "value": (2, "TensorInfo")},
    "TensorInfo": {"name": (1, "string")},
    "KerasMetadata": {"nodes": (1, "KerasNode*")},
    "KerasNode": {"path": (3, "string"), "metadata": (5, "string")},
    "ObjectGraph": {"functions": (2, "FunctionEntry*")},
    "FunctionEntry": {"key": (1, "string")},
    "OnnxModel": {
        "ir_version": (1, "int64"),
        "graph": (7, "OnnxGraph"),
        "opset": (8, "OnnxOpset*"),
        "functions": (25, "OnnxFunction*"),
    },
    "OnnxOpset": {"domain": (1, "string"), "version": (2, "int64")},
    "OnnxFunction": {"node": (7, "OnnxNode*"), "default": (11, "OnnxAttribute*")},
    "OnnxGraph": {"node": (1, "OnnxNode*"), "initializer": (5, "OnnxTensor*"), "sparse": (15, "OnnxSparse*")},
    "OnnxNode": {"op": (4, "string"), "attribute": (5, "OnnxAttribute*"), "domain": (7, "string")},
    "OnnxAttribute": {
        "tensor": (5, "OnnxTensor"),
        "graph": (6, "OnnxGraph"),
        "tensors": (10, "OnnxTensor*"),
        "graphs": (11, "OnnxGraph*"),
        "sparse": (22, "OnnxSparse"),
        "sparses": (23, "OnnxSparse*"),
    },
    "OnnxSparse": {"values": (1, "OnnxTensor"), "indices": (2, "OnnxTensor")},
    "OnnxTensor": {"dims": (1, "int64*"), "data_type": (2, "int64"), "external": (13, "OnnxEntry*")},
    "OnnxEntry": {"key": (1, "string"), "value": (2, "string")},
}


@cache
def _classes() -> dict[str, Any]:
    """The message classes, made once."""
    kinds = descriptor_pb2.FieldDescriptorProto
    plain = {"string": kinds.TYPE_STRING, "bytes": kinds.TYPE_BYTES, "int64": kinds.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(name="learn2compress_partial.proto", package="l2c", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, written) in fields.items():
            label = kinds.LABEL_REPEATED if written.endswith("*") else kinds.LABEL_OPTIONAL
            kind = written.removesuffix("*")
            entry = message.field.add(name=field, number=number, label=label)
            if kind in plain:
                entry.type = plain[kind]
            else:
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".l2c.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"l2c.{name}")) for name in _MESSAGES}


def read_message(path: Path, message: str) -> Any:
    """A file as one of the messages above.

    Raises:
        InputError: `teacher.damaged_file` when its bytes are no such message, or `teacher.unreadable`.
    """
    try:
        return _classes()[message].FromString(path.read_bytes())
    except OSError as error:
        raise InputError(
            "teacher.unreadable", f"{path} can't be read ({error}).", "check its permissions."
        ) from error
    except (DecodeError, ValueError, RecursionError) as error:
        raise damaged(path, shortened(error)) from error


def damaged(path: Path, reason: str) -> InputError:
    """The error for a file that begins like a model and does not go on like one."""
    return InputError(
        "teacher.damaged_file",
        f"{path} is damaged or incomplete ({reason}).",
        "copy or download it again, or export the model again.",
    )
