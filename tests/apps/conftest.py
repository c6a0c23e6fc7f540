"""A family folder with a real member of the clothing example, and tiny ones with other types at their ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.apps.folder import export
from learn2compress.core.family import (
    Accuracy,
    DatasetSummary,
    Environment,
    Family,
    Latency,
    Member,
    Model,
    Verification,
)
from learn2compress.export.metadata import add_metadata, read_metadata
from learn2compress.export.schema.packing import pack, unpack
from learn2compress.export.schema.tensors import FLOAT32, INT8, UINT8

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
MEMBER = FIXTURES / "clothing_small.tflite"
TINY = (10, 12)
TINY_LABELS = ("no", 'a "quoted" \\ name', "großer Hut")
TYPES = {"uint8": UINT8, "int8": INT8, "float32": FLOAT32}
LARGER = np.float32(1e4)
SOFTMAX = 25  # BuiltinOperator in LiteRT's schema


def accuracy(classes: int) -> Accuracy:
    return Accuracy(
        validation=0.75,
        test=0.798,
        validation_examples=341,
        test_examples=372,
        per_class_test=tuple(round(0.5 + 0.04 * n, 2) for n in range(classes)),
    )


def member(name: str, size: tuple[int, int], classes: int, file: Path) -> Member:
    return Member(
        name=name,
        file=f"models/{name}.tflite",
        keras_file=f"models/{name}.keras",
        description="the teacher's own layers up to block_3, int8",
        size_bytes=file.stat().st_size,
        macs=12_000_000,
        accuracy=accuracy(classes),
        latency_ms=Latency(median=1.23, p90=1.4, threads=1, runs=200),
        width=1.0,
        depth=3,
        input_size=size,
        float_accuracy_validation=0.8,
        float_accuracy_test=0.8,
        verification=Verification(images=372, top1_agreement=0.9973, max_probability_difference=0.0156),
    )


def family_of(folder: Path, members: tuple[Member, ...], labels: tuple[str, ...]) -> Path:
    family = Family(
        created="2025-11-03T10:12:41+00:00",
        version="0.1.0",
        task="image-classification",
        command="l2c compress",
        seed=0,
        budget_seconds=240,
        elapsed_seconds=231.5,
        stage_seconds={},
        route="cuts",
        teacher=Model(name="teacher", file=None, accuracy=accuracy(len(labels))),
        baselines=(),
        members=members,
        dataset=DatasetSummary(
            source="photos",
            class_names=labels,
            train_examples=1192,
            validation_examples=341,
            test_examples=372,
            image_size=(96, 96),
        ),
        environment=Environment(
            processor="a processor", cores=2, memory_bytes=1, system="Linux", python="3.11", packages={}
        ),
        plan={},
    )
    family.write(folder)
    return folder


@pytest.fixture(scope="session")
def clothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family of one: the example's `small`."""
    folder = tmp_path_factory.mktemp("clothing")
    (folder / "models").mkdir()
    path = Path(shutil.copy(MEMBER, folder / "models" / "small.tflite"))
    metadata = read_metadata(path)
    assert metadata is not None
    labels = metadata.labels
    return family_of(folder, (member("small", (96, 96), len(labels), path),), labels)


@pytest.fixture(scope="session")
def squeezed(clothing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The family of one again, but its member says that photos are squeezed into its input."""
    folder = tmp_path_factory.mktemp("squeezed")
    (folder / "models").mkdir()
    labels = Family.load(clothing).dataset.class_names
    about: dict[str, Any] = {"name": "n", "description": "", "version": "1", "author": "", "license": ""}
    path = folder / "models" / "small.tflite"
    path.write_bytes(add_metadata(MEMBER.read_bytes(), labels=labels, framing="squeeze", **about))
    return family_of(folder, (member("small", (96, 96), len(labels), path),), labels)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family with a member `float32` and a member `int8`, so at their ends too; their labels are awkward.

    Each is a convolution, a mean and a softmax with random weights; the float input takes (pixel - 127.5) / 127.5.
    """
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "models").mkdir()
    members = []
    for ends in ("float32", "int8"):
        path = Path(shutil.copy(FIXTURES / f"tiny_{ends}.tflite", folder / "models" / f"{ends}.tflite"))
        members.append(member(ends, TINY, len(TINY_LABELS), path))
    return family_of(folder, tuple(members), TINY_LABELS)


