"""Members cut out of random graphs: they compute what the whole model computes, and cost what was foretold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import Input, Model, layers, ops

from learn2compress.core.choice import Choice
from learn2compress.graph.channels import Channels, find_channels
from learn2compress.graph.pruned_cost import pruned_cost
from learn2compress.graph.surgery import prune
from learn2compress.train.sensitivity import agreements

Settle = Callable[[Any, int], Any]
Check = Callable[..., Channels]
SIDE = 8
LONGEST = 5
ACTIVATIONS = ("relu", "gelu", "hard_sigmoid", "tanh", None)


@keras.saving.register_keras_serializable("tests")
class Turned(layers.Layer):
    """The user's own: nobody knows what it does to channels."""

    def call(self, x: Any) -> Any:
        return ops.flip(x, axis=-1)


class _Grower:
    """Grows a graph, one step a call, each from a (n, h, w, c) to another; remembers all for later branches."""

    def __init__(self, seed: int, first: Any) -> None:
        self.rng = np.random.default_rng(seed)
        self.past = [first]

    def grow(self, step: str) -> Any:
        self.past.append(getattr(self, step)(self.past[-1]))
        return self.past[-1]

    def _conv(self, x: Any, channels: int = 0, **more: Any) -> Any:
        size, bias = int(self.rng.integers(1, 4)), bool(self.rng.integers(2))
        arguments = {"kernel_size": size, "padding": "same", "use_bias": bias}
        return layers.Conv2D(channels or int(self.rng.integers(9, 17)), **{**arguments, **more})(x)

    def _earlier(self, x: Any) -> Any:
        """Something of the same size from before."""
        fitting = [t for t in self.past if t.shape[1:3] == x.shape[1:3]]
        return fitting[int(self.rng.integers(len(fitting)))]

    def conv(self, x: Any) -> Any:
        return self._conv(x, activation=ACTIVATIONS[int(self.rng.integers(len(ACTIVATIONS)))])

    def strided(self, x: Any) -> Any:
        return self._conv(x, strides=2) if x.shape[1] >= 4 else self._conv(x)

    def grouped(self, x: Any) -> Any:
        groups, wider = int(self.rng.integers(9, 12)), int(self.rng.integers(1, 3))
        x = self._conv(x, 2 * groups)
        return self._conv(x, 2 * groups * wider, groups=groups)

    def depthwise(self, x: Any) -> Any:
        return layers.DepthwiseConv2D(3, padding="same", depth_multiplier=int(self.rng.integers(1, 3)))(x)

    def separable(self, x: Any) -> Any:
        more = {"depth_multiplier": int(self.rng.integers(1, 3)), "use_bias": bool(self.rng.integers(2))}
        return layers.SeparableConv2D(int(self.rng.integers(9, 13)), 3, padding="same", **more)(x)

    def transposed(self, x: Any) -> Any:
        return layers.Conv2DTranspose(int(self.rng.integers(9, 13)), 3, padding="same")(x)

    def dense(self, x: Any) -> Any:
        return layers.Dense(int(self.rng.integers(9, 13)), activation="relu")(x)

    def batch_norm(self, x: Any) -> Any:
        scale, center = (bool(self.rng.integers(4)) for _ in range(2))
        return layers.ReLU(6.0)(layers.BatchNormalization(scale=scale, center=center)(x))

    def layer_norm(self, x: Any) -> Any:
        return layers.LayerNormalization()(x)

    def group_norm(self, x: Any) -> Any:
        channels = int(x.shape[-1])
        groups = [n for n in range(1, channels + 1) if channels % n == 0 and n != channels]
        return layers.GroupNormalization([-1, *groups][int(self.rng.integers(len(groups) + 1))])(x)

    def prelu(self, x: Any) -> Any:
        return layers.PReLU(shared_axes=[None, [1, 2], [3]][int(self.rng.integers(3))])(x)

    def softmax(self, x: Any) -> Any:
        return layers.Activation("softmax")(x)

    def unknown(self, x: Any) -> Any:
        return Turned()(x)

    def sliced(self, x: Any) -> Any:
        return self._conv(x, 12)[..., 1:]

    def pool(self, x: Any) -> Any:
        if x.shape[1] < 4:
            return layers.UpSampling2D(2)(x)
        kind = (layers.MaxPooling2D, layers.AveragePooling2D)[int(self.rng.integers(2))]
        return kind(3, strides=2, padding="same")(layers.ZeroPadding2D(((0, 1), (1, 0)))(x))

    def residual(self, x: Any) -> Any:
        return layers.Add()([x, self._conv(self.batch_norm(self._conv(x)), int(x.shape[-1]))])

    def operators(self, x: Any) -> Any:
        y = self._conv(x, int(x.shape[-1]))
        return ops.relu(x * 0.5 + y) - y / (2.0 + ops.abs(x))

    def merge(self, x: Any) -> Any:
        kind = (layers.Multiply, layers.Average, layers.Maximum, layers.Subtract)[int(self.rng.integers(4))]
        return kind()([x, self._conv(self._earlier(x), int(x.shape[-1]))])

    def concatenate(self, x: Any) -> Any:
        return layers.Concatenate()([self._conv(x), self._earlier(x), x])

    def concatenate_and_add(self, x: Any) -> Any:
        both = layers.Concatenate()([self._conv(x), self._conv(self._earlier(x))])
        return layers.Add()([both, self._conv(x, int(both.shape[-1]))])

    def squeeze_excite(self, x: Any) -> Any:
        count, keepdims = int(x.shape[-1]), bool(self.rng.integers(2))
        s = layers.GlobalAveragePooling2D(keepdims=keepdims)(x)
        s = s if keepdims else layers.Reshape((1, 1, count))(s)
        s = self._conv(s, 10, activation="relu")
        return layers.Multiply()([x, self._conv(s, count, activation="sigmoid")])

    def attention_map(self, x: Any) -> Any:
        return layers.Multiply()([x, self._conv(x, 1, activation="sigmoid")])

    def shared(self, x: Any) -> Any:
        again = layers.Conv2D(12, 3, padding="same", activation="tanh")
        return again(layers.ReLU()(again(self._conv(x, 12))))

    def _nested(self, x: Any, times: int) -> Any:
        inside = Input((None, None, 12))
        inner = Model(inside, self._conv(self.batch_norm(self._conv(inside)), 12))
        x = self._conv(x, 12)
        for _ in range(times):
            x = inner(x)
        return x

    def nested(self, x: Any) -> Any:
        return self._nested(x, 1)

    def nested_twice(self, x: Any) -> Any:
        return self._nested(x, 2)

    def reshaped(self, x: Any) -> Any:
        """Two pixels to one, or one to two."""
        _, height, width, count = x.shape
        if self.rng.integers(2) and count % 2 == 0:
            return layers.Reshape((2 * height, width, count // 2))(x)
        return layers.Reshape((height, -1, count * width))(x)

    def flattened(self, x: Any) -> Any:
        x = layers.Flatten()(layers.AveragePooling2D(x.shape[1:3])(x) if x.shape[1] > 4 else x)
        x = layers.Dense(int(self.rng.integers(9, 17)), activation="relu")(x)
        return layers.Reshape((2, 2, 12))(layers.Dense(48)(x))


STEPS = tuple(name for name in vars(_Grower) if not name.startswith("_") and name != "grow")


def grown(steps: Sequence[str], seed: int) -> Any:
    image = Input((SIDE, SIDE, 3))
    grower = _Grower(seed, layers.Conv2D(12, 3, padding="same")(image))
    for step in steps:
        grower.grow(step)
    x = grower.past[-1]
    x = layers.Flatten()(x) if seed % 2 and x.shape[1] <= 4 else layers.GlobalAveragePooling2D()(x)
    return Model(image, [layers.Dense(4)(layers.Dense(12, activation="relu")(x)), layers.Dense(2)(x)])


def images(seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, (3, SIDE, SIDE, 3)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=LONGEST), seed=st.integers(0, 2**16))
def test_any_graph_can_be_cut(settle: Settle, check_pruning: Check, steps: list[str], seed: int) -> None:
    check_pruning(settle(grown(steps, seed), seed), images(seed), seed)


@pytest.mark.parametrize("step", STEPS)
def test_each_kind_of_step_can_be_cut_between_convolutions(settle: Settle, check_pruning: Check, step: str) -> None:
    for seed in range(2):
        channels = check_pruning(settle(grown(["conv", step, "conv"], seed), seed), images(seed), seed)
        assert len(channels.prunable) >= 2


@settings(max_examples=10, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=2), seed=st.integers(0, 2**16))
def test_silencing_channels_of_any_graph_leaves_its_weights_as_they_were(
    settle: Settle, steps: list[str], seed: int
) -> None:
    # The first step ties what a kernel makes to what it takes: it is silenced along two axes.
    model = settle(grown(["operators", *steps], seed), seed)
    channels = find_channels(Model(model.inputs[0], model.outputs[0]))
    channels.graph.model.run_eagerly = True
    before = [np.array(weight) for weight in model.get_weights()]
    rng = np.random.default_rng(seed)
    scores = {group.index: rng.random(group.size) for group in channels.prunable}
    agreements(channels, scores, rng.integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8))
    for then, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(then, now)


