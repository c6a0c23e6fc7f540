"""Members share weights: one set of kernels; batch norm and biases are their own where their inputs differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learn2compress.core.progress import SILENT, Event, Progress
from learn2compress.graph.input_size import at_size
from learn2compress.graph.slices import Part
from learn2compress.train.batches import LabelledViews
from learn2compress.train.fit import Schedule, compile_family, fit, time_joint_step
from learn2compress.train.heads import fit_heads, ridge
from learn2compress.train.joint import JointFamily, trains_narrow
from learn2compress.train.losses import NO_LABEL
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.trainable import trainable
from learn2compress.train.views import Views, ViewSpec

Member = Callable[..., Any]


@pytest.fixture
def batches(split: Callable[..., Any], counting_teacher: Callable[..., Any], tmp_path: Any) -> LabelledViews:
    views = Views(split(90), ViewSpec(2, (12, 12), 0))
    soft, _ = soft_labels(counting_teacher(), views, 3, tmp_path, SILENT)
    return LabelledViews(views, soft, 32, 0)


def family_of(members: list[Any]) -> JointFamily:
    return JointFamily(members, 2.0, 0.3)


def named(model: Any) -> dict[str, Any]:
    return {f"{layer.name}/{weight.name}": np.asarray(weight) for layer in model.layers for weight in layer.weights}


@pytest.fixture
def trained(tiny_member: Member, batches: LabelledViews) -> tuple[list[dict[str, Any]], list[Any]]:
    """Weights before, and members after two steps."""
    import keras

    members = [tiny_member(16), tiny_member(8), tiny_member(4, "own_logits")]
    before = [named(member) for member in members]
    family = family_of(members)
    compile_family(family, keras.optimizers.SGD(0.1))
    for number in range(2):
        family.train_on_batch(*batches.batch(number))
    return before, family.release()


def test_after_training_a_members_kernels_are_slices_of_the_widests(
    trained: tuple[list[dict[str, Any]], list[Any]],
) -> None:
    before, members = trained
    widest = named(members[0])
    for member, was in zip(members[1:], before[1:], strict=True):
        for name, value in named(member).items():
            if "kernel" in name and name in widest:
                cut = widest[name][tuple(slice(0, n) for n in value.shape)]
                np.testing.assert_array_equal(value, cut)
                assert (value != was[name]).any()
    moved = [name for name, value in widest.items() if "kernel" in name and (value != before[0][name]).all()]
    assert len(moved) == sum("kernel" in name for name in widest)


@pytest.mark.parametrize("sliced", [True, False])
def test_a_member_of_smaller_images_gets_them_resized(
    tiny_member: Member, batches: LabelledViews, sliced: bool
) -> None:
    import keras

    smaller = at_size(Part(tiny_member(8)), (8, 8)).model
    family = JointFamily([tiny_member(16), smaller, tiny_member(8)], 2.0, 0.3, sliced=sliced)
    compile_family(family, keras.optimizers.SGD(0.1))
    before = named(smaller)
    family.train_on_batch(*batches.batch(0))
    widest, trained, _ = family.release()
    pixels = batches.batch(1)[0]
    seen = batches.remembered()
    assert seen.batch(1)[0] is seen.batch(1)[0]
    resized = seen.of_size((8, 8)).batch(1)[0]
    assert resized.shape == (32, 8, 8, 3)
    np.testing.assert_allclose(family(pixels)[1], trained((resized - 128) / 128), atol=1e-4)
    moved = [name for name, value in named(trained).items() if (value != before[name]).any()]
    assert any("kernel" in name for name in moved)
    same = np.array_equal(named(widest)["a/kernel"][..., :8], named(trained)["a/kernel"])
    assert same == sliced


def test_batch_norm_biases_and_a_head_of_its_own_are_private(
    trained: tuple[list[dict[str, Any]], list[Any]],
) -> None:
    before, members = trained
    widest, middle, narrow = (named(member) for member in members)
    for name in ("b_bn/gamma", "b_bn/moving_mean", "b_bn/moving_variance", "b_bn/beta", "logits/bias"):
        count = len(middle[name])
        assert (middle[name] != before[1][name]).any()
        assert (middle[name] != widest[name][:count]).any()
    assert (narrow["own_logits/kernel"] != before[2]["own_logits/kernel"]).any()
    assert (narrow["own_logits/kernel"] != widest["logits/kernel"][:4]).any()


def test_what_members_have_in_common_from_the_input_on_is_one_and_computed_once(
    trained: tuple[list[dict[str, Any]], list[Any]], batches: LabelledViews
) -> None:
    before, members = trained
    widest = named(members[0])
    for member, was in zip(members[1:], before[1:], strict=True):
        for name, value in named(member).items():
            if name.startswith("stem"):
                np.testing.assert_array_equal(value, widest[name])
                assert (value != was[name]).any()
    family = family_of(members)
    calls = [layer.name for tail in family.tails for layer in tail.layers]
    assert "b" in calls
    assert "stem" not in calls


def test_fewer_filters_over_the_same_input_cost_nothing(
    trained: tuple[list[dict[str, Any]], list[Any]], batches: LabelledViews
) -> None:
    """They are the widest's first, up to the next layer that mixes channels; batch norm included."""
    before, members = trained
    widest = named(members[0])
    ahead = ("a/", "a_bn/", "b_depthwise/", "b_depthwise_bn/")
    for member, was in zip(members[1:], before[1:], strict=True):
        for name, value in named(member).items():
            if name.startswith(ahead):
                np.testing.assert_array_equal(value, widest[name][tuple(slice(n) for n in value.shape)])
                assert (value != was[name]).any()
    for form in (members, [trainable(member, "mixed_bfloat16", 0.9) for member in members]):
        for tail in family_of(form).tails:
            assert not {"a", "a_bn", "a_relu", "b_depthwise", "b_depthwise_bn"} & {
                layer.name for layer in tail.layers
            }


