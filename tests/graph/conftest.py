"""Random functional graphs with settled batch norms, small residual teachers, and what pruning must never break."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES = 4


class _Graph:
    """Grows a functional graph, one step a call; every step takes and gives (n, h, w, c)."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def _conv(self, x: Any, channels: int = 0, **more: Any) -> Any:
        from keras import layers

        channels = channels or int(self.rng.integers(2, 7))
        arguments = {
            "kernel_size": int(self.rng.integers(1, 4)),
            "padding": "same",
            "use_bias": bool(self.rng.integers(2)),
        }
        return layers.Conv2D(channels, **{**arguments, **more})(x)

    def _norm(self, x: Any) -> Any:
        from keras import layers

        scale, center = (bool(self.rng.integers(4)) for _ in range(2))
        return layers.BatchNormalization(scale=scale, center=center, epsilon=10 ** -self.rng.uniform(2, 5))(x)

    def conv(self, x: Any) -> Any:
        return self._norm(self._conv(x))

    def conv_relu(self, x: Any) -> Any:
        from keras import layers

        return layers.ReLU(6.0)(self._norm(self._conv(x)))

    def dilated(self, x: Any) -> Any:
        return self._norm(self._conv(x, dilation_rate=2))

    def strided(self, x: Any) -> Any:
        from keras import layers

        if x.shape[1] < 4:
            return self.conv(x)
        x = layers.ZeroPadding2D(((0, 1), (1, 0)))(x)
        return self._norm(layers.Conv2D(4, 3, strides=2, use_bias=False)(x))

    def norm_after_activation(self, x: Any) -> Any:
        return self._norm(self._conv(x, activation="relu"))

    def depthwise(self, x: Any) -> Any:
        from keras import layers

        multiplier = int(self.rng.integers(1, 3))
        return self._norm(layers.DepthwiseConv2D(3, padding="same", depth_multiplier=multiplier)(x))

    def pixelwise_dense(self, x: Any) -> Any:
        from keras import layers

        return self._norm(layers.Dense(5)(x))

    def lone_norm(self, x: Any) -> Any:
        return self._norm(x)

    def two_norms(self, x: Any) -> Any:
        return self._norm(self._norm(self._conv(x)))

    def norm_and_bypass(self, x: Any) -> Any:
        """The convolution has two users: folding the norm into it would change the other."""
        from keras import layers

        x = self._conv(x)
        return layers.Add()([x, self._norm(x)])

    def residual(self, x: Any) -> Any:
        from keras import layers

        y = self._norm(self._conv(x, x.shape[-1]))
        return layers.Activation("relu")(layers.Add()([x, y]))

    def branches(self, x: Any) -> Any:
        """Twice the same shape: a mix-up of the two would go through."""
        from keras import layers

        one, other = (self._norm(self._conv(x, 3, kernel_size=3)) for _ in range(2))
        return layers.Concatenate()([other, one])

    def pool(self, x: Any) -> Any:
        from keras import layers

        if x.shape[1] < 4:
            return x
        kind = (layers.MaxPooling2D, layers.AveragePooling2D)[int(self.rng.integers(2))]
        return kind(2)(x)

    def pooled_norm(self, x: Any) -> Any:
        """Of random sign: the norm may move through the pool, or may not."""
        from keras import layers

        x = layers.MaxPooling2D(2, padding="same")(self._conv(x))
        return layers.ReLU(6.0)(self._norm(x)) if self.rng.integers(2) else self._norm(x)

    def dropped(self, x: Any) -> Any:
        from keras import layers

        return self._norm(layers.Dropout(0.3)(self._conv(x)))


STEPS = tuple(name for name in vars(_Graph) if not name.startswith("_"))


