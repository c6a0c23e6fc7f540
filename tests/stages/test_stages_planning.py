"""What is planned: how many members, that they can be trained together, and that their files keep to the bounds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from learn2compress.core.errors import (
    EXIT_INPUT,
    EXIT_TARGETS,
    ConversionError,
    InputError,
    L2CError,
    TargetsUnmetError,
)
from learn2compress.core.options import Options
from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.core.recipe import Recipe
from learn2compress.core.target import Target
from learn2compress.measure.graph import describe
from learn2compress.plan.wording import told

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES, SIZE = 3, 32


class BlackBox:
    """A teacher of which only the answers are known; planning asks for none."""

    name, classes, channels, parameters, fingerprint = "black box", CLASSES, 3, 100_000, "black box"
    input_size = (SIZE, SIZE)
    licence = ""


@pytest.fixture(scope="module")
def plan(bright: Callable[[int], Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """The plan that comes first for what is asked for, and the folder of the files that were rehearsed."""
    from keras import losses, optimizers

    from learn2compress.inputs.teacher import load_teacher
    from learn2compress.stages.planning import Planning, plan_families
    from learn2compress.tasks import IMAGE_CLASSIFICATION

    def planned(
        targets: Sequence[str],
        students: int = 1,
        *,
        model: Any = None,
        route: str = "fresh",
        budget: str = "1m",
        progress: Progress = SILENT,
        **more: Any,
    ) -> tuple[Any, Path]:
        dataset = bright(SIZE)
        teacher: Any = BlackBox()
        if model is not None:
            # It must tell classes apart, or it is refused.
            images = dataset.train.stacked.astype(np.float32)
            if model.input_shape[-1] == 1:
                images = images @ np.array([[0.299], [0.587], [0.114]], np.float32)
            model.compile(optimizers.Adam(0.01), losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(images, dataset.train.labels, batch_size=30, epochs=8, verbose=0)
            teacher = load_teacher(model, dataset=dataset, preprocess="raw", progress=SILENT)
        recipe = Recipe.model_construct(budget=budget, route=route, students=students, targets=list(targets), **more)
        folder = tmp_path_factory.mktemp("plan")
        planning = Planning(IMAGE_CLASSIFICATION, teacher, dataset, Options.of(recipe), folder, progress)
        return plan_families(planning)[0], folder

    return planned


def rehearsed(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tflite"))


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("kilobytes", [30, 300])
def test_a_wider_weight_takes_more_bytes_and_what_is_no_weight_does_not(
    plan: Callable[..., Any], precision: str, kilobytes: int
) -> None:
    found, _ = plan([f"size<={kilobytes}KB"], precision=[precision])
    assert 0.6 < found.costs[0].size_bytes / (1000 * kilobytes) <= 1


@pytest.mark.parametrize("students", [2, 6])
def test_members_that_keep_to_bounds_on_size_and_work_can_be_trained_together(
    plan: Callable[..., Any], students: int
) -> None:
    from learn2compress.train.joint import JointFamily

    # The least base is beyond the first bound itself.
    found, _ = plan(["size<=27KB", "macs<=10M"], students)
    assert len(found.specs) == students
    JointFamily([part.model for part in found.parts], 1.0, 0.0)
    (holder,) = [c for spec, c in zip(found.specs, found.costs, strict=True) if len(spec.targets) == 2]
    assert holder.size_bytes <= 27_000
    assert holder.macs <= 10_000_000


@pytest.mark.parametrize("metric", ["latency", "memory"])
def test_a_bound_that_only_the_narrowest_members_keep_is_met(
    plan: Callable[..., Any], metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many milliseconds and bytes as there are thousands of MACs."""
    from learn2compress.sources.fresh import FreshStudents
    from learn2compress.stages import rehearsal

    def taken(file: Path) -> float:
        return describe(file).macs / 1000

    def timed(files: list[Path], **_: Any) -> list[Any]:
        return [SimpleNamespace(median=taken(file)) for file in files]

    monkeypatch.setattr(rehearsal, "latencies", timed)
    monkeypatch.setattr(rehearsal, "peak_memory_bytes", taken)
    teacher, dataset = SimpleNamespace(input_size=(SIZE, SIZE)), SimpleNamespace(classes=CLASSES)
    smallest_base = min(c.cost.macs for c in FreshStudents(teacher, dataset, "").candidates()) // 1000
    bound = 0.7 * smallest_base
    found, _ = plan([f"{metric}<={bound:.0f}{'ms' if metric == 'latency' else ''}"])
    value = found.costs[0].latency_ms if metric == "latency" else found.costs[0].memory_bytes
    assert value <= bound


