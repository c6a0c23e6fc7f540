"""What is written of a trained member, and when it stays int8."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.errors import ConversionError, VerificationError
from learn2compress.core.family import Accuracy, Member, Mixed, Verification
from learn2compress.core.member import MemberSpec
from learn2compress.core.options import Options
from learn2compress.core.progress import Event, Progress
from learn2compress.core.recipe import Recipe
from learn2compress.manifest import WrittenMember

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIDE = 16
INT8 = {"int8_size_bytes": 100_000, "int8_latency_ms": 1.0, "int8_peak_memory_bytes": 200_000}
WIDENED = {"size_bytes": 120_000, "latency_ms": 1.2, "peak_memory_bytes": 240_000}


def member(*targets: str, **changed: Any) -> WrittenMember:
    """One that was widened, and chosen for these bounds."""
    mixed = Mixed(
        kept=(),
        most_loss=0.01,
        int8_loss=0.04,
        loss=0.005,
        images=300,
        sensitivity={},
        **{**INT8, **WIDENED, **changed},
    )
    agreed = Verification(images=300, top1_agreement=1.0, max_probability_difference=0.0)
    spec = MemberSpec("small", "fresh", 1.0, (32, 32), targets=targets)
    return WrittenMember(spec, Path("small.tflite"), 0.9, 0.9, agreed, 0.0, mixed=mixed)


@pytest.mark.parametrize(
    ("targets", "broken"),
    [
        (("size<=110KB", "latency<=2"), "size<=110KB"),
        (("latency<=1.1",), "latency<=1.1"),
        (("memory<=220KB",), "memory<=220KB"),
        (("size<=110KB", "memory<=220KB"), "size<=110KB and memory<=220KB"),
        (("size<=130KB", "latency<=1.3", "memory<=250KB", "accuracy>=0.8"), ""),
        (("size<=90KB",), ""),  # broken as int8 already: staying int8 would not help
        ((), ""),
    ],
)
def test_a_member_is_not_widened_beyond_the_bounds_it_was_chosen_for(targets: tuple[str, ...], broken: str) -> None:
    from learn2compress.stages.export import bounds_broken_by_widening

    assert bounds_broken_by_widening(member(*targets)) == broken


@pytest.fixture(scope="module")
def trained(bright: Callable[[int], Any]) -> tuple[Any, Any, Any]:
    """A dataset, a member that tells its classes, and its calibrated fake-quantized twin."""
    from keras import Input, Model, layers, utils

    from learn2compress.train.fake_quant import fake_quantize, set_tracking
    from learn2compress.train.quantize import folded

    utils.set_random_seed(0)
    image = Input((SIDE, SIDE, 3), name="image")
    x = layers.ReLU(name="relu")(layers.Conv2D(8, 3, padding="same", name="conv")(image))
    model = Model(image, layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D(name="pool")(x)))
    kernel = np.zeros((3, 3, 3, 8), np.float32)
    kernel[1, 1, range(3), range(3)] = 1
    model.get_layer("conv").set_weights([kernel, np.ones(8, np.float32)])
    model.get_layer("logits").set_weights([16 * np.eye(8, 3, dtype=np.float32), np.zeros(3, np.float32)])
    dataset = bright(SIDE)
    graph = folded(model)
    twin = fake_quantize(graph)
    set_tracking(twin, 1.0)
    twin((dataset.validation.stacked.astype(np.float32) - 128) / 128, training=True)
    set_tracking(twin, 0.0)
    return dataset, model, twin


Broken = Callable[[Any], None]


@pytest.fixture
def export(trained: tuple[Any, Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Exports the member, the output of `conv` kept in float32; `at` is called with each model before it is written,
    `after` with the number of each verification."""
    from learn2compress.stages import export as module
    from learn2compress.stages.mixed import Wider
    from learn2compress.tasks import IMAGE_CLASSIFICATION
    from learn2compress.train.mixed import float_layers, widened
    from learn2compress.train.quantize import folded

    dataset, model, twin = trained
    found = {
        "kept": ["relu"],
        "accuracy": {"relu": 0.1},
        "sensitivity": {"relu": 0.1},
        "int8_loss": 0.1,
        "loss": 0.0,
        "images": 30,
    }
    template = folded(model)
    wider = Wider(widened(twin, template, ["relu"]), {"relu": float_layers(template, ("relu",))}, found)
    monkeypatch.setattr(module, "kept_wider", lambda *_: wider)
    write, verify = module.write_member, module.verify

    def exported(progress: Progress, at: Broken = lambda model: None, after: Broken = lambda number: None) -> Any:
        verified: list[str] = []

        def written(ready: Any, *arguments: Any, **named: Any) -> Path:
            at(ready)
            return write(ready, *arguments, **named)

        def checked(name: str, *arguments: Any, **named: Any) -> Verification:
            verified.append(name)
            after(len(verified))
            return verify(name, *arguments, **named)

        monkeypatch.setattr(module, "write_member", written)
        monkeypatch.setattr(module, "verify", checked)
        run = Checkpoints(tmp_path)
        run.staging.mkdir()
        teacher: Any = SimpleNamespace(name="teacher", licence="")
        options = Options.of(Recipe())
        every = module.Export(IMAGE_CLASSIFICATION, teacher, dataset, options, 1.0, run, progress)
        return every.members([MemberSpec("small", "fresh", 1.0, (SIDE, SIDE))], [model], [twin])

    return exported


