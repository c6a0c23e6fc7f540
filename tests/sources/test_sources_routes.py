"""Where members can come from: what the route, the amount of data, the teacher and the bounds speak for."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from learn2compress.core.errors import InputError
from learn2compress.core.options import ROUTES, Options
from learn2compress.core.recipe import Recipe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from learn2compress.sources.routes import chosen_sources, member_sources

SIZE, CLASSES = 16, 4
UNCUT, UNPRUNED = {"cuts": "no place to cut"}, {"prunings": "a strange layer"}
NEITHER = {**UNCUT, **UNPRUNED}
ASKED, KEPT = "asked for", "with 40 training images a class, the teacher's trained weights are kept"
ENOUGH = "5000 training images a class are enough for students from scratch"
ON_WORK = "; within a bound on work, prunings keep more of the teacher than cuts"
REFUSED = "the teacher's own graph can't be made smaller "
FEW, MANY = 40, 5000


@pytest.mark.parametrize(
    ("route", "images", "refusals", "bounded", "kinds", "reason"),
    [
        ("auto", FEW, {}, False, "cuts prunings", KEPT),
        ("auto", FEW, {}, True, "prunings cuts", KEPT + ON_WORK),
        ("auto", FEW, UNCUT, True, "prunings", KEPT),
        ("auto", FEW, UNPRUNED, True, "cuts", KEPT),
        ("auto", FEW, NEITHER, True, "students", REFUSED + "(a strange layer; no place to cut)"),
        ("auto", FEW, dict.fromkeys(NEITHER, "a layer"), False, "students", REFUSED + "(a layer)"),
        ("auto", 999.9, {}, False, "cuts prunings", KEPT.replace("40", "1000")),
        ("auto", 1000, {}, False, "students prunings", ENOUGH.replace("5000", "1000")),
        ("auto", MANY, {}, False, "students prunings", ENOUGH),
        ("auto", MANY, {}, True, "students prunings", ENOUGH),
        ("auto", MANY, UNCUT, False, "students prunings", ENOUGH),
        ("auto", MANY, UNPRUNED, False, "students", ENOUGH),
        ("auto", MANY, NEITHER, True, "students", ENOUGH),
        ("teacher", FEW, {}, False, "cuts prunings", ASKED),
        ("teacher", FEW, {}, True, "prunings cuts", ASKED + ON_WORK),
        ("teacher", MANY, {}, False, "prunings cuts", ASKED),
        ("teacher", MANY, {}, True, "prunings cuts", ASKED + ON_WORK),
        ("teacher", MANY, UNCUT, True, "prunings", ASKED),
        ("teacher", MANY, UNPRUNED, True, "cuts", ASKED),
        ("teacher", FEW, NEITHER, False, "", ""),
        ("cuts", MANY, {}, True, "cuts", ASKED),
        ("cuts", FEW, UNPRUNED, False, "cuts", ASKED),
        ("cuts", FEW, UNCUT, False, "", ""),
        ("prunings", FEW, {}, False, "prunings", ASKED),
        ("prunings", FEW, UNCUT, True, "prunings", ASKED),
        ("prunings", MANY, UNPRUNED, False, "", ""),
        ("fresh", FEW, NEITHER, True, "students", ASKED),
        ("fresh", MANY, {}, False, "students", ASKED),
    ],
)
def test_route_images_teacher_and_bounds_choose_the_sources(
    route: str, images: float, refusals: Any, bounded: bool, kinds: str, reason: str
) -> None:
    found = chosen_sources(route, images, refusals, work_is_bounded=bounded)
    assert [source.kind for source in found] == kinds.split()
    assert [source.reason for source in found[:1]] == [reason] * bool(found)


def test_each_source_has_a_reason_of_its_own() -> None:
    first, second = chosen_sources("auto", FEW, {}, work_is_bounded=True)
    assert (first.reason, second.reason) == (KEPT + ON_WORK, KEPT)
    first, second = chosen_sources("auto", MANY, {}, work_is_bounded=False)
    assert (first.reason, second.reason) == (ENOUGH, KEPT.replace("40", "5000"))


@pytest.fixture(scope="module")
def sources() -> Callable[..., list[Any]]:
    """The sources for a teacher (None: a black box), so many images, and what else a recipe has."""

    def found(model: Any, images: int, **asked: Any) -> list[Any]:
        teacher: Any = SimpleNamespace(keras_model=model, input_size=(SIZE, SIZE), outputs="logits")
        dataset: Any = SimpleNamespace(train=range(images), classes=CLASSES)
        return member_sources(teacher, dataset, Options.of(Recipe(**asked)))

    return found


def small_model(*more: Any) -> Any:
    from keras import Input, Model, layers

    image = Input((SIZE, SIZE, 3))
    x = image
    for number in range(2):
        x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name=f"conv{number}")(x)
    for layer in more:
        x = layer(x)
    return Model(image, layers.Dense(CLASSES, name="scores")(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("images", [CLASSES * FEW, CLASSES * MANY])
@pytest.mark.parametrize("targets", [(), ("macs<=1M",)])
def test_a_teacher_that_can_be_cut_and_pruned_gives_what_is_chosen(
    sources: Callable[..., list[Any]], route: str, images: int, targets: tuple[str, ...]
) -> None:
    found = sources(small_model(), images, route=route, targets=targets)
    chosen = chosen_sources(route, images / CLASSES, {}, work_is_bounded=bool(targets))
    assert [(source.kind, source.reason) for source in found] == chosen


@pytest.mark.parametrize("route", ["teacher", "cuts", "prunings"])
def test_of_a_teacher_without_layers_its_own_ones_are_refused(sources: Callable[..., list[Any]], route: str) -> None:
    with pytest.raises(InputError, match="the teacher is not a Keras model") as caught:
        sources(None, CLASSES * FEW, route=route)
    assert caught.value.code == "route.teacher_refused"
    assert "--from fresh" in caught.value.fix
    # No precision would give it layers.
    assert "--precision" not in caught.value.fix


def test_a_teacher_without_layers_leaves_students_of_our_own(sources: Callable[..., list[Any]]) -> None:
    (few,) = sources(None, CLASSES * FEW)
    assert (few.kind, few.reason) == ("students", REFUSED + "(the teacher is not a Keras model)")
    (many,) = sources(None, CLASSES * MANY)
    assert (many.kind, many.reason) == ("students", ENOUGH)


def test_a_layer_without_an_integer_kernel_keeps_a_teacher_from_being_pruned_for_integer_files_only(
    sources: Callable[..., list[Any]],
) -> None:
    from keras import layers

    model = small_model(layers.BatchNormalization(axis=1, name="rows"))
    (pruned,) = sources(model, CLASSES * FEW, route="prunings", precision=("float16",))
    assert pruned.kind == "prunings"
    for precision in (("int8",), ("float16", "int8")):
        with pytest.raises(InputError, match="rows") as caught:
            sources(model, CLASSES * FEW, route="prunings", precision=precision)
        assert caught.value.code == "route.teacher_refused"
        assert "Written with --precision float32, float16 or dynamic" in caught.value.fix