def changed(source: Path, path: Path, change: Callable[[Any, Any], None]) -> Path:
    """The file with something changed in what it computes; its labels and normalisation stay."""
    root, metadata = unpack(source.read_bytes()), read_metadata(source)
    assert metadata is not None
    change(root, root.subgraphs[0])
    about: dict[str, Any] = {"name": "n", "description": "", "version": "1", "author": "", "license": ""}
    if root.subgraphs[0].tensors[root.subgraphs[0].inputs[0]].type == FLOAT32:
        about |= {"input_mean": metadata.input_mean, "input_std": metadata.input_std}
    path.write_bytes(add_metadata(pack(root), labels=metadata.labels, **about))
    return path


def without_softmax(root: Any, graph: Any) -> None:
    codes = [code.builtinCode for code in root.operatorCodes]
    (softmax,) = [op for op in graph.operators if codes[op.opcodeIndex] == SOFTMAX]
    logits, probabilities = softmax.inputs[0], softmax.outputs[0]
    graph.operators = [op for op in graph.operators if op is not softmax]
    for op in graph.operators:
        op.inputs = [logits if index == probabilities else index for index in op.inputs]
    graph.outputs = [logits if index == probabilities else index for index in graph.outputs]
    out, stored = graph.tensors[graph.outputs[0]], graph.tensors[logits].quantization
    if out.type == UINT8:
        out.quantization.scale, out.quantization.zeroPoint = stored.scale, stored.zeroPoint + 128


def with_larger_logits(root: Any, graph: Any) -> None:
    """Without softmax, and with logits above 88: their exponentials are no float32."""
    without_softmax(root, graph)
    last = graph.operators[-1]
    weights, out = graph.tensors[last.inputs[1]], graph.tensors[last.outputs[0]]
    if weights.type == FLOAT32:
        buffer = root.buffers[weights.buffer]
        buffer.data = (buffer.data.view(np.float32) * LARGER).view(np.uint8)
    else:
        for tensor in (weights, out):
            tensor.quantization.scale = tensor.quantization.scale * LARGER


@pytest.fixture(scope="session")
def logits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family whose members give logits: those of `tiny`, and as `uint8` that of `clothing`."""
    folder = tmp_path_factory.mktemp("logits")
    (folder / "models").mkdir()
    members = [
        member(
            "uint8", (96, 96), len(TINY_LABELS), changed(MEMBER, folder / "models" / "uint8.tflite", without_softmax)
        )
    ]
    for ends in ("float32", "int8"):
        path = changed(FIXTURES / f"tiny_{ends}.tflite", folder / "models" / f"{ends}.tflite", with_larger_logits)
        members.append(member(ends, TINY, len(TINY_LABELS), path))
    return family_of(folder, tuple(members), TINY_LABELS)


@pytest.fixture(scope="session")
def every_type(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family with a member for each type of input and of output and for what it gives, `uint8-int8-logits` say.

    Only what the files say of themselves differs: they can be read, but not run.
    """
    folder = tmp_path_factory.mktemp("every_type")
    (folder / "models").mkdir()
    members = []
    for input_type, output_type, gives in product(TYPES, TYPES, ("probabilities", "logits")):

        def change(root: Any, graph: Any, ends: tuple[str, str] = (input_type, output_type), to: str = gives) -> None:
            if to == "logits":
                without_softmax(root, graph)
            graph.tensors[graph.inputs[0]].type, graph.tensors[graph.outputs[0]].type = (TYPES[end] for end in ends)

        name = f"{input_type}-{output_type}-{gives}"
        path = changed(FIXTURES / "tiny_int8.tflite", folder / "models" / f"{name}.tflite", change)
        members.append(member(name, TINY, len(TINY_LABELS), path))
    return family_of(folder, tuple(members), TINY_LABELS)


KINDS = [
    ("clothing", "small"),
    ("squeezed", "small"),
    *product(("tiny", "logits"), ("float32", "int8")),
    ("logits", "uint8"),
]


@pytest.fixture(params=KINDS, ids="-".join)
def member_of_each_kind(request: pytest.FixtureRequest) -> tuple[Path, str]:
    """A family and one of its members, for which code of each kind is written."""
    family, name = request.param
    return request.getfixturevalue(family), name


@pytest.fixture(scope="session")
def micro(clothing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for a microcontroller with the example's `small`."""
    return export(clothing, "small", "micro", tmp_path_factory.mktemp("micro"))
