"""A family as a run writes it: ten classes of clothing, a teacher, two baselines, three members."""

from __future__ import annotations

from pathlib import Path

import pytest

from learn2compress.core.family import (
    Accuracy,
    DatasetSummary,
    Environment,
    Family,
    Latency,
    Member,
    Model,
    Ratio,
    Verification,
)

CLASSES = ("dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt")
TEACHER_CLASSES = (0.93, 1.0, 0.944, 0.921, 1.0, 0.739, 1.0, 0.967, 0.75, 0.958)
SIZE, MACS, LATENCY = 13_558_400, 73_400_000, 6.84


def accuracy(test: float, validation: float, per_class: tuple[float | None, ...]) -> Accuracy:
    return Accuracy(
        test=test,
        validation=validation,
        validation_examples=341,
        test_examples=372,
        per_class_test=per_class,
    )


def latency(median: float) -> Latency:
    return Latency(median=median, p90=median * 1.08, threads=1, runs=200)


def member(name: str, size: int, macs: int, milliseconds: float, *, test: float, lost: float) -> Member:
    per_class = tuple(max(0.0, a - lost * (1 + i % 4) / 2) for i, a in enumerate(TEACHER_CLASSES))
    return Member(
        name=name,
        file=f"models/{name}.tflite",
        keras_file=f"models/{name}.keras",
        size_bytes=size,
        zipped_bytes=round(size * 0.86),
        parameters=round(size * 0.9),
        macs=macs,
        accuracy=accuracy(test, test + 0.006, per_class),
        latency_ms=latency(milliseconds),
        peak_memory_bytes=2_400_000 + size,
        ratio_to_teacher=Ratio(size=SIZE / size, latency=LATENCY / milliseconds, macs=MACS / macs),
        accuracy_drop=0.9247 - test,
        width=1.0,
        depth=3,
        input_size=(96, 96),
        float_accuracy_validation=test + 0.008,
        float_accuracy_test=test + 0.0021,
        verification=Verification(images=372, top1_agreement=0.9973, max_probability_difference=0.0156),
        targets=("size<=100KB",) if size < 100_000 else (),
    )


@pytest.fixture
def family(tmp_path: Path) -> Family:
    teacher = Model(
        name="teacher",
        file="baseline/teacher-float32.tflite",
        description="float32",
        size_bytes=SIZE,
        zipped_bytes=12_480_000,
        parameters=3_385_000,
        macs=MACS,
        accuracy=accuracy(0.9247, 0.9355, TEACHER_CLASSES),
        latency_ms=latency(LATENCY),
        peak_memory_bytes=31_200_000,
        ratio_to_teacher=Ratio(size=1, latency=1, macs=1),
    )
    float32 = teacher.model_copy(update={"name": "teacher-float32"})
    int8 = teacher.model_copy(
        update={
            "name": "teacher-int8",
            "file": "baseline/teacher-int8.tflite",
            "description": "post-training int8",
            "size_bytes": 3_912_000,
            "zipped_bytes": 3_120_000,
            "accuracy": accuracy(0.9113, 0.9238, tuple(a - 0.013 for a in TEACHER_CLASSES)),
            "latency_ms": latency(3.12),
            "peak_memory_bytes": 9_800_000,
            "ratio_to_teacher": Ratio(size=SIZE / 3_912_000, latency=LATENCY / 3.12, macs=1),
            "accuracy_drop": 0.0134,
        }
    )
    return Family(
        created="2025-11-03T10:12:41+00:00",
        version="0.1.0",
        task="image classification",
        command="l2c compress teacher.keras --data photos --out family --target 'size<=100KB' --seed 0",
        seed=0,
        budget_seconds=1200,
        elapsed_seconds=1148.2,
        stage_seconds={
            "soft labels": 96.1,
            "joint distillation": 702.4,
            "quantization-aware training": 241.0,
            "export and verify": 38.8,
            "measure": 69.9,
        },
        route="fresh",
        teacher=teacher,
        baselines=(float32, int8),
        members=(
            member("large", 1_184_000, 21_500_000, 0.972, test=0.9059, lost=0.02),
            member("medium", 318_000, 7_900_000, 0.418, test=0.8763, lost=0.05),
            member("small", 94_800, 2_600_000, 0.181, test=0.8172, lost=0.11),
        ),
        dataset=DatasetSummary(
            source="photos",
            class_names=CLASSES,
            train_examples=3068,
            validation_examples=341,
            test_examples=372,
            image_size=(96, 96),
            notes=("341 examples of the training split were set aside for validation.",),
        ),
        environment=Environment(
            processor="AMD EPYC 9B14",
            cores=2,
            memory_bytes=16_700_000_000,
            system="Linux 6.1 x86-64",
            python="3.11.9",
            packages={"keras": "3.15.1", "tensorflow": "2.21.0", "ai-edge-litert": "2.3.0"},
        ),
        plan={"views": 12, "epochs": {"distillation": 38, "quantization": 9}, "step_ms": 84.2, "members": 3},
        targets=("size<=100KB",),
        notes=("2 images could not be decoded and were left out: hat/0091.jpg, shoes/0007.jpg.",),
        folder=tmp_path,
    )


@pytest.fixture
def bare_family(family: Family) -> Family:
    """A teacher given as a callable (no file) and nothing timed, no per-class figures."""
    unmeasured = {
        "latency_ms": None,
        "peak_memory_bytes": None,
        "ratio_to_teacher": Ratio(),
    }
    teacher = family.teacher.model_copy(
        update={
            **unmeasured,
            "file": None,
            "size_bytes": None,
            "zipped_bytes": None,
            "parameters": None,
            "macs": None,
            "accuracy": family.teacher.accuracy.model_copy(update={"per_class_test": ()}),
        }
    )
    members = tuple(
        m.model_copy(update={**unmeasured, "accuracy": m.accuracy.model_copy(update={"per_class_test": ()})})
        for m in family.members
    )
    return family.model_copy(update={"teacher": teacher, "baselines": (), "members": members})
