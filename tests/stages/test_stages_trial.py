"""Sources are tried where there is time, and the better one goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learn2compress.core.options import Options
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.core.recipe import Recipe
from learn2compress.core.target import Target

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES, SIZE = 3, 16


@pytest.fixture(scope="module")
def dataset(bright: Callable[[int], Any]) -> Any:
    return bright(SIZE)


@pytest.fixture(scope="module")
def teacher(dataset: Any) -> Any:
    from keras import Input, Model, layers, losses, optimizers, utils

    from learn2compress.inputs.teacher import load_teacher

    utils.set_random_seed(0)
    image = Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 128, offset=-1.0)(image)
    for number, channels in enumerate((32, 48, 64)):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(layers.BatchNormalization(momentum=0.8, name=f"norm{number}")(x))
    model = Model(image, layers.Dense(CLASSES, name="scores")(layers.GlobalAveragePooling2D()(x)))
    model.compile(optimizers.Adam(0.005), losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(dataset.train.stacked.astype(np.float32), dataset.train.labels, batch_size=30, epochs=5, verbose=0)
    return load_teacher(model, dataset=dataset, preprocess="auto", progress=SILENT)


def planned(
    teacher: Any,
    dataset: Any,
    tmp_path: Any,
    budget: str,
    route: str = "teacher",
    students: int = 2,
    progress: Progress = SILENT,
) -> list[Any]:
    from learn2compress.stages.planning import Planning, plan_families
    from learn2compress.tasks import IMAGE_CLASSIFICATION

    options = Options.of(Recipe.model_construct(budget=budget, route=route, students=students))
    return plan_families(Planning(IMAGE_CLASSIFICATION, teacher, dataset, options, tmp_path, progress))


def test_a_short_budget_plans_one_source_and_the_default_one_all(teacher: Any, dataset: Any, tmp_path: Any) -> None:
    assert [plan.kind for plan in planned(teacher, dataset, tmp_path, "5m")] == ["cuts"]
    assert [plan.kind for plan in planned(teacher, dataset, tmp_path, str(Recipe().budget))] == ["cuts", "prunings"]
    assert [plan.kind for plan in planned(teacher, dataset, tmp_path, "1h", "prunings")] == ["prunings"]


def test_fewer_members_than_asked_for_are_told_of(teacher: Any, dataset: Any, tmp_path: Any) -> None:
    events: list[Event] = []
    (plan,) = planned(teacher, dataset, tmp_path, "5m", "cuts", students=7, progress=Progress(events.append))
    warnings = [event.message for event in events if event.kind == "warning"]
    assert warnings == [
        f"{len(plan.specs)} members instead of 7: no more cuts of the teacher differ enough from one another. "
        "--from fresh gives more."
    ]
    events.clear()
    planned(teacher, dataset, tmp_path, "5m", "cuts", students=len(plan.specs), progress=Progress(events.append))
    assert not any(event.kind == "warning" for event in events)


def test_where_the_first_source_gives_too_few_a_short_budget_looks_at_the_next(
    teacher: Any, dataset: Any, tmp_path: Any
) -> None:
    events: list[Event] = []
    (plan,) = planned(teacher, dataset, tmp_path, "5m", students=4, progress=Progress(events.append))
    assert (plan.kind, len(plan.specs)) == ("prunings", 4)
    assert any(re.match("cuts of the teacher: left out, for they give . members", event.message) for event in events)


def test_the_better_source_wins_and_goes_on_from_what_it_has_learned(
    teacher: Any, dataset: Any, tmp_path: Any
) -> None:
    from learn2compress.stages.trial import best_by_trial
    from learn2compress.train.soft_labels import soft_labels
    from learn2compress.train.views import Views, ViewSpec

    plans = planned(teacher, dataset, tmp_path, "1h")
    views = Views(dataset.train, ViewSpec(1, (SIZE, SIZE), 0))
    labelled = views, soft_labels(teacher, views, CLASSES, tmp_path, SILENT)[0]
    # A plan that can learn nothing: its learning rate is zero and its start is not the teacher's.
    lame = replace(plans[0], start="as built", settings=replace(plans[0].settings, peak=0.0))
    events: list[Event] = []
    chosen = best_by_trial(
        [lame, plans[1]], lambda tried: labelled, dataset, Progress(events.append), budget=60, seed=0
    )
    assert chosen.kind == "prunings"
    assert chosen.start == "as built"
    assert "in a trial, size for size" in chosen.reason
    assert "cuts of the teacher" in chosen.reason
    fresh, trained = plans[1].parts, chosen.parts
    assert [part.model.count_params() for part in trained] == [part.model.count_params() for part in fresh]
    kernels = [np.asarray(parts[0].model.get_layer("conv1").kernel) for parts in (fresh, trained)]
    assert (kernels[0] != kernels[1]).any()


def test_a_plan_whose_training_diverges_is_left_out(teacher: Any, dataset: Any, tmp_path: Any) -> None:
    from learn2compress.core.errors import InputError
    from learn2compress.stages.trial import best_by_trial
    from learn2compress.train.soft_labels import soft_labels
    from learn2compress.train.views import Views, ViewSpec

    plans = planned(teacher, dataset, tmp_path, "1h")
    views = Views(dataset.train, ViewSpec(1, (SIZE, SIZE), 0))
    labelled = views, soft_labels(teacher, views, CLASSES, tmp_path, SILENT)[0]
    broken = [replace(plan, settings=replace(plan.settings, peak=1e38)) for plan in plans]
    events: list[Event] = []
    chosen = best_by_trial(
        [broken[0], plans[1]],
        lambda tried: labelled,
        dataset,
        Progress(events.append),
        budget=60,
        seed=0,
        targets=[Target.parse("macs<=100M")],
    )
    assert chosen.kind == "prunings"
    assert "in a trial, for equal work" in chosen.reason
    assert "cuts of the teacher: left out, for their training diverged" in [event.message for event in events]
    with pytest.raises(InputError) as raised:
        best_by_trial(broken, lambda tried: labelled, dataset, SILENT, budget=60, seed=0)
    assert raised.value.code == "training.diverged"


def test_a_single_plan_is_taken_without_a_trial(teacher: Any, dataset: Any, tmp_path: Any) -> None:
    from learn2compress.stages.trial import best_by_trial

    (plan,) = planned(teacher, dataset, tmp_path, "5m")
    nothing: Any = None
    assert best_by_trial([plan], nothing, dataset, SILENT, budget=300, seed=0) is plan