def small() -> Any:
    """A block, a flattened map and a classifier, with names."""
    image = Input((SIDE, SIDE, 3), name="image")
    x = layers.Conv2D(12, 3, strides=2, padding="same", name="stem")(image)
    y = layers.BatchNormalization(name="norm")(layers.Conv2D(16, 3, padding="same", name="inner")(x))
    x = layers.Add(name="add")([x, layers.Conv2D(12, 1, name="last")(layers.ReLU(name="relu")(y))])
    x = layers.Dense(10, name="hidden")(layers.Flatten(name="flat")(x))
    return Model(image, layers.Dense(4, name="logits")(x), name="whole")


def index_of(channels: Channels, name: str) -> int:
    return next(g.index for g in channels.groups if g.name == name)


def test_a_cut_reaches_every_weight_that_holds_the_channel() -> None:
    channels = find_channels(small())
    stream, inside = index_of(channels, "stem"), index_of(channels, "inner")
    choice = Choice({stream: np.arange(4, 12), inside: np.arange(0, 16, 2)})
    pruned = prune(channels, choice, "narrow")
    shapes = {layer.name: [tuple(w.shape) for w in layer.weights] for layer in pruned.model.layers if layer.weights}
    assert shapes == {
        "stem": [(3, 3, 3, 8), (8,)],
        "inner": [(3, 3, 8, 8), (8,)],
        "norm": [(8,)] * 4,
        "last": [(1, 1, 8, 8), (8,)],
        "hidden": [(4 * 4 * 8, 10), (10,)],
        "logits": [(10, 4), (4,)],
    }
    assert pruned.model.name == "narrow"
    kernel = pruned.positions["inner"][0]
    assert kernel[:2] == [None, None]
    np.testing.assert_array_equal(kernel[2], np.arange(4, 12))
    np.testing.assert_array_equal(kernel[3], np.arange(0, 16, 2))
    assert pruned.positions["logits"] == [[None, None], [None]]


