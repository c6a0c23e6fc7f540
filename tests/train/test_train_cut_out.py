"""A member that was not trained is cut out of the weights of those that were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from learn2compress.core.choice import Choice
from learn2compress.core.member import MemberSpec
from learn2compress.core.progress import SILENT
from learn2compress.graph.channels import find_channels
from learn2compress.graph.input_size import at_size
from learn2compress.graph.slices import Part, slices_from
from learn2compress.graph.surgery import prune
from learn2compress.train.batches import LabelledViews
from learn2compress.train.cut_out import cut_out
from learn2compress.train.recalibration import recalibrate
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.views import Views, ViewSpec


@pytest.fixture(scope="module")
def network() -> Any:
    """A convnet with random weights, batch-norm statistics too."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    x = image = keras.Input((12, 12, 3))
    for number, channels in enumerate((16, 24)):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(layers.BatchNormalization(name=f"norm{number}")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, layers.Dense(3, name="logits")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, w.shape) * rng.choice([-1, 1], w.shape[-1:]) for w in model.get_weights()])
    for layer in model.layers:
        if "norm" in layer.name:
            layer.moving_variance.assign(np.abs(np.asarray(layer.moving_variance)))
    return model


def pruned(network: Any, *kept: list[int]) -> Part:
    channels = find_channels(network)
    choice = {group.index: np.array(units) for group, units in zip(channels.prunable, kept, strict=False)}
    return prune(channels, Choice(choice), "part")


def weights(model: Any) -> dict[str, Any]:
    return {f"{layer.name}/{w.name}": np.asarray(w) for layer in model.layers for w in layer.weights}


def test_matrices_come_from_one_and_vectors_from_another_by_their_positions(network: Any) -> None:
    import keras

    wide = [0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13]
    narrow = [1, 2, 5, 6, 9, 10, 11, 13]
    large, small = pruned(network, wide), pruned(network, narrow)
    expected = weights(small.model)
    kernels, vectors = keras.models.clone_model(large.model), keras.models.clone_model(large.model)
    kernels.set_weights([w if w.ndim > 1 else 0 * w + 7 for w in large.model.get_weights()])
    vectors.set_weights([w if w.ndim == 1 else 0 * w + 7 for w in large.model.get_weights()])
    small.model.set_weights([0 * w for w in small.model.get_weights()])
    slices_from(small, Part(kernels, large.positions), vectors=False)
    slices_from(small, Part(vectors, large.positions), vectors=True)
    for name, values in weights(small.model).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    with pytest.raises(ValueError, match="does not have"):
        slices_from(pruned(network, [0, 3, 4, 5, 6, 7, 8, 9]), small, vectors=False)


