"""Training that was interrupted ends as training that was not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.graph.slices import Part
from learn2compress.train import checkpoint as checkpoints
from learn2compress.train.batches import LabelledViews
from learn2compress.train.checkpoint import TrainingCheckpoint
from learn2compress.train.family import joint_training
from learn2compress.train.fit import Trained
from learn2compress.train.quantize import quantization_aware_training, quantization_ready
from learn2compress.train.settings import SETTINGS
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.views import Views, ViewSpec

SETTING = replace(SETTINGS["students"], batch_size=16, dtype="float32", peak=0.02)
STEPS = 40


@pytest.fixture(scope="module")
def batches(
    split: Callable[..., Any], counting_teacher: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> LabelledViews:
    views = Views(split(90), ViewSpec(2, (12, 12), 0))
    soft, _ = soft_labels(counting_teacher(), views, 3, tmp_path_factory.mktemp("cache"), SILENT)
    return LabelledViews(views, soft, 16, 0)


def arrays(members: Any) -> list[Any]:
    return [np.asarray(variable) for member in members for variable in member.variables]


@pytest.fixture(scope="module")
def joint(tiny_member: Callable[..., Any], batches: LabelledViews) -> Callable[..., Any]:
    import keras

    keras.utils.set_random_seed(0)
    parts = [Part(tiny_member(16)), Part(tiny_member(8))]

    def train(checkpoint: TrainingCheckpoint | None, progress: Progress = SILENT, **changes: Any) -> Any:
        options = {"start": "stems", "settings": SETTING, "sparsity": 0.5, "seconds": 0}
        return joint_training(
            parts, batches, progress, plan_steps=lambda *_: STEPS, checkpoint=checkpoint, **{**options, **changes}
        )

    return train


@pytest.fixture(scope="module")
def whole(joint: Callable[..., Any]) -> tuple[list[Any], Any]:
    """The members and the run of a training that nothing has stopped; nobody changes them."""
    found: tuple[list[Any], Any] = joint(None)
    return found


@pytest.fixture(scope="module")
def stopped(joint: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a training keeps that was stopped early."""
    path = tmp_path_factory.mktemp("stopped") / "joint.npz"
    with pytest.raises(KeyboardInterrupt):
        joint(TrainingCheckpoint(path), stopping(0.3))
    return path.read_bytes()


def stopping(at: float) -> Progress:
    """Stops the run as Ctrl-C does once so much of a training is done."""

    def listen(event: Event) -> None:
        if event.kind == "step" and event.done >= at:
            raise KeyboardInterrupt

    return Progress(listen)