def test_costs_are_what_one_counts_by_hand() -> None:
    channels = find_channels(small())
    choice = Choice({index_of(channels, "stem"): np.arange(8), index_of(channels, "inner"): np.arange(10)})
    weights = [3 * 3 * 3 * 8, 3 * 3 * 8 * 10, 10 * 8, 16 * 8 * 10, 10 * 4]
    assert pruned_cost(channels, choice).macs == 4 * 4 * sum(weights[:3]) + sum(weights[3:])
    assert prune(channels, choice).model.count_params() == sum(weights) + (8 + 10 + 8 + 10 + 4) + 4 * 10
    without = Choice(choice.kept, frozenset(["add"]))
    assert pruned_cost(channels, without).macs == 4 * 4 * weights[0] + sum(weights[3:])
    assert prune(channels, without).model.count_params() == weights[0] + sum(weights[3:]) + 8 + 10 + 4


def test_cutting_channels_that_matter_changes_the_outputs(settle: Settle) -> None:
    model = settle(small(), 1)
    channels = find_channels(model)
    whole = np.asarray(model(images()))
    for group in channels.prunable:
        member = prune(channels, Choice({group.index: np.arange(8)})).model
        assert np.abs(np.asarray(member(images())) - whole).max() > 1e-2


# For each: units kept of a group, or a removed block, and what is wrong with it.
ILLEGAL: dict[str, tuple[Callable[[Channels], Choice], str]] = {
    "unknown block": (lambda c: Choice(removed=frozenset(["add", "other"])), "no removable blocks: other"),
    "unknown group": (lambda c: Choice({len(c.groups): np.arange(8)}), "there is no group"),
    "the held group": (lambda c: Choice({-1: np.arange(8)}), "there is no group -1"),
    "falling": (lambda c: Choice({index_of(c, "stem"): np.arange(9)[::-1]}), "no ascending part of 0..11"),
    "twice the same": (lambda c: Choice({index_of(c, "stem"): np.repeat(np.arange(8), 2)}), "no ascending part"),
    "too high": (lambda c: Choice({index_of(c, "stem"): np.arange(4, 13)}), "no ascending part"),
    "negative": (lambda c: Choice({index_of(c, "stem"): np.arange(-1, 9)}), "no ascending part"),
    "held": (lambda c: Choice({index_of(c, "logits"): np.arange(3)}), "logits can't be narrowed: the model's output"),
    "few": (lambda c: Choice({index_of(c, "hidden"): np.arange(7)}), "would keep 7 channels; the fewest are 8"),
    "none": (lambda c: Choice({index_of(c, "hidden"): np.arange(0)}), "would keep 0 channels"),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_an_illegal_choice_is_refused_with_the_reason(case: str) -> None:
    make, reason = ILLEGAL[case]
    channels = find_channels(small())
    with pytest.raises(ValueError, match=reason):
        prune(channels, make(channels))


def test_a_held_group_may_be_named_when_it_is_whole() -> None:
    channels = find_channels(small())
    whole = Choice({group.index: np.arange(group.size) for group in channels.groups})
    assert prune(channels, whole).model.count_params() == prune(channels, Choice()).model.count_params()


def test_the_whole_model_is_not_changed_by_a_members_training(settle: Settle) -> None:
    model = settle(small(), 1)
    before = model.get_weights()
    names = [layer.name for layer in model.layers]
    channels = find_channels(model)
    member = prune(channels, Choice({index_of(channels, "stem"): np.arange(8)}))
    for variable in member.model.weights:
        variable.assign(variable + 1)
    assert [layer.name for layer in model.layers] == names
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_what_the_user_froze_can_be_trained_in_a_member(settle: Settle) -> None:
    free = prune(find_channels(small()), Choice()).model
    model = settle(small(), 1)
    for layer in model.layers:
        layer.trainable = False
    channels = find_channels(model)
    member = prune(channels, Choice()).model
    assert len(member.trainable_variables) == len(free.trainable_variables)
    np.testing.assert_array_equal(np.asarray(member(images())), np.asarray(model(images())))


def test_an_adapted_normalization_keeps_what_it_learnt(settle: Settle) -> None:
    image = Input((SIDE, SIDE, 3))
    learnt = layers.Normalization()
    x = layers.Conv2D(12, 3)(learnt(image))
    model = settle(Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x))), 1)
    learnt.adapt(5 + 3 * images())
    member = prune(find_channels(model), Choice()).model
    np.testing.assert_array_equal(np.asarray(member(images())), np.asarray(model(images())))


