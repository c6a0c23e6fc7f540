"""The teacher pruned: its own weights, ever fewer channels, members nested in one another."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest

from learn2compress.core.recipe import Importance

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES, SIZE = 4, 16


def block(x: Any, channels: int, name: str) -> Any:
    from keras import layers

    y = layers.Conv2D(2 * channels, 1, use_bias=False, name=f"{name}_expand")(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization(name=f"{name}_expand_bn")(y))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization(name=f"{name}_depthwise_bn")(y))
    y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(y)
    return layers.Add(name=f"{name}_add")([x, layers.BatchNormalization(name=f"{name}_project_bn")(y)])


@pytest.fixture(scope="module")
def source() -> Any:
    from keras import Input, Model, layers, optimizers, utils

    from learn2compress.core.progress import SILENT
    from learn2compress.inputs.dataset import load_dataset
    from learn2compress.inputs.teacher import load_teacher
    from learn2compress.sources.prunings import TeacherPrunings

    utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = np.arange(400) % CLASSES
    images = rng.integers(0, 120, (400, SIZE, SIZE, 3), np.uint8)
    images[np.arange(400), :, :, labels % 3] += 100
    images[labels == 3] //= 3
    image = Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 64, offset=-1.5)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization(name="stem_bn")(layers.Conv2D(24, 3, strides=2, name="stem")(x)))
    x = block(block(x, 24, "a"), 24, "b")
    x = layers.GlobalAveragePooling2D()(x)
    model = Model(image, layers.Dense(CLASSES, activation="softmax", name="classes")(x))
    model.compile(optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(images.astype(np.float32), labels, epochs=4, batch_size=32, verbose=0)
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:80], "y_test": labels[:80]}
    dataset = load_dataset(arrays, test_data=None, labels=None, seed=0, progress=SILENT)
    teacher = load_teacher(model, dataset=dataset, preprocess="auto", progress=SILENT)
    return TeacherPrunings(teacher, dataset, "asked for")


def prunings_of(source: Any, image: Any, features: Any) -> Any:
    """The prunings of a classifier upon these features, which has learned the classes of the source's data."""
    from keras import Model, layers, optimizers

    from learn2compress.inputs.teacher import load_teacher
    from learn2compress.sources.prunings import TeacherPrunings

    dataset = source._dataset
    x = layers.GlobalAveragePooling2D()(features)
    model = Model(image, layers.Dense(CLASSES, activation="softmax")(x))
    model.compile(optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(dataset.train.stacked.astype(np.float32), dataset.train.labels, epochs=4, batch_size=32, verbose=0)
    return TeacherPrunings(load_teacher(model, dataset=dataset, preprocess="raw"), dataset, "asked for")


def test_unpruned_it_answers_as_the_teacher_does(source: Any) -> None:
    from keras import ops

    candidate = source.candidates()[0]
    assert candidate.spec.removals == 0
    pixels = source._dataset.test.batch(np.arange(40), (SIZE, SIZE))
    logits = source.build(candidate.spec).model((pixels.astype(np.float32) - 128) / 128)
    expected = source._teacher.keras_model(pixels.astype(np.float32))
    # Padding stands for mid-grey now and stood for something else: the rim differs a little where there is any.
    np.testing.assert_allclose(np.asarray(ops.softmax(logits)), np.asarray(expected), atol=1e-3)


@pytest.mark.parametrize("merge", ["Add", "Multiply"])
def test_looking_for_what_can_go_leaves_the_weights_of_the_teacher_as_they_are(source: Any, merge: str) -> None:
    """Of a kernel, too, of which inputs and outputs are channels of one group."""
    from keras import Input, layers, ops, utils

    utils.set_random_seed(0)
    image = Input((SIZE, SIZE, 3))
    x = layers.Conv2D(24, 3, strides=2, activation="relu", name="stem")(layers.Rescaling(1 / 64, offset=-1.5)(image))
    if merge == "Add":
        x = layers.Add()([x, layers.Conv2D(24, 3, padding="same", name="inside")(x)])
    else:
        gate = layers.Dense(24, activation="sigmoid", name="inside")(layers.GlobalAveragePooling2D()(x))
        x = layers.Multiply()([x, gate])
    made = prunings_of(source, image, x)
    unpruned = made.candidates()[0]
    assert unpruned.spec.removals == 0
    built, teacher = made.build(unpruned.spec).model, made._teacher.keras_model
    kernels = [np.asarray(model.get_layer("inside").kernel) for model in (built, teacher)]
    np.testing.assert_array_equal(*(kernel.reshape(-1, 24, 24) for kernel in kernels))
    pixels = source._dataset.test.batch(np.arange(40), (SIZE, SIZE)).astype(np.float32)
    logits = built((pixels - 128) / 128)
    np.testing.assert_allclose(np.asarray(ops.softmax(logits)), np.asarray(teacher(pixels)), atol=1e-3)


def test_groups_of_channels_go_one_by_one_where_they_are_wide(source: Any) -> None:
    from keras import Input, Model, layers

    from learn2compress.inputs.teacher import load_teacher
    from learn2compress.sources.prunings import TeacherPrunings

    image = Input((SIZE, SIZE, 3))
    x = layers.Conv2D(48, 3, strides=2, activation="relu", name="first")(image)
    x = layers.Conv2D(48, 3, groups=6, activation="relu", name="grouped")(x)
    model = Model(image, layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    dataset = source._dataset
    made = TeacherPrunings(load_teacher(model, dataset=dataset, preprocess="raw"), dataset, "asked for")
    shapes = [made.build(c.spec).model.get_layer("grouped").kernel.shape for c in made.candidates()]
    assert [tuple(shape) for shape in shapes[:3]] == [(3, 3, 8, 48), (3, 3, 8, 40), (3, 3, 8, 32)]


def test_layers_that_do_not_add_up_to_the_teacher_are_refused(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from learn2compress.core.errors import InputError
    from learn2compress.graph import trunk
    from learn2compress.sources import prunings

    def wrong(*args: Any) -> Any:
        whole = trunk.build_whole(*args)
        last = whole.layers[-1]
        last.set_weights([np.roll(weight, 1, axis=-1) for weight in last.get_weights()])
        return whole

    monkeypatch.setattr(prunings, "build_whole", wrong)
    again = prunings.TeacherPrunings(source._teacher, source._dataset, "asked for")
    with pytest.raises(InputError, match="give other outputs than the teacher"):
        again.candidates()


def test_candidates_get_ever_smaller_and_cost_what_was_said(source: Any) -> None:
    from learn2compress.graph.cost import model_cost

    found = source.candidates()
    sizes = [candidate.cost.size_bytes for candidate in found]
    assert sizes == sorted(sizes, reverse=True)
    assert len(found) > 5
    for candidate in (found[0], found[len(found) // 2], found[-1]):
        assert model_cost(source.build(candidate.spec).model) == candidate.cost
    assert len({candidate.spec.name for candidate in found}) == len(found)


def test_after_a_large_step_what_came_before_is_given_back(source: Any) -> None:
    from learn2compress.graph.slices import slices_within

    found = source.candidates()
    macs = [candidate.cost.macs for candidate in found]
    assert any(candidate.spec.given_back for candidate in found)
    for candidate in found:
        if candidate.spec.given_back:
            before, after = (source._cost(candidate.spec.removals - less) for less in (1, 0))
            assert after.macs <= candidate.cost.macs < before.macs
            assert after.size_bytes <= candidate.cost.size_bytes < before.size_bytes
    prefixes = [source._cost(removals).macs for removals in range(len(source.order.removals) + 1)]
    largest = max(np.diff(np.log(prefixes)) * -1)
    assert max(np.diff(np.log(sorted(macs, reverse=True))) * -1) < largest
    for widest in found[::3]:
        later = source.narrower(widest, found)
        assert later[0] is widest
        wide = source.build(widest.spec)
        for candidate in later:
            narrow = source.build(candidate.spec)
            slices_within(narrow.model, wide.model, narrow.positions, wide.positions)


def test_what_is_given_back_leaves_multiples_of_eight(source: Any) -> None:
    from keras import Input, layers, utils

    from learn2compress.plan.pruning import pruning_order

    utils.set_random_seed(0)
    image = Input((SIZE, SIZE, 3))
    x = layers.Conv2D(44, 3, strides=2, activation="relu", name="stem")(layers.Rescaling(1 / 64, offset=-1.5)(image))
    made = prunings_of(source, image, layers.Add(name="light")([x, layers.DepthwiseConv2D(3, padding="same")(x)]))
    (stem,) = [group for group in made.channels.prunable if group.name == "stem"]
    # Four channels go, then three times eight, then the block, which saves more than four channels, less than eight.
    made.order = pruning_order(
        {stem.index: np.arange(44.0)}, fewest={stem.index: 8}, multiple={stem.index: 8}, blocks=[("light", 100.0)]
    )
    kept = [made.order.choice(c.spec.removals, c.spec.given_back).kept for c in made.candidates()]
    counts = [len(units[stem.index]) if units else 44 for units in kept]
    assert counts[0] == 44
    assert counts[-1] == 16
    assert all(count % 8 == 0 for count in counts[1:])


def test_candidates_are_all_that_differ_in_size_or_in_work(source: Any) -> None:
    from learn2compress.graph.pruned_cost import pruned_cost
    from learn2compress.sources.prunings import STEP

    found = source.candidates()
    costs = [pruned_cost(source.channels, source.order.choice(n)) for n in range(len(source.order.removals) + 1)]
    for metric in ("macs", "size_bytes"):
        wanted = {getattr(cost, metric) for cost in costs}
        had = [getattr(candidate.cost, metric) for candidate in found]
        # Whatever is asked for, the nearest candidate is at most a step smaller than the nearest that there is.
        for bound in wanted:
            assert max(value for value in had if value <= bound) > (1 - STEP) ** 2 * bound or bound == min(wanted)


def test_a_step_is_one_of_size_or_of_work() -> None:
    from learn2compress.core.member import Cost
    from learn2compress.sources.prunings import _smaller

    whole = Cost(1000, 10_000, 1000)
    assert _smaller(Cost(999, 9_900, 999), whole)
    assert _smaller(Cost(990, 9_999, 990), whole)
    assert not _smaller(Cost(991, 9_901, 991), whole)


class Blank:
    """A thousand images with nothing on them."""

    labels = np.zeros(1000, np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Any, size: tuple[int, int]) -> Any:
        return np.zeros((len(indices), *size, 3), np.uint8)


# ResNet-56 and EfficientNet-Lite0 on small images, the latter and ResNet-50 on large ones, and what does more still.
@pytest.mark.parametrize(
    ("macs", "judged", "silenced"),
    [(126e6, 640, 64), (71e6, 640, 64), (385e6, 640, 64), (4.1e9, 128, 64), (40e9, 128, 16)],
)
def test_fewer_images_are_looked_at_where_the_teacher_does_much_for_each(
    source: Any, monkeypatch: pytest.MonkeyPatch, macs: float, judged: int, silenced: int
) -> None:
    from learn2compress.sources import prunings

    looked_at = []

    def judge(measure: Any, channels: Any, batches: Any) -> Any:
        looked_at.append(sum(len(pixels) for pixels, _ in batches))
        return {group.index: np.arange(1.0, group.size + 1) for group in channels.prunable}, {}

    def silence(channels: Any, scores: Any, pixels: Any) -> Any:
        looked_at.append(len(pixels))
        return dict.fromkeys(scores, 1.0)

    monkeypatch.setattr(prunings.Taylor, "with_blocks", judge)
    monkeypatch.setattr(prunings, "agreements", silence)
    dataset = SimpleNamespace(train=Blank(), classes=CLASSES)
    made = prunings.TeacherPrunings(source._teacher, dataset, "asked for")
    made.channels, made._macs = source.channels, round(macs)
    assert made.order.removals
    assert looked_at == [judged, silenced]


def test_the_guard_runs_on_the_fewer_images_the_more_groups_there_are() -> None:
    from learn2compress.sources.prunings import _affordable

    # Of what a run takes, at most so much for all groups: 64 images for 40 groups of EfficientNet-Lite0.
    counts = [_affordable(1e12, groups * 385_000_000, 16, 64) for groups in (0, 1, 40, 80, 1000)]
    assert counts == [64, 64, 64, 32, 16]


def test_jointly_trained_members_stay_slices_of_the_widest(source: Any) -> None:
    import keras

    from learn2compress.train.fit import compile_family
    from learn2compress.train.joint import JointFamily
    from learn2compress.train.trainable import trainable

    found = source.candidates()
    parts = [source.build(found[i].spec) for i in (1, len(found) // 2, len(found) - 1)]
    members = [trainable(part.model, "float32", 0.9) for part in parts]
    family = JointFamily(members, 2.0, 0.3, positions=[part.positions for part in parts])
    compile_family(family, keras.optimizers.SGD(0.05))
    pixels = source._dataset.train.batch(np.arange(32), (SIZE, SIZE))
    soft = np.full((32, CLASSES), -np.log(CLASSES), np.float32)
    for _ in range(2):
        family.train_on_batch(pixels, (source._dataset.train.labels[:32], soft))
    widest, *others = family.release()
    compared = 0
    for member, part in zip(others, parts[1:], strict=True):
        for layer in member.layers:
            for place, weight in enumerate(layer.weights):
                if len(weight.shape) < 2:
                    continue
                expected = np.asarray(widest.get_layer(layer.name).weights[place])
                for axis in range(expected.ndim):
                    inner = part.positions[layer.name][place][axis]
                    outer = parts[0].positions[layer.name][place][axis]
                    whole = source.channels.graph.model.get_layer(layer.name).weights[place].shape[axis]
                    outer = np.arange(whole) if outer is None else outer
                    if inner is not None:
                        expected = np.take(expected, np.searchsorted(outer, inner), axis=axis)
                np.testing.assert_allclose(np.asarray(weight), expected, atol=1e-6)
                compared += 1
    assert compared >= 8
    before = source.build(found[1].spec).model.get_layer("a_expand").get_weights()[0]
    assert np.abs(np.asarray(widest.get_layer("a_expand").kernel) - before).max() > 1e-4


def test_a_member_that_keeps_what_the_widest_lacks_is_refused(source: Any) -> None:
    from learn2compress.graph.slices import slices_within

    found = source.candidates()
    wide, narrow = source.build(found[0].spec), source.build(found[-1].spec)
    positions = {
        name: [[None if axis is None else (axis + 1) for axis in axes] for axes in weights]
        for name, weights in narrow.positions.items()
    }
    with pytest.raises(ValueError, match="does not have"):
        slices_within(narrow.model, narrow.model, positions, narrow.positions)
    assert slices_within(narrow.model, wide.model, narrow.positions, wide.positions).shared


def test_recalibration_sets_the_statistics_to_those_of_the_batches(source: Any) -> None:
    from learn2compress.train.recalibration import recalibrate

    model = source.build(source.candidates()[3].spec).model
    batches = [source._dataset.train.batch(np.arange(i, i + 50), (SIZE, SIZE)) for i in (0, 50)]
    norm = model.get_layer("stem_bn")
    momentum = norm.momentum
    recalibrate(model, iter(batches))
    stem = model.get_layer("stem")
    means = [np.asarray(stem((pixels.astype(np.float32) - 128) / 128)).mean(axis=(0, 1, 2)) for pixels in batches]
    np.testing.assert_allclose(np.asarray(norm.moving_mean), np.mean(means, axis=0), atol=1e-4)
    assert norm.momentum == momentum


@pytest.mark.parametrize("importance", get_args(Importance))
def test_each_measure_of_importance_orders_the_removals(source: Any, importance: str) -> None:
    from learn2compress.sources.prunings import TeacherPrunings

    made = TeacherPrunings(source._teacher, source._dataset, "asked for", importance=importance)
    candidates = made.candidates()
    assert len(candidates) > 3
    assert candidates[-1].cost.macs < candidates[0].cost.macs
    assert any(removal.block for removal in made.order.removals) is (importance == "Taylor")


def test_a_recipe_names_the_measures_that_there_are() -> None:
    from learn2compress.train.importance import MEASURES

    assert set(get_args(Importance)) == set(MEASURES)


def test_the_order_is_judged_once_where_it_is_kept(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from learn2compress.sources import prunings

    assert source.order.removals
    kept: dict[str, str] = {}

    def recall(key: str, find_out: Any) -> Any:
        if key not in kept:
            kept[key] = json.dumps(find_out())
        return json.loads(kept[key])

    monkeypatch.setattr(prunings.TeacherPrunings, "_judged_order", lambda self: source.order)
    made = prunings.TeacherPrunings(source._teacher, source._dataset, "asked for", recall=recall)
    assert made.order == source.order
    assert any(removal.block for removal in made.order.removals)
    monkeypatch.setattr(prunings.TeacherPrunings, "_judged_order", lambda self: pytest.fail("judged again"))
    again = prunings.TeacherPrunings(source._teacher, source._dataset, "asked for", recall=recall)
    assert again.order == source.order
    assert [candidate.spec for candidate in again.candidates()] == [c.spec for c in source.candidates()]
    smaller = replace(source._dataset, train=source._dataset.train.subset(np.arange(40)))
    other = prunings.TeacherPrunings(source._teacher, smaller, "asked for", recall=recall)
    with pytest.raises(pytest.fail.Exception, match="judged again"):
        _ = other.order
