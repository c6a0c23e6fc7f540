"""`.tflite` files that are none, are damaged or no classifiers, and manifests of families that can't be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input.keras_files import bytes_of, folder_of, part_of

FIXTURE = Path(__file__).parents[1] / "fixtures" / "clothing_small.tflite"


def good(path: Path, shop: Any) -> None:
    path.write_bytes(FIXTURE.read_bytes())


def changed(change: Callable[[Any], object]) -> Callable[[Path, Any], None]:
    """A maker of a file whose FlatBuffer is changed."""

    def make(path: Path, shop: Any) -> None:
        from learn2compress.export.schema.packing import pack, unpack

        root = unpack(FIXTURE.read_bytes())
        change(root)
        path.write_bytes(pack(root))

    return make


def patched(place: int, content: bytes) -> Callable[[Path, Any], object]:
    """A maker of a file in which some bytes are others."""

    def make(path: Path, shop: Any) -> None:
        whole = bytearray(FIXTURE.read_bytes())
        whole[place : place + len(content)] = content
        path.write_bytes(whole)

    return make


def two_inputs(root: Any) -> None:
    graph = root.subgraphs[0]
    graph.inputs = [int(graph.inputs[0])] * 2


def no_outputs(root: Any) -> None:
    root.subgraphs[0].outputs = []


def broken_metadata(root: Any) -> None:
    import numpy as np

    root.buffers[root.metadata[-1].buffer].data = np.frombuffer(b"\xff" * 40, np.uint8)


def unknown_op(root: Any) -> None:
    root.operatorCodes[0].builtinCode = 32  # a custom operation, which no runtime has
    root.operatorCodes[0].deprecatedBuiltinCode = 32
    root.operatorCodes[0].customCode = b"RunAnything"


def flex_op(root: Any) -> None:
    """An operation of TensorFlow's own, as the converter calls it where it may leave such in."""
    unknown_op(root)
    root.operatorCodes[0].customCode = b"FlexAdjustHue"


def wrong_tensor(root: Any) -> None:
    root.subgraphs[0].operators[0].inputs = [10**6, 1, 2]


def model(name: str) -> dict[str, Any]:
    accuracy = {"validation": 0.9, "test": 0.9, "validation_examples": 10, "test_examples": 10}
    return {"name": name, "file": None, "accuracy": accuracy}


MANIFEST: dict[str, Any] = {
    "schema_version": 1,
    "created": "2025-01-01T00:00:00+00:00",
    "version": "0.1.0",
    "task": "image-classification",
    "command": "l2c compress model.keras --data photos --out family",
    "seed": 0,
    "budget_seconds": 60.0,
    "elapsed_seconds": 59.0,
    "stage_seconds": {},
    "route": "fresh",
    "teacher": model("teacher"),
    "baselines": [],
    "members": [],
    "dataset": {
        "source": "photos",
        "class_names": ["blue", "red"],
        "train_examples": 8,
        "validation_examples": 2,
        "test_examples": 2,
        "image_size": [8, 8],
    },
    "environment": {
        "processor": "x",
        "cores": 2,
        "memory_bytes": 1,
        "system": "Linux",
        "python": "3.11",
        "packages": {},
    },
    "plan": {},
}


def family(**changes: Any) -> Callable[[Path, Any], None]:
    """A maker of a folder with a manifest in which some keys are others."""
    return folder_of(family__json=json.dumps({**MANIFEST, **changes}))


MEMBER: dict[str, Any] = {
    **model("small"),
    "file": "models/small.tflite",
    "keras_file": "models/small.keras",
    "width": 1.0,
    "depth": 1,
    "input_size": [96, 96],
    "float_accuracy_validation": 0.9,
    "float_accuracy_test": 0.9,
    "verification": {"images": 10, "top1_agreement": 1.0, "max_probability_difference": 0.0},
}


def whole_family(path: Path, shop: Any) -> None:
    """A family of one member that can be exported."""
    family(members=[MEMBER])(path, shop)
    (path / "models").mkdir()
    good(path / "models" / "small.tflite", shop)


LITE_FILES: dict[str, Callable[[Path, Any], object]] = {
    "good.tflite": good,
    "text.tflite": bytes_of(b"this is not a model\n"),
    "empty.tflite": bytes_of(b""),
    "other.tflite": patched(4, b"TFL9"),
    "folder.tflite": lambda path, shop: path.mkdir(),
    "cut.tflite": part_of("good.tflite", 0.5),
    "head.tflite": part_of("good.tflite", 0.0001),
    "garbled.tflite": patched(16, b"\xff" * 2000),
    "two_inputs.tflite": changed(two_inputs),
    "no_outputs.tflite": changed(no_outputs),
    "custom_op.tflite": changed(unknown_op),
    "flex.tflite": changed(flex_op),
    "wrong_tensor.tflite": changed(wrong_tensor),
    "broken_metadata.tflite": changed(broken_metadata),
    "family_text": folder_of(family__json="hello"),
    "family_cut": folder_of(family__json='{"schema_version": 1, "created":'),
    "family_deep": folder_of(family__json="[" * 200_000),
    "family_list": folder_of(family__json="[]"),
    "family_newer": family(schema_version=99),
    "family_version": family(schema_version="new"),
    "family_unknown": family(owner="me"),
    "family_surrogate": family(route="\ud800"),
    "family_accuracy": family(teacher=model("teacher") | {"accuracy": model("")["accuracy"] | {"test": -1}}),
    "family_types": family(members="many", seed="x"),
    "family_small": whole_family,
    "family_gone": family(members=[MEMBER]),
    "family_outside": family(members=[MEMBER | {"file": "../small.tflite"}]),
}