@pytest.fixture(scope="session")
def settle() -> Callable[[Any, int], Any]:
    """Gives every weight a random value, as training would; variances are positive."""

    def give(model: Any, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        for layer in model.layers:
            for weight in layer.weights:
                if weight.name.endswith("variance"):
                    weight.assign(rng.uniform(0.05, 3, weight.shape))
                elif weight.name in ("gamma", "moving_mean", "beta", "bias", "alpha", "embeddings"):
                    weight.assign(rng.normal(0, 1, weight.shape))
                elif "kernel" in weight.name:
                    fan_in = max(1, int(np.prod(weight.shape[:-1])))
                    weight.assign(rng.normal(0, fan_in**-0.5, weight.shape))
        return model

    return give


@pytest.fixture(scope="session")
def random_graph(settle: Callable[[Any, int], Any]) -> Callable[[Sequence[str], int], Any]:
    """A graph of the given steps, then pooling, a dense layer with a batch norm, and logits."""
    from keras import Input, Model, layers

    def make(steps: Sequence[str], seed: int) -> Any:
        grow = _Graph(seed)
        image = Input((10, 9, 3))
        x = image
        for step in steps:
            x = getattr(grow, step)(x)
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(6)(x)))
        return settle(Model(image, layers.Dense(CLASSES)(x)), seed)

    return make


@pytest.fixture(scope="session")
def graph_steps() -> tuple[str, ...]:
    return STEPS


@pytest.fixture(scope="session")
def residual_teacher(settle: Callable[[Any, int], Any]) -> Callable[..., Any]:
    """A small residual classifier: `front` layers, a stem, a block, a strided convolution, a block, a head.

    Without padding ("valid"), its features have no rim that zeros touched.
    """
    from keras import Input, Model, layers

    def make(front: Sequence[Any] = (), padding: str = "valid", size: int = 20) -> Any:
        def block(x: Any, name: str) -> Any:
            y = layers.Conv2D(8, 1, use_bias=False, name=f"{name}_a")(x)
            y = layers.ReLU(name=f"{name}_a_relu")(layers.BatchNormalization(name=f"{name}_a_bn")(y))
            y = layers.BatchNormalization(name=f"{name}_b_bn")(layers.Conv2D(8, 1, name=f"{name}_b")(y))
            return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))

        image = Input((size, size, 3), name="image")
        x = image
        for layer in front:
            x = layer(x)
        x = layers.Conv2D(8, 3, padding=padding, use_bias=False, name="stem")(x)
        x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
        x = block(x, "one")
        x = layers.Conv2D(8, 3, strides=2, padding=padding, name="down")(x)
        x = layers.ReLU(6.0, name="down_relu")(layers.BatchNormalization(name="down_bn")(x))
        x = block(x, "two")
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(CLASSES, activation="softmax", name="probabilities")(layers.Dropout(0.2)(x))
        return settle(Model(image, x), 5)

    return make


def _summed_axis(layer: Any, weight: Any) -> int | None:
    """The axis of a kernel over which it sums what it takes."""
    kind = type(layer).__name__
    if weight.name not in ("kernel", "pointwise_kernel") or kind.startswith("Depthwise"):
        return None
    return len(weight.shape) - (1 if kind.endswith("Transpose") else 2)


def _silence(channels: Any, choice: Any) -> None:
    """Zeroes, in the whole model, the weights that take what a choice drops."""
    for layer in channels.graph.layers:
        for (position, axis), units in channels.axes.get(id(layer), {}).items():
            weight = layer.weights[position]
            if axis == _summed_axis(layer, weight):
                values = np.asarray(weight).copy()
                dropped = np.setdiff1d(np.arange(values.shape[axis]), channels.kept_along(units, choice))
                np.moveaxis(values, axis, 0)[dropped] = 0
                weight.assign(values)


def _some_choice(channels: Any, rng: np.random.Generator, exact: bool) -> Any:
    """Some units of each group that can be narrowed; without some blocks unless it has to be exact."""
    from learn2compress.core.choice import Choice

    kept = {
        group.index: np.sort(rng.choice(group.size, rng.integers(group.fewest, group.size), replace=False))
        for group in channels.prunable
        if group.exact or not exact
    }
    return Choice(kept, frozenset(b.name for b in channels.blocks if not exact and rng.integers(2)))


def _outputs(model: Any, inputs: Any) -> list[Any]:
    import keras

    return [np.asarray(output) for output in keras.tree.flatten(model(inputs, training=False))]


def _assert_outputs(model: Any, inputs: Any, expected: list[Any], tolerance: float) -> None:
    for got, wanted in zip(_outputs(model, inputs), expected, strict=True):
        assert np.isfinite(wanted).all()
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * max(1.0, float(np.abs(wanted).max())))


