"""The dtype of training is that of the faster step in the process that trains, and stays what it was begun in."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from learn2compress.core.processes import environment
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.graph.slices import Part
from learn2compress.train import settings
from learn2compress.train.batches import LabelledViews
from learn2compress.train.checkpoint import TrainingCheckpoint
from learn2compress.train.dtypes import POLICIES, fastest_dtype
from learn2compress.train.family import joint_training
from learn2compress.train.settings import SETTINGS
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.views import Views, ViewSpec

# Three devices: no number of maps that is tried is a multiple.
SCRIPT = """
import json
import keras
from learn2compress.core.progress import SILENT
from learn2compress.train.devices import use_all_devices
from learn2compress.train.dtypes import fastest_dtype

use_all_devices(24, SILENT)
before = keras.distribution.distribution()
found = fastest_dtype()
kept = keras.distribution.distribution() is before is not None
print(json.dumps({"dtype": found, "kept": kept, "devices": len(before.device_mesh.devices.flatten())}))
"""


def test_only_settings_that_leave_it_open_take_the_fastest_dtype() -> None:
    students, cuts = SETTINGS["students"], SETTINGS["cuts"]
    assert students.dtype == "fastest"
    assert students.here().dtype == fastest_dtype()
    assert students.here().dtype in POLICIES
    assert [students.here(policy).dtype for policy in POLICIES] == list(POLICIES)
    assert cuts.here("mixed_bfloat16") == cuts


def test_a_training_that_goes_on_keeps_the_dtype_that_it_was_begun_in(
    split: Callable[..., Any],
    counting_teacher: Callable[..., Any],
    tiny_member: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views = Views(split(90), ViewSpec(2, (12, 12), 0))
    soft, _ = soft_labels(counting_teacher(), views, 3, tmp_path / "cache", SILENT)
    batches = LabelledViews(views, soft, 16, 0)

    def train(found: str, checkpoint: TrainingCheckpoint | None, progress: Progress = SILENT) -> tuple[str, str]:
        """The dtype of the layers, and the one that is told, in a process that finds this one to be the fastest."""
        monkeypatch.setattr(settings, "fastest_dtype", lambda: found)
        (member,), run = joint_training(
            [Part(tiny_member(8))],
            batches,
            progress,
            start="stems",
            settings=replace(SETTINGS["students"], batch_size=16, peak=0.02),
            seconds=0,
            plan_steps=lambda *_: 30,
            checkpoint=checkpoint,
        )
        return member.get_layer("a").dtype_policy.name, run.dtype

    def stop(event: Event) -> None:
        if event.kind == "step" and event.done >= 0.5:
            raise KeyboardInterrupt

    path = tmp_path / "joint.npz"
    with pytest.raises(KeyboardInterrupt):
        train("mixed_bfloat16", TrainingCheckpoint(path), Progress(stop))
    for _ in range(2):  # to its end, and then from its end
        assert train("float32", TrainingCheckpoint(path)) == ("mixed_bfloat16", "mixed_bfloat16")
    assert train("float32", None) == ("float32", "float32")


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is an extra")
def test_it_is_found_out_on_the_backend_in_use_whatever_devices_the_batches_are_split_over() -> None:
    flags = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment(**flags), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("dtype") in POLICIES
    assert found == {"kept": True, "devices": 3}