def test_joint_training_that_was_stopped_ends_as_if_it_had_not(
    joint: Callable[..., Any], whole: tuple[list[Any], Any], tmp_path: Path
) -> None:
    members, run = whole
    checkpoint = TrainingCheckpoint(tmp_path / "joint.npz")
    for share in (0.2, 0.6):
        with pytest.raises(KeyboardInterrupt):
            joint(checkpoint, stopping(share))
    stopped, again = joint(TrainingCheckpoint(tmp_path / "joint.npz"))
    assert (again.steps, again.epochs) == (run.steps, run.epochs) == (STEPS, run.epochs)
    for one, other in zip(arrays(members), arrays(stopped), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    # It has ended: nothing is trained once more.
    events: list[Event] = []
    ended, _ = joint(TrainingCheckpoint(tmp_path / "joint.npz"), Progress(events.append))
    assert events == []
    for one, other in zip(arrays(stopped), arrays(ended), strict=True):
        np.testing.assert_array_equal(one, other)


def test_quantization_aware_training_goes_on_with_its_ranges(
    joint: Callable[..., Any], batches: LabelledViews, tmp_path: Path
) -> None:
    members, _ = joint(None, sparsity=0.0)

    def tune(checkpoint: TrainingCheckpoint | None, progress: Progress = SILENT) -> Any:
        quantized = [quantization_ready(member) for member in members]
        quantization_aware_training(
            quantized,
            batches,
            progress,
            settings=SETTING,
            seconds=0,
            plan_steps=lambda *_: STEPS,
            checkpoint=checkpoint,
        )
        return quantized

    checkpoint = TrainingCheckpoint(tmp_path / "tuning.npz")
    with pytest.raises(KeyboardInterrupt):
        tune(checkpoint, stopping(0.7))
    for one, other in zip(arrays(tune(None)), arrays(tune(checkpoint)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_zeros_stay_zero_when_quantization_aware_training_goes_on(
    whole: tuple[list[Any], Any], batches: LabelledViews, tmp_path: Path
) -> None:
    members, _ = whole
    options: dict[str, Any] = {"settings": SETTING, "keep_zeros": True, "seconds": 0}
    options |= {"plan_steps": lambda *_: STEPS, "checkpoint": TrainingCheckpoint(tmp_path / "tuning.npz")}

    def zeros(models: Any) -> list[int]:
        return [int((np.asarray(v) == 0).sum()) for m in models for v in m.trainable_variables if v.ndim > 1]

    quantized = [quantization_ready(member) for member in members]
    expected = zeros(quantized)
    with pytest.raises(KeyboardInterrupt):
        quantization_aware_training(quantized, batches, stopping(0.5), **options)
    again = [quantization_ready(member) for member in members]
    quantization_aware_training(again, batches, SILENT, **options)
    assert sum(expected) > 100
    assert all(now >= was for now, was in zip(zeros(again), expected, strict=True))


def test_the_place_is_kept_now_and_then(
    joint: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    kept: list[bool] = []
    path = tmp_path / "joint.npz"
    joint(TrainingCheckpoint(path, lambda: kept.append(path.is_file())))
    assert kept == [True] * STEPS


@pytest.mark.parametrize("damage", ["cut short", "text", "other shapes", "nothing"])
def test_what_can_not_be_used_is_left_aside_and_training_begins_anew(
    joint: Callable[..., Any], whole: tuple[list[Any], Any], stopped: bytes, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "joint.npz"
    if damage == "cut short":
        path.write_bytes(stopped[: len(stopped) // 2])
    elif damage == "text":
        path.write_text("no archive")
    elif damage == "other shapes":
        np.savez(path, reached=np.array('{"done": 1, "steps": 2, "share": 0.1, "elapsed": 1.0}'), v0=np.zeros(3))
    members, run = joint(TrainingCheckpoint(path))
    assert run.steps == STEPS
    for one, other in zip(arrays(whole[0]), arrays(members), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_training_that_diverged_leaves_a_place_to_go_on_from(
    joint: Callable[..., Any],
    whole: tuple[list[Any], Any],
    batches: LabelledViews,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_SECONDS", 0.0)
    path = tmp_path / "joint.npz"

    def lost(step: int) -> Any:
        pixels, (labels, soft) = LabelledViews.batch(batches, step)
        return pixels, (labels, soft * np.float32(np.nan) if step == 13 else soft)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "batch", lost)
        with pytest.raises(InputError) as caught:
            joint(TrainingCheckpoint(path))
    assert caught.value.code == "training.diverged"
    assert "--set training.peak=" in caught.value.fix
    with np.load(path) as kept:
        assert all(np.isfinite(kept[name]).all() for name in kept.files if name != "reached")
    members, run = joint(TrainingCheckpoint(path))
    assert run.steps == STEPS
    for one, other in zip(arrays(whole[0]), arrays(members), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_finished_training_tells_its_own_batch_size_where_the_run_goes_on_with_smaller_ones(
    batches: LabelledViews,
) -> None:
    ended = Trained(40, 40 / len(batches), 10.0, batches.batch_size)
    again = Trained.of(ended.reached(), LabelledViews(batches.views, batches.soft, 8, 0))
    assert again == ended
