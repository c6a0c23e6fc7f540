"""After joint training a member for smaller images is found, kept, trained quantized and written."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.options import Options
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.core.recipe import Recipe, TrainingRecipe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES, SIZE, SMALLER = 3, 32, 24


class Bright:
    """Tells class c by the brightness of channel c."""

    name, classes, channels, parameters, fingerprint = "bright", CLASSES, 3, 100_000, "bright"
    input_size = (SIZE, SIZE)
    licence = ""

    def predict(self, images: Any) -> Any:
        """Probabilities (n, classes)."""
        scores = np.exp(np.asarray(images, np.float32).mean(axis=(1, 2)) / 8)
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(bright: Callable[[int], Any]) -> Any:
    return bright(SIZE)


def test_a_member_for_smaller_images_is_found_and_finished(
    dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learn2compress.export.convert import to_int8
    from learn2compress.measure.accuracy import accuracy_of
    from learn2compress.stages import search as module
    from learn2compress.stages.files import ready_to_write
    from learn2compress.stages.planning import Plan, Planning, plan_families
    from learn2compress.stages.saved import recalled_plans
    from learn2compress.stages.search import Lookout, Search
    from learn2compress.stages.training import Training
    from learn2compress.tasks import IMAGE_CLASSIFICATION
    from learn2compress.train.batches import LabelledViews
    from learn2compress.train.soft_labels import soft_labels
    from learn2compress.train.views import Views, ViewSpec

    teacher: Any = Bright()
    # With so few to look at, time is for all of them.
    monkeypatch.setattr("learn2compress.plan.search.LOOKED_AT", 1)
    asked: dict[str, Any] = {
        "budget": "4m",
        "route": "fresh",
        "students": 1,
        "targets": ["size<=30KB", "accuracy>=0.6"],
    }
    options = Options.of(Recipe(**asked, training=TrainingRecipe(joint_steps=40, quantization_steps=4)))
    (plan,) = plan_families(Planning(IMAGE_CLASSIFICATION, teacher, dataset, options, tmp_path, SILENT))
    # Of smaller members there is another test.
    plan = replace(plan, spares=tuple(spare for spare in plan.spares if spare.spec.same_layers(plan.specs[0])))
    assert [spare.spec.input_size for spare in plan.spares] == [(SMALLER, SMALLER)]
    assert plan.spares[0].cost.macs < 0.7 * plan.costs[0].macs

    views = Views(dataset.train, ViewSpec(1, (SIZE, SIZE), 0))
    soft, _ = soft_labels(teacher, views, CLASSES, tmp_path, SILENT)
    batches = LabelledViews(views, soft, 30, 0)
    training = Training(tmp_path, options, SILENT, lambda: None)
    members, _ = training.jointly(plan, batches, 0)

    def search(run: Checkpoints, progress: Progress, seconds: float) -> Plan:
        lookout = Lookout(plan, members, batches, dataset)
        return Search(lookout, run, progress).fitting(options.targets, teacher, seconds)

    with monkeypatch.context() as small:  # of large images, fewer are held in memory
        small.setattr(module, "JUDGED_BYTES", 20 * SIZE * SIZE * 3)
        assert Lookout(plan, members, batches, dataset).images == 20 < len(dataset.validation)

    (tmp_path / "late").mkdir()
    events: list[Event] = []
    late = search(Checkpoints(tmp_path / "late"), Progress(events.append), -1.0)
    assert [spec.input_size for spec in late.specs] == [(SIZE, SIZE)]
    assert any("after 0 of 1 members" in event.message for event in events)

    def killed(event: Event) -> None:
        if event.kind == "step":
            raise KeyboardInterrupt

    (tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt):
        search(Checkpoints(tmp_path / "run"), Progress(killed), 60.0)
    run = Checkpoints(tmp_path / "run")
    for _ in range(2):  # found, and read again; there is no time left, but what was judged before is known
        (found,) = recalled_plans(run, "fitting", lambda: [search(run, SILENT, -1.0)])
    assert [(spec.name, spec.input_size) for spec in found.specs] == [
        ("small", (SIZE, SIZE)),
        ("fitting-1", (SMALLER, SMALLER)),
    ]
    assert "accuracy>=0.6" in found.specs[1].targets

    (_, ready), _ = training.quantized(found, [part.model for part in found.parts], batches, 0)
    file = tmp_path / "fitting-1.tflite"
    assert ready is not None
    file.write_bytes(to_int8(ready_to_write(ready, options.formats[0], "fitting"), (SMALLER, SMALLER)))
    assert accuracy_of(file, dataset.test).accuracy > 0.6