def _assert_costs(channels: Any, choice: Any, model: Any) -> None:
    from learn2compress.graph.cost import model_cost
    from learn2compress.graph.pruned_cost import pruned_cost

    assert pruned_cost(channels, choice) == model_cost(model)


def _assert_slices(channels: Any, pruned: Any) -> None:
    """The member's weights are the slices of the whole model's that `indices` names."""
    layers = {channels.graph.layer_names[id(layer)]: layer for layer in channels.graph.layers}
    for layer in pruned.model.layers:
        for weight, whole, axes in zip(
            layer.weights,
            getattr(layers.get(layer.name), "weights", ()),
            pruned.positions.get(layer.name, ()),
            strict=True,
        ):
            places = [np.arange(n) if kept is None else kept for n, kept in zip(whole.shape, axes, strict=True)]
            np.testing.assert_array_equal(np.asarray(weight), np.asarray(whole)[np.ix_(*places)])


# What gives nothing where it takes nothing.
_PASSING = ("Activation", "Dropout", "Identity", "StochasticDepth")
_SILENCED = ("BatchNormalization", "Conv2D", "Dense", "LayerScale")


def _last_layer(graph: Any, block: Any) -> Any:
    """The layer that alone makes what a block's branch adds, if zeros as its weights make it nothing; else None."""
    from learn2compress.graph.calls import kind_of
    from learn2compress.graph.walk import activation_name

    producers = graph.producers()
    (number,) = {*graph.calls[producers[block.output]].inputs} - {block.shortcut}
    while producers.get(number) in block.calls:
        call = graph.calls[producers[number]]
        layer, linear = call.operation, activation_name(call.operation) in (None, "linear")
        if kind_of(layer) not in _PASSING or not linear:
            once = sum(other.operation is layer for other in graph.calls) == 1
            scales = kind_of(layer) != "BatchNormalization" or layer.gamma is not None
            return layer if kind_of(layer) in _SILENCED and linear and once and scales else None
        number = call.inputs[0]
    return None


def _assert_blocks(channels: Any, inputs: Any, names: Iterable[str]) -> None:
    """Without branches that add nothing, the outputs are the same; leaves the weights as they were."""
    from learn2compress.core.choice import Choice
    from learn2compress.graph.surgery import prune

    last = {name: _last_layer(channels.graph, channels.block(name)) for name in names}
    removed = frozenset(name for name, layer in last.items() if layer is not None)
    if not removed:
        return
    weights = [w for name in removed for w in last[name].weights if not w.path.endswith("moving_variance")]
    before = [np.asarray(weight).copy() for weight in weights]
    for weight in weights:
        weight.assign(0 * weight)
    silenced = _outputs(channels.graph.model, inputs)
    _assert_outputs(prune(channels, Choice(removed=removed)).model, inputs, silenced, 1e-5)
    for weight, value in zip(weights, before, strict=True):
        weight.assign(value)


@pytest.fixture(scope="session")
def check_pruning() -> Callable[..., Any]:
    """Checks what must hold for every model; changes its weights. Returns its channels."""
    from learn2compress.core.choice import Choice
    from learn2compress.graph.channels import find_channels
    from learn2compress.graph.surgery import prune

    def check(model: Any, inputs: Any, seed: int = 0) -> Any:
        rng = np.random.default_rng(seed)
        channels = find_channels(model)
        before = _outputs(model, inputs)
        same = prune(channels, Choice())
        _assert_outputs(same.model, inputs, before, 1e-5)
        _assert_costs(channels, Choice(), same.model)
        _assert_costs(channels, Choice(), model)
        any_choice = _some_choice(channels, rng, exact=False)
        member = prune(channels, any_choice)
        found = _outputs(member.model, inputs)
        assert [got.shape for got in found] == [output.shape for output in before]
        assert all(np.isfinite(got).all() for got in found)
        _assert_costs(channels, any_choice, member.model)
        _assert_slices(channels, member)
        _assert_blocks(channels, inputs, any_choice.removed or [block.name for block in channels.blocks])
        exact_choice = _some_choice(channels, rng, exact=True)
        _silence(channels, exact_choice)
        _assert_outputs(prune(channels, exact_choice).model, inputs, _outputs(model, inputs), 1e-4)
        return channels

    return check
