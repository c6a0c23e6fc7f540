"""A family folder with a real member of the clothing example, and tiny ones with other types at their ends."""

from __future__ import annotations

import shutil
from pathlib import Path

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
from learn2compress.export.metadata import read_metadata

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
MEMBER = FIXTURES / "clothing_small.tflite"
TINY = (10, 12)
TINY_LABELS = ("no", 'a "quoted" \\ name', "großer Hut")


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


@pytest.fixture(scope="session")
def micro(clothing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for a microcontroller with the example's `small`."""
    return export(clothing, "small", "micro", tmp_path_factory.mktemp("micro"))