def rounds_all(model: Any) -> bool:
    return any(layer.name == "relu_quant" for layer in model.layers)


def test_a_member_keeps_in_float_what_int8_costs_most(export: Callable[..., Any]) -> None:
    (written,), refused = export(Progress())
    assert not refused
    assert [kept.output_of for kept in written.mixed.kept] == ["relu"]


@pytest.mark.parametrize("error", [ConversionError, VerificationError])
def test_a_member_that_fails_with_parts_in_float_is_written_as_int8(
    export: Callable[..., Any], error: type[Exception]
) -> None:
    def unwritable(model: Any) -> None:
        if error is ConversionError and not rounds_all(model):
            raise ConversionError("convert.failed", "It can't be written so.")

    def other(number: int) -> None:
        if error is VerificationError and number == 1:
            raise VerificationError("verify.disagrees", "It is another.")

    events: list[Event] = []
    (written,), refused = export(Progress(events.append), unwritable, other)
    assert not refused
    assert written.mixed is None
    assert written.path.is_file()
    assert written.path.parent.name == "models"
    said = [event.message for event in events if event.kind == "note"]
    assert any("small stays int8" in message and "It " in message for message in said)


def test_a_member_whose_int8_fails_too_is_left_out_for_what_is_wrong_with_that(export: Callable[..., Any]) -> None:
    def other(number: int) -> None:
        raise VerificationError("verify.disagrees", f"Other {number}.")

    with pytest.raises(VerificationError, match=r"small is left out\. Other 2\.") as caught:
        export(Progress(), after=other)
    assert caught.value.code == "verify.none"


def finished(name: str, size: int, validation: float) -> Member:
    """A member as the family describes it."""
    return Member(
        name=name,
        file=f"models/{name}.tflite",
        keras_file=f"models/{name}.keras",
        size_bytes=size,
        accuracy=Accuracy(validation=validation, test=0.9, validation_examples=30, test_examples=60),
        width=1.0,
        depth=2,
        input_size=(SIDE, SIDE),
        float_accuracy_validation=validation,
        float_accuracy_test=0.9,
        verification=Verification(images=30, top1_agreement=1.0, max_probability_difference=0.0),
    )


def test_of_a_member_that_has_collapsed_the_run_warns_and_the_family_tells(bright: Callable[[int], Any]) -> None:
    from learn2compress.stages.baselines import warn_of_collapses

    dataset, events = bright(SIDE), list[Event]()
    # Of three classes, three quarters of the way are 75.8 %.
    members = [finished("large", 300_000, 0.8), finished("small", 90_000, 0.7)]
    teacher = finished("teacher", 900_000, 0.9)
    large, small = warn_of_collapses(members, teacher, dataset, Progress(events.append))
    assert large == members[0]
    assert small.collapsed.startswith("small has collapsed")
    assert "nearest member that holds is large" in small.collapsed
    assert [(event.kind, event.message) for event in events] == [("warning", small.collapsed)]
    events.clear()
    (only,) = warn_of_collapses(members[1:], teacher, dataset, Progress(events.append), "size 400 kB")
    assert "The next larger one that can be built would have size 400 kB; it was not trained" in only.collapsed
    events.clear()
    assert warn_of_collapses(members[:1], teacher, dataset, Progress(events.append)) == (members[0],)
    assert not events