def test_layers_that_start_from_arrays_can_be_cut(settle: Settle, check_pruning: Check) -> None:
    image = Input((SIDE, SIDE, 3))
    start = keras.initializers.Constant(np.linspace(0, 1, 12).tolist())
    x = layers.Conv2D(12, 3, bias_initializer=start)(image)
    model = settle(Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x))), 1)
    assert check_pruning(model, images()).prunable


def test_several_inputs_and_outputs_stay_in_order(settle: Settle, check_pruning: Check) -> None:
    one, other = Input((SIDE, SIDE, 3), name="one"), Input((SIDE, SIDE, 1), name="other")
    x, y = layers.Conv2D(12, 3)(one), layers.Conv2D(12, 3)(other)
    pooled = layers.GlobalAveragePooling2D()(layers.Add()([x, y]))
    model = settle(Model([other, one], [layers.Dense(2)(pooled), layers.Dense(5)(pooled)]), 1)
    check_pruning(model, [images()[..., :1], images()])


@pytest.mark.parametrize("steps", [["operators", "squeeze_excite"], ["grouped", "nested_twice", "group_norm"]])
def test_a_member_can_be_saved_and_read_again(settle: Settle, tmp_path: Path, steps: list[str]) -> None:
    channels = find_channels(settle(grown(steps, 1), 1))
    member = prune(channels, Choice({group.index: np.arange(8) for group in channels.prunable})).model
    member.save(tmp_path / "member.keras")
    again = keras.models.load_model(tmp_path / "member.keras")
    for got, expected in zip(again(images()), member(images()), strict=True):
        np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=0, atol=1e-6)
