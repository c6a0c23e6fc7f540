"""What stays in float32 is looked for where it is not known, and kept as it was where the recipe has it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.member import MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.progress import SILENT
from learn2compress.core.recipe import Recipe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIDE, CLASSES = 16, 3
SPEC = MemberSpec("small", "fresh", 1.0, (SIDE, SIDE))


@pytest.fixture(scope="module")
def member(bright: Callable[[int], Any]) -> Any:
    """Tells the classes in float32; in int8 the output of `relu` is rounded in a range that leaves nothing of it."""
    from keras import Input, Model, layers, utils

    from learn2compress.stages.trained_member import TrainedMember
    from learn2compress.train.fake_quant import fake_quantize, set_tracking
    from learn2compress.train.quantize import folded

    utils.set_random_seed(0)
    image = Input((SIDE, SIDE, 3), name="image")
    x = layers.ReLU(name="relu")(layers.Conv2D(8, 3, padding="same", name="conv")(image))
    x = layers.ReLU(name="relu2")(layers.Conv2D(8, 1, name="conv2")(x))
    model = Model(image, layers.Dense(CLASSES, name="logits")(layers.GlobalAveragePooling2D(name="pool")(x)))
    kernel = np.zeros((3, 3, 3, 8), np.float32)
    kernel[1, 1, range(3), range(3)] = 1
    model.get_layer("conv").set_weights([kernel, np.ones(8, np.float32)])
    model.get_layer("conv2").set_weights([np.eye(8, dtype=np.float32)[None, None], np.zeros(8, np.float32)])
    model.get_layer("logits").set_weights([16 * np.eye(8, CLASSES, dtype=np.float32), np.zeros(CLASSES, np.float32)])
    dataset = bright(SIDE)
    twin = fake_quantize(folded(model))
    set_tracking(twin, 1.0)
    twin((dataset.validation.stacked.astype(np.float32) - 128) / 128, training=True)
    set_tracking(twin, 0.0)
    twin.get_layer("relu_quant").high.assign(3000.0)
    return TrainedMember(SPEC, model, twin, dataset)


def kept(member: Any, folder: Path, in_float32: tuple[str, ...] | None, seconds: float = math.inf) -> Any:
    from learn2compress.stages.mixed import kept_wider

    known = replace(member, spec=replace(SPEC, in_float32=in_float32))
    return kept_wider(known, Options.of(Recipe()), seconds, Checkpoints(folder), SILENT)


def test_what_an_earlier_run_kept_is_kept_again_and_nothing_else_is_tried(member: Any, tmp_path: Path) -> None:
    for name in ("first", "again", "never"):
        (tmp_path / name).mkdir()
    found = kept(member, tmp_path / "first", None)
    assert found.found["kept"] == ["relu"]
    assert len(found.found["sensitivity"]) > 1
    again = kept(member, tmp_path / "again", ("relu",), seconds=0.0)
    assert again.found["kept"] == ["relu"]
    assert list(again.found["sensitivity"]) == ["relu"]
    assert again.layers == found.layers
    assert kept(member, tmp_path / "never", ()) is None