def test_a_narrow_members_gradient_lands_in_the_shared_kernels_only_where_it_reads(
    tiny_member: Member, batches: LabelledViews
) -> None:
    import keras

    class OnlyNarrow(JointFamily):
        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> Any:
            return super().compute_loss(x, y, [0.0 * keras.ops.stop_gradient(y_pred[0]), y_pred[1]])

    members = [tiny_member(16), tiny_member(8)]
    family = OnlyNarrow(members, 2.0, 0.3)
    before = named(members[0])
    compile_family(family, keras.optimizers.SGD(0.1))
    family.train_on_batch(*batches.batch(0))
    after = named(members[0])
    moved = after["a/kernel"] != before["a/kernel"]
    assert moved[..., :8].any()
    assert not moved[..., 8:].any()
    moved = after["b/kernel"] != before["b/kernel"]
    assert moved[:, :, :8, :8].any()
    assert not moved[:, :, 8:].any()
    assert not moved[:, :, :, 8:].any()
    np.testing.assert_array_equal(after["b_bn/gamma"], before["b_bn/gamma"])


def test_a_member_says_inside_the_family_what_it_says_on_its_own(
    trained: tuple[list[dict[str, Any]], list[Any]], batches: LabelledViews
) -> None:
    _, members = trained
    pixels = batches.batch(0)[0]
    outputs = family_of(members)(pixels, training=False)
    for member, inside in zip(members, outputs, strict=True):
        alone = member((pixels.astype(np.float32) - 128) / 128, training=False)
        np.testing.assert_allclose(np.asarray(inside), np.asarray(alone), atol=1e-5)