def test_recalibrated_statistics_are_the_mean_over_the_batches(network: Any, labelled: LabelledViews) -> None:
    import keras

    model = keras.models.clone_model(network)
    model.set_weights(network.get_weights())
    recalibrate(model, (labelled.batch(number)[0] for number in range(8)))
    first = keras.Model(model.inputs, model.get_layer("conv0").output)
    means = []
    for number in range(8):
        pixels = (labelled.batch(number)[0].astype(np.float32) - 128) / 128
        means.append(np.asarray(first(pixels)).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(np.asarray(model.get_layer("norm0").moving_mean), np.mean(means, axis=0), atol=1e-4)
    assert model.get_layer("norm0").momentum == network.get_layer("norm0").momentum


@pytest.fixture
def labelled(split: Callable[..., Any], counting_teacher: Callable[..., Any], tmp_path: Any) -> LabelledViews:
    views = Views(split(90), ViewSpec(2, (12, 12), 0))
    soft, _ = soft_labels(counting_teacher(), views, 3, tmp_path, SILENT)
    return LabelledViews(views, soft, 32, 0)


def test_a_member_that_is_cut_out_knows_what_its_wider_kin_knows(
    tiny_member: Callable[..., Any], labelled: LabelledViews, split: Callable[..., Any]
) -> None:
    from dataclasses import replace

    from learn2compress.train.family import joint_training
    from learn2compress.train.quantize import predict
    from learn2compress.train.settings import SETTINGS
    from learn2compress.train.trainable import plain

    settings = replace(SETTINGS["students"], batch_size=32, dtype="float32", narrow_share=1.0)
    parts = [Part(tiny_member(16)), Part(tiny_member(4))]
    members, _ = joint_training(
        parts, labelled, SILENT, start="as built", settings=settings, seconds=0, plan_steps=lambda *_: 60
    )
    test = split(60, seed=9)
    untrained = Part(tiny_member(8))
    before = weights(untrained.model)
    found = cut_out(untrained, [Part(plain(members[0]))], labelled)
    assert (predict(found, test, (12, 12)).argmax(axis=1) == test.labels).mean() > 0.8
    for name, values in weights(untrained.model).items():
        np.testing.assert_array_equal(values, before[name], err_msg=name)
    smaller = cut_out(at_size(Part(tiny_member(16)), (8, 8)), [Part(plain(members[0]))], labelled)
    assert (predict(smaller, test, (8, 8)).argmax(axis=1) == test.labels).mean() > 0.8


def test_a_member_that_is_cut_out_of_a_sparse_one_has_no_dense_classifier(
    tiny_member: Callable[..., Any], labelled: LabelledViews
) -> None:
    from dataclasses import replace

    from learn2compress.train.family import joint_training
    from learn2compress.train.settings import SETTINGS
    from learn2compress.train.sparsity import zero_share
    from learn2compress.train.trainable import plain

    settings = replace(SETTINGS["students"], batch_size=32, dtype="float32")
    (member,), _ = joint_training(
        [Part(tiny_member(16))],
        labelled,
        SILENT,
        start="as built",
        settings=settings,
        sparsity=0.9,
        seconds=0,
        plan_steps=lambda *_: 20,
    )
    found = cut_out(Part(tiny_member(8)), [Part(plain(member))], labelled)
    wider, narrower = (np.asarray(model.get_layer("logits").kernel) for model in (member, found))
    assert (wider == 0).mean() > 0.9
    assert (narrower == 0).mean() == pytest.approx((wider == 0).mean(), abs=1 / narrower.size)
    assert narrower.any()
    assert zero_share(found) > 0.8


@pytest.mark.parametrize("end", ["convolution", "no bias"])
def test_a_classifier_that_least_squares_cannot_set_keeps_its_part_of_the_weights(
    end: str, labelled: LabelledViews
) -> None:
    import keras
    from keras import layers

    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(16, 3, activation="relu", name="conv")(image)
    x = layers.GlobalAveragePooling2D(keepdims=end == "convolution", name="pool")(x)
    if end == "convolution":
        x = layers.Flatten(name="flat")(layers.Conv2D(3, 1, name="logits")(x))
    else:
        x = layers.Dense(3, use_bias=False, name="logits")(x)
    whole = Part(keras.Model(image, x))
    found = cut_out(whole, [whole], labelled)
    for name, values in weights(whole.model).items():
        np.testing.assert_array_equal(weights(found)[name], values, err_msg=name)


def test_a_student_of_other_proportions_has_the_kernels_of_the_base_in_its_leading_channels(
    split: Callable[..., Any], counting_teacher: Callable[..., Any], tmp_path: Any
) -> None:
    from learn2compress.students.convnet import base, build_student, uneven

    views = Views(split(64, (24, 24)), ViewSpec(1, (24, 24), 0))
    soft, _ = soft_labels(counting_teacher(), views, 3, tmp_path, SILENT)
    widest = base((24, 24), 1.0)
    spec = min(uneven(widest), key=lambda one: one.channels[1])  # narrow early, wide late
    assert widest.contains(spec)
    assert not spec.contains(widest)
    whole = build_student(widest, 3)
    found = weights(cut_out(Part(build_student(spec, 3)), [Part(whole)], LabelledViews(views, soft, 32, 0)))
    kernels = {name: values for name, values in weights(whole).items() if name in found and "_conv/" in name}
    assert kernels
    for name, values in kernels.items():
        taken = found[name]
        np.testing.assert_array_equal(taken, values[:, :, : taken.shape[2], : taken.shape[3]], err_msg=name)
    assert any(values.shape != found[name].shape for name, values in kernels.items())


def test_what_was_given_back_is_not_cut_out_of_a_member_that_lacks_it() -> None:
    """The trained member took steps 0 and 1; another went further, but has step 1 back."""

    def pruned(removals: int, given_back: tuple[int, ...] = ()) -> MemberSpec:
        return MemberSpec("pruned", "teacher", 1.0, (24, 24), removals=removals, given_back=given_back)

    trained = pruned(2)
    assert trained.contains(pruned(2))
    assert trained.contains(pruned(4))
    assert not trained.contains(pruned(4, (1,)))
    assert pruned(4, (1,)).contains(pruned(4))
    assert pruned(2, (1,)).contains(pruned(4, (1,)))