@pytest.mark.parametrize(("budget", "found"), [("1m", False), ("20m", True)])
def test_a_member_that_takes_less_time_than_its_macs_say_is_planned_where_there_is_time_to_look(
    plan: Callable[..., Any], budget: str, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And though the host is slower by a third whenever it is looked at."""
    from learn2compress.sources.fresh import FreshStudents
    from learn2compress.stages import rehearsal

    teacher, dataset = SimpleNamespace(input_size=(SIZE, SIZE)), SimpleNamespace(classes=CLASSES)
    bases = FreshStudents(teacher, dataset, "").candidates()
    most = max(c.cost.macs for c in bases)
    quick = max((c for c in bases if 2 * c.cost.macs <= most), key=lambda c: c.cost.size_bytes * c.cost.macs)

    def timed(files: list[Path], **_: Any) -> list[Any]:
        macs = [describe(file).macs for file in files]
        slow = 1.3 if quick.cost.macs in macs else 1.0
        return [SimpleNamespace(median=slow * n * (0.86 if n == quick.cost.macs else 1.0) / 1000) for n in macs]

    monkeypatch.setattr(rehearsal, "latencies", timed)
    bound = 1.0205 * 0.86 * quick.cost.macs / 1000
    planned, _ = plan([f"latency<={bound:.1f}ms"], budget=budget)
    assert (planned.specs[0].identity == quick.spec.identity) == found
    assert 0.9 * bound < planned.costs[0].latency_ms <= bound


@pytest.mark.parametrize("budget", ["1m", "20m"])
def test_a_bound_that_no_member_keeps_is_told_of_with_what_the_smallest_takes(
    plan: Callable[..., Any], budget: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learn2compress.sources.fresh import FreshStudents
    from learn2compress.stages import rehearsal

    monkeypatch.setattr(
        rehearsal,
        "latencies",
        lambda files, **_: [SimpleNamespace(median=describe(file).macs / 1000) for file in files],
    )
    teacher, dataset = SimpleNamespace(input_size=(SIZE, SIZE)), SimpleNamespace(classes=CLASSES)
    source = FreshStudents(teacher, dataset, "")
    bases = source.candidates()
    smallest = source.narrower(min(bases, key=lambda c: c.cost.macs), bases)
    least = 1.02 * min(c.cost.macs for c in smallest) / 1000
    events: list[Event] = []
    plan([f"latency<={0.5 * least:.3f}ms"], budget=budget, progress=Progress(events.append))
    (warning,) = [event.message for event in events if event.kind == "warning"]
    assert f"{told('latency', least)}, 2 times that" in warning


def test_bounds_on_work_hold_for_the_file_where_it_takes_more_than_the_teachers_graph(
    plan: Callable[..., Any],
) -> None:
    """A file takes RGB images; its first kernel is three times that of a teacher of grey ones."""
    from keras import Input, Model, layers, utils

    utils.set_random_seed(0)
    image = Input((SIZE, SIZE, 1))
    x = layers.Rescaling(1 / 32, offset=-2.5)(image)
    for number, channels in enumerate((16, 16, 24)):
        x = layers.Conv2D(channels, 3, strides=2 - (number == 0), padding="same", name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    model = Model(image, layers.Dense(CLASSES, name="scores")(layers.GlobalAveragePooling2D()(x)))
    first = SIZE * SIZE * 9 * 16
    second = first * 16 // 4
    # In the teacher's graph two convolutions are within it, in the file one is.
    bound = 2 * first + second
    found, folder = plan([f"macs<={bound}"], model=model, route="cuts")
    assert found.specs[0].targets
    assert found.costs[0].macs <= bound
    assert found.costs[0].macs in {describe(file).macs for file in rehearsed(folder)}
    assert found.costs[0].macs == 3 * first + 16 * CLASSES


def two_convolutions() -> Any:
    from keras import Input, Model, layers, utils

    utils.set_random_seed(0)
    image = Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 128, offset=-1.0)(image)
    for number, channels in enumerate((16, 16)):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    return Model(image, layers.Dense(CLASSES, name="scores")(layers.GlobalAveragePooling2D()(x)))


def test_of_a_lean_teacher_there_are_as_many_prunings_as_asked_for(plan: Callable[..., Any]) -> None:
    events: list[Event] = []
    found, _ = plan([], 3, model=two_convolutions(), route="prunings", progress=Progress(events.append))
    assert len({spec.layers for spec in found.specs}) == 3
    assert not any(event.kind == "warning" for event in events)


@pytest.mark.parametrize(
    ("targets", "route", "kind"),
    [
        ([], "auto", "cuts"),
        (["size<=50KB"], "auto", "cuts"),
        (["macs<=200K"], "auto", "prunings"),
        (["macs<=200K"], "teacher", "prunings"),
        # Who asks for cuts gets them: the first convolution alone is within it.
        (["macs<=200K"], "cuts", "cuts"),
    ],
)
def test_within_a_bound_on_work_prunings_come_before_cuts(
    plan: Callable[..., Any], targets: list[str], route: str, kind: str
) -> None:
    found, _ = plan(targets, model=two_convolutions(), route=route)
    assert found.kind == kind
    assert ("within a bound on work, prunings keep more" in found.reason) is (kind == "prunings")
    assert all(cost.macs <= 200_000 for cost in found.costs if "macs<=200K" in targets)
    if kind == "prunings":
        assert {"conv0", "conv1"} <= {layer.name for layer in found.parts[0].model.layers}


@pytest.mark.parametrize(("metric", "bound"), [("size_bytes", "size<=30KB"), ("macs", "macs<=10M")])
def test_what_is_said_to_be_the_next_larger_member_can_be_asked_for(
    plan: Callable[..., Any], metric: str, bound: str
) -> None:
    found, _ = plan([bound])
    asked = re.search(r"--target '(.*)'", found.larger)
    assert asked
    assert asked[1].partition("<=")[0] == bound.partition("<=")[0]
    larger, _ = plan([asked[1]])
    assert getattr(larger.costs[0], metric) > getattr(found.costs[0], metric)


def test_a_float_file_may_have_layers_that_have_no_integer_kernel(
    plan: Callable[..., Any], bright: Callable[[int], Any], tmp_path: Path
) -> None:
    from keras import Input, Model, layers, ops, optimizers, utils

    from learn2compress.core.precision import FileFormat
    from learn2compress.export.write import write_member
    from learn2compress.measure.accuracy import tflite_probabilities
    from learn2compress.stages.files import ready_to_write
    from learn2compress.train.fit import compile_family
    from learn2compress.train.joint import JointFamily
    from learn2compress.train.quantize import folded
    from learn2compress.train.trainable import trainable

    utils.set_random_seed(0)
    image = Input((SIZE, SIZE, 3))
    x = layers.Conv2D(16, 3, strides=2, activation="relu", name="stem")(layers.Rescaling(1 / 128, offset=-1.0)(image))
    x = layers.Resizing(11, 12, name="resized")(layers.BatchNormalization(axis=1, momentum=0.7, name="rows")(x))
    x = layers.BatchNormalization(momentum=0.7, name="norm")(layers.Conv2D(32, 3, use_bias=False, name="conv")(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    model = Model(image, layers.Dense(CLASSES, name="scores")(x))
    found, _ = plan([], 2, model=model, route="prunings", precision=["float32"])
    members = [trainable(part.model, "float32", 0.9) for part in found.parts]
    assert len({member.get_layer("conv").filters for member in members}) == 2
    assert all(member.get_layer("stem").filters == 16 for member in members)
    family = JointFamily(members, 2.0, 0.3, positions=[part.positions for part in found.parts])
    compile_family(family, optimizers.SGD(0.01))
    dataset = bright(SIZE)
    soft = np.full((32, CLASSES), -np.log(CLASSES), np.float32)
    for _ in range(3):
        family.train_on_batch(dataset.train.stacked[:32], (dataset.train.labels[:32], soft))
    written = FileFormat("float32", "float32", "float32")
    pixels = (dataset.test.stacked.astype(np.float32) - 128) / 128
    for number, member in enumerate(family.release()):
        complete = ready_to_write(folded(member), written, "member")
        path = write_member(
            complete, None, tmp_path, f"member{number}", (SIZE, SIZE), lambda content: content, written=written
        )
        expected = np.asarray(ops.softmax(member(pixels, training=False)))
        np.testing.assert_allclose(tflite_probabilities(path, dataset.test), expected, atol=1e-3)
    with pytest.raises(InputError, match=r"rows is a BatchNormalization that is not by the channel") as caught:
        plan([], 2, model=model, route="prunings")
    assert "--precision float32" in caught.value.fix


class Failing:
    """A source of members whose planning ends in an error."""

    kind, words, reason = "cuts", "members that fail", "for the test"

    def __init__(self, error: L2CError) -> None:
        self.error = error

    def candidates(self) -> list[Any]:
        raise self.error


@pytest.fixture(scope="module")
def after(bright: Callable[[int], Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Any]]:
    """The plans of sources that fail with these errors, and of one after them that does not."""
    from learn2compress.sources.fresh import FreshStudents
    from learn2compress.stages.planning import Planning, plan_families
    from learn2compress.tasks import IMAGE_CLASSIFICATION

    def planned(*errors: L2CError, others: bool = True, progress: Progress = SILENT) -> list[Any]:
        teacher, dataset = BlackBox(), bright(SIZE)
        sources = [*map(Failing, errors), *[FreshStudents(teacher, dataset, "for the test")] * others]
        task = replace(IMAGE_CLASSIFICATION, sources=lambda *_: sources)
        recipe = Recipe.model_construct(budget="1m", route="auto", students=1, targets=["macs<=10M"])
        folder = tmp_path_factory.mktemp("plan")
        return plan_families(Planning(task, teacher, dataset, Options.of(recipe), folder, progress))

    return planned


@pytest.mark.parametrize(
    "error",
    [
        InputError("route.teacher_refused", "It can't be pruned."),
        InputError("tflite.unreadable", "LiteRT refuses the file."),
        ConversionError("export.failed", "The converter refused it."),
        TargetsUnmetError("targets.out_of_reach", "The smallest is too large."),
    ],
    ids=lambda error: error.code,
)
def test_a_source_that_gives_no_members_leaves_it_to_the_others(
    after: Callable[..., list[Any]], error: L2CError
) -> None:
    events: list[Event] = []
    (found,) = after(error, progress=Progress(events.append))
    assert found.route == "fresh"
    assert any(error.what in event.message for event in events)


@pytest.mark.parametrize("code", ["measure.timeout", "measure.crashed", "teacher.call_failed", "disk.full"])
def test_what_says_nothing_of_the_source_ends_the_run(after: Callable[..., list[Any]], code: str) -> None:
    with pytest.raises(InputError) as caught:
        after(InputError(code, "Measuring was stopped."))
    assert caught.value.code == code


REFUSED = InputError("route.teacher_refused", "It can't be pruned.")
FAR = TargetsUnmetError("targets.out_of_reach", "The smallest takes three times that.", excess=2.0)
NEAR = TargetsUnmetError("targets.out_of_reach", "The smallest takes a tenth more.", excess=0.1)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([REFUSED, FAR], FAR),
        ([FAR, REFUSED], FAR),
        ([FAR, NEAR], NEAR),
        ([NEAR, FAR], NEAR),
        ([REFUSED, FAR, NEAR], NEAR),
        ([REFUSED, ConversionError("export.failed", "The converter refused it.")], REFUSED),
    ],
)
def test_where_no_source_gives_members_the_one_that_comes_nearest_to_the_bounds_decides(
    after: Callable[..., list[Any]], errors: list[L2CError], expected: L2CError
) -> None:
    with pytest.raises(L2CError) as caught:
        after(*errors, others=False)
    assert caught.value is expected
    assert caught.value.exit_code == (EXIT_TARGETS if isinstance(expected, TargetsUnmetError) else EXIT_INPUT)


@pytest.mark.parametrize("route", ["fresh", "prunings"])
def test_what_comes_nearest_to_a_bound_that_nothing_keeps_is_planned_with_a_warning(
    plan: Callable[..., Any], route: str
) -> None:
    events: list[Event] = []
    progress = Progress(events.append)
    found, folder = plan(["size<=100B", "macs<=1G"], 2, model=two_convolutions(), route=route, progress=progress)
    (warning,) = [event.message for event in events if event.kind == "warning" and "size<=100B" in event.message]
    assert "What comes nearest is trained" in warning
    (bound,) = re.findall(r"ask for at least (size<=[0-9.]+[KM]?B)", warning)
    smallest = min(cost.size_bytes for cost in found.costs)
    # It is estimated, and of so small a file on the high side.
    assert smallest <= 1.05 * Target.parse(bound).bound <= 2 * smallest
    assert any(abs(file.stat().st_size - smallest) <= 1 for file in rehearsed(folder))
    assert not any("size<=100B" in spec.targets for spec in found.specs)