def test_a_step_without_the_narrow_members_leaves_what_is_their_own(
    tiny_member: Member, batches: LabelledViews
) -> None:
    import keras

    members = [tiny_member(16), tiny_member(8, "own_logits")]
    family = JointFamily(members, 2.0, 0.3, narrow_share=0.5)
    alone = JointFamily([tiny_member(16)], 2.0, 0.3)
    for one in (family, alone):
        compile_family(one, keras.optimizers.Adam(0.1))
    alone.members[0].set_weights(members[0].get_weights())
    family.narrow = False
    before = named(members[1])["own_logits/bias"]
    for step in range(2):
        family.train_on_batch(*batches.batch(step))
        alone.train_on_batch(*batches.batch(step))
    for mine, other in zip(members[0].get_weights(), alone.members[0].get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    np.testing.assert_array_equal(named(members[1])["own_logits/bias"], before)
    family.narrow = True
    family.train_on_batch(*batches.batch(2))
    assert np.abs(named(members[1])["own_logits/bias"] - before).max() > 1e-3


@given(narrow_share=st.floats(0.1, 1.0), steps=st.integers(200, 3000))
def test_narrow_members_are_trained_in_the_share_of_steps_asked_for_and_mostly_late(
    narrow_share: float, steps: int
) -> None:
    taken = np.array([trains_narrow(step, step / steps, narrow_share) for step in range(steps)])
    assert taken[0]
    assert abs(taken.mean() - narrow_share) < 0.04
    assert taken[-steps // 4 :].sum() >= taken[: steps // 4].sum()


def test_joint_training_teaches_every_member(
    tiny_member: Member, split: Callable[..., Any], batches: LabelledViews
) -> None:
    import keras

    keras.utils.set_random_seed(0)
    members = [tiny_member(16), tiny_member(8)]
    family = family_of(members)
    compile_family(family, keras.optimizers.Adam(0.01))
    events: list[Event] = []
    # So many seconds that the pace can only be raised, to what the plan lets it be at most.
    done = fit(
        family,
        batches,
        Progress(events.append),
        stage_name="joint training",
        steps=30,
        seconds=1e6,
        peak=0.01,
        schedule=Schedule(0.2),
        plan_steps=lambda seconds, step_seconds, steps_per_epoch: min(60, int(seconds / step_seconds)),
    )
    assert done.steps == 60
    assert done.epochs == 60 / len(batches)
    shares = [event.done for event in events if event.kind == "step"]
    assert shares == sorted(shares)
    assert shares[-1] == events[-1].total == 1
    for member in family.release():
        test = split(60, seed=9)
        inputs = (test.batch(np.arange(60), (12, 12)).astype(np.float32) - 128) / 128
        # Batch norms have seen few batches: their statistics are taken from the images themselves.
        assert (np.asarray(member(inputs, training=True)).argmax(axis=1) == test.labels).mean() > 0.9


@pytest.mark.parametrize("optimizer", ["muon", "adam", "sgd"])
@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_a_teacher_that_learns_along_moves_by_its_own_rate_and_teaches(
    tiny_member: Member, batches: LabelledViews, optimizer: Any, rate: float
) -> None:
    from dataclasses import replace

    from learn2compress.graph.slices import Part
    from learn2compress.train.family import joint_training
    from learn2compress.train.settings import SETTINGS

    settings = replace(SETTINGS["students"], optimizer=optimizer, peak=0.02, batch_size=32, dtype="float32")

    def run(teacher_rate: float) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        teacher = trainable(tiny_member(16), "float32", 0.9)
        before = named(teacher)
        (member,), _ = joint_training(
            [Part(tiny_member(8))],
            batches,
            SILENT,
            start="as built",
            settings=replace(settings, teacher_rate=teacher_rate),
            seconds=0,
            plan_steps=lambda *_: 5,
            teacher=teacher,
        )
        return before, named(teacher), named(member)

    before, after, taught = run(rate)
    moved = {name for name, value in before.items() if not np.array_equal(value, after[name])}
    if rate:
        assert any("kernel" in name for name in moved)
    else:
        assert not moved
    # Its statistics are those it was trained with.
    assert not [name for name in moved if "moving" in name]
    _, _, otherwise = run(0.5)
    assert any(not np.array_equal(taught[name], otherwise[name]) for name in taught)


def test_the_accuracy_of_a_member_is_told_of_the_steps_that_train_it(
    tiny_member: Member, batches: LabelledViews
) -> None:
    import keras

    keras.utils.set_random_seed(0)
    events: list[Event] = []
    options: dict[str, Any] = {"steps": 40, "seconds": 0, "schedule": Schedule(0.1), "stage_name": "joint training"}
    first = family_of([tiny_member(8)])
    compile_family(first, keras.optimizers.Adam(0.01))
    fit(first, batches, SILENT, peak=0.01, **options)
    (trained,) = first.release()

    twins = [tiny_member(8), tiny_member(8, "own_logits")]
    for twin in twins:
        twin.set_weights(trained.get_weights())
    family = JointFamily(twins, 2.0, 0.3, narrow_share=0.3)
    compile_family(family, keras.optimizers.SGD(0.0))
    fit(family, batches, Progress(events.append), peak=0.0, **options)
    told = [event.message.split()[-2:] for event in events if event.message.startswith("training accuracy")]
    wide, narrow = (float(share) for share in told[-1])
    assert wide > 60
    # Two of a kind; but they were not judged on the same images.
    assert narrow == pytest.approx(wide, abs=10)


def test_timing_a_step_does_not_move_the_weights(tiny_member: Member, batches: LabelledViews) -> None:
    from learn2compress.train.optimizers import ConvMuon

    members = [tiny_member(8), tiny_member(4)]
    family = JointFamily(members, 2.0, 0.3, narrow_share=0.5)
    compile_family(family, ConvMuon(0.05))
    before = [np.asarray(variable) for variable in family.trainable_variables]
    assert time_joint_step(family, batches) > 0
    for was, now in zip(before, family.trainable_variables, strict=True):
        np.testing.assert_array_equal(was, np.asarray(now))


def test_no_image_comes_twice_in_an_epoch_and_epochs_show_other_views(batches: LabelledViews) -> None:
    shown = []
    for epoch in range(2):
        images = [batches.batch(epoch * len(batches) + number) for number in range(len(batches))]
        assert len(images) == 90 // 32
        shown.append(np.concatenate([pixels for pixels, _ in images]))
        for pixels, (labels, soft) in images:
            assert pixels.shape == (32, 12, 12, 3)
            assert labels.shape == (32,)
            assert (soft.argmax(axis=1) == labels).mean() > 0.9
    one, other = ({image.tobytes() for image in epoch} for epoch in shown)
    assert len(one) == len(other) == 64
    assert len(one & other) < 8  # jitter may lead two views of an image to the same place


def test_batches_made_ahead_are_the_batches_of_their_steps(batches: LabelledViews) -> None:
    for step, (pixels, (labels, soft)) in zip(range(7), batches.prefetched(), strict=False):
        again, (same, alike) = batches.batch(step)
        np.testing.assert_array_equal(pixels, again)
        np.testing.assert_array_equal(labels, same)
        np.testing.assert_array_equal(soft, alike)


def test_a_data_set_smaller_than_a_batch_is_one_batch(
    split: Callable[..., Any], counting_teacher: Callable[..., Any], tmp_path: Any
) -> None:
    views = Views(split(10), ViewSpec(1, (12, 12), 0))
    soft, _ = soft_labels(counting_teacher(), views, 3, tmp_path, SILENT)
    batches = LabelledViews(views, soft, 256, 0)
    assert len(batches) == 1
    assert len(batches.batch(0)[0]) == 10


def test_cuts_of_one_graph_are_trained_in_one_pass(tiny_member: Member, batches: LabelledViews) -> None:
    import keras

    deep = tiny_member(8)
    pooled = keras.layers.GlobalAveragePooling2D(name="early_pool")(deep.get_layer("a_relu").output)
    early = keras.Model(deep.inputs[0], keras.layers.Dense(3, name="early_logits")(pooled))
    members = [trainable(model, "float32", 0.9) for model in (deep, early)]
    family = JointFamily(members, 2.0, 0.3)
    fit_heads(family, batches)
    before = [named(member) for member in members]
    inputs = (batches.batch(0)[0].astype(np.float32) - 128) / 128
    for member, logits in zip(members, family(batches.batch(0)[0], training=False), strict=True):
        np.testing.assert_allclose(np.asarray(logits), np.asarray(member(inputs)), atol=1e-5)
    compile_family(family, keras.optimizers.SGD(0.05))
    for number in range(2):
        family.train_on_batch(*batches.batch(number))
    inside = [np.asarray(logits) for logits in family(batches.batch(0)[0], training=False)]
    released = family.release()
    for member, was, logits in zip(released, before, inside, strict=True):
        np.testing.assert_allclose(np.asarray(member(inputs)), logits, atol=1e-5)
        now = named(member)
        assert all((now[name] != value).any() for name, value in was.items())
    deepest, shallow = (named(member) for member in released)
    for name in shallow.keys() & deepest.keys():
        np.testing.assert_array_equal(shallow[name], deepest[name])
    assert {"stem/kernel", "a_bn/moving_mean"} <= shallow.keys() & deepest.keys()


def test_one_cut_alone_is_trained_too(tiny_member: Member, batches: LabelledViews) -> None:
    import keras

    member = trainable(tiny_member(8), "float32", 0.9)
    before = named(member)
    family = JointFamily([member], 2.0, 0.3)
    compile_family(family, keras.optimizers.SGD(0.05))
    family.train_on_batch(*batches.batch(0))
    (released,) = family.release()
    assert (named(released)["a/kernel"] != before["a/kernel"]).any()


def test_a_head_is_fitted_to_the_teacher_before_any_training(
    tiny_member: Member, split: Callable[..., Any], batches: LabelledViews
) -> None:
    members = [tiny_member(8), tiny_member(4, "own_logits")]
    for name in ("stem", "stem_bn", "a", "a_bn", "b_depthwise", "b_depthwise_bn"):  # the first layers of one teacher
        pairs = zip(members[1].get_layer(name).weights, members[0].get_layer(name).weights, strict=True)
        for variable, whole in pairs:
            variable.assign(np.asarray(whole)[tuple(slice(n) for n in variable.shape)])
    kernels = [named(member)["a/kernel"] for member in members]
    fit_heads(JointFamily(members, 2.0, 0.3), batches)
    test = split(60, seed=9)
    inputs = (test.batch(np.arange(60), (12, 12)).astype(np.float32) - 128) / 128
    for member, kernel in zip(members, kernels, strict=True):
        assert (np.asarray(member(inputs)).argmax(axis=1) == test.labels).mean() > 0.8
        np.testing.assert_array_equal(named(member)["a/kernel"], kernel)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), shape=st.tuples(st.integers(1, 5), st.integers(1, 4)))
def test_an_unregularized_ridge_is_least_squares(seed: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(3, 5, (40, shape[0]))
    targets = features @ rng.normal(size=shape) + rng.normal(size=shape[1]) + rng.normal(0, 0.1, (40, shape[1]))
    kernel, bias = ridge(features, targets, 0.0)
    wide = np.concatenate([features, np.ones((40, 1))], axis=1)
    best, *_ = np.linalg.lstsq(wide, targets, rcond=None)
    np.testing.assert_allclose(kernel, best[:-1], atol=1e-4)
    np.testing.assert_allclose(bias, best[-1], atol=1e-3)


def test_a_ridge_with_zeros_fits_what_is_left_to_the_targets() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(3, 5, (200, 12))
    true = np.where(rng.random((12, 4)) < 0.5, 0, rng.normal(size=(12, 4)))
    targets = features @ true + rng.normal(size=4)
    share = float((true == 0).mean())
    kernel, bias = ridge(features, targets, 0.0, share)
    np.testing.assert_array_equal(kernel == 0, true == 0)
    np.testing.assert_allclose(features @ kernel + bias, targets, atol=1e-4)
    sparser, bias = ridge(features, targets, 0.0, 0.75)
    assert (sparser == 0).mean() == 0.75
    left = features @ sparser + bias - targets
    # Of what is left of the targets no feature that a class still has tells anything.
    told = (features - features.mean(axis=0)).T @ left
    np.testing.assert_allclose(told[sparser != 0], 0, atol=1e-3)
    assert np.abs(told[sparser == 0]).max() > 1


def test_the_schedule_rises_to_one_and_ends_at_zero() -> None:
    schedule = Schedule(0.2)
    assert [round(schedule(x), 6) for x in (0, 0.1, 0.2, 0.6, 1)] == [0, 0.5, 1, 0.5, 0]
    assert Schedule(0.0)(0.0) == 1


def test_where_there_is_no_label_who_agrees_with_the_teacher_counts_as_right(
    tiny_member: Member, batches: LabelledViews
) -> None:
    import keras

    family = family_of([tiny_member(16)])
    compile_family(family, keras.optimizers.SGD(0.0))
    pixels, (labels, _) = batches.batch(0)
    teacher = np.log(np.random.default_rng(0).dirichlet(np.ones(3), len(labels))).astype("float32")
    nobody = np.full_like(labels, NO_LABEL)
    right = family.train_on_batch(pixels, (nobody, teacher), return_dict=True)["accuracy_0"]
    family.reset_metrics()
    also = family.train_on_batch(pixels, (teacher.argmax(axis=1), teacher), return_dict=True)["accuracy_0"]
    assert float(right) == pytest.approx(float(also))
    assert 0 < float(right) < 1
