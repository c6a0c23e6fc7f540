"""First-order Taylor: by how much the loss would change without a channel, judged by its gradient.

After Molchanov et al., "Importance estimation for neural network pruning" (2019): the squared sum of weight times
gradient, which is what a gate on the channel's output would get.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from learn2compress.graph.blocks import Block
from learn2compress.graph.calls import Call, Graph, kind_of
from learn2compress.graph.channels import AxisUnits, Channels
from learn2compress.graph.walk import activation_name
from learn2compress.train.importance.protocol import Batch, Scores, add_along, made_axis, zeros
from learn2compress.train.losses import distillation_loss
from learn2compress.train.trainable import scaled

# For `id(variable)`, the gradient of the loss with respect to it.
Gradients = dict[int, NDArray[np.float64]]
# They divide an example by a size of its own. However large what goes in, the same comes out, and the weights before
# say nothing of how much it matters.
NORMS_BY_EXAMPLE = ("GroupNormalization", "LayerNormalization", "UnitNormalization")
# Layers and operations that give shares, which something else is multiplied by; and their names as activations.
SHARES = ("HardSigmoid", "Sigmoid", "Softmax", "hard_sigmoid", "sigmoid", "softmax")


class GradientRecorder(keras.optimizers.Optimizer):
    """Moves nothing, and keeps the gradients of the last step: in the same way on every backend."""

    def build(self, variables: list[Any]) -> None:
        """Creates a place for each variable's gradient."""
        if not self.built:
            super().build(variables)
            self.recorded = [self.add_variable_from_reference(v, name="recorded") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Keeps one variable's gradient."""
        recorded = self.recorded[self._get_variable_index(variable)]
        self.assign(recorded, ops.cast(gradient, recorded.dtype))


class DistilledModel(keras.Model):
    """The model under the loss that members are trained with; batch norm stays as it is."""

    def __init__(self, inner: keras.Model, temperature: float, hard: float) -> None:
        super().__init__()
        self.inner, self.temperature, self.hard = inner, temperature, hard

    def call(self, pixels: Any) -> Any:
        """uint8 (n, h, w, 3) -> logits (n, classes)."""
        return self.inner(scaled(pixels), training=False)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """See `distillation_loss`."""
        labels, teacher = y
        return distillation_loss(y_pred, labels, teacher, self.temperature, self.hard)


class Taylor:
    """The squared sum of weight times gradient over what makes a channel, summed over batches.

    Args:
        hard: share of the ground truth in the loss; a teacher is at the minimum of its own soft labels, where the
            gradient says nothing.
    """

    name = "Taylor"
    needs_data = True
    comparable = True

    def __init__(self, hard: float = 1.0) -> None:
        self.hard = hard

    def __call__(self, channels: Channels, batches: Iterator[Batch]) -> Scores:
        """See `Importance`."""
        return self.with_blocks(channels, batches)[0]

    def with_blocks(self, channels: Channels, batches: Iterator[Batch]) -> tuple[Scores, dict[str, float]]:
        """The scores of channels, and those of removable blocks on the same scale: each as one gate on its branch.

        A block of which no weights say how much it matters has no score.
        """
        scores = zeros(channels)
        with _all_trainable(channels.graph.layers):
            ends = {block.name: _ends(channels, block) for block in channels.blocks}
            blocks = {name: 0.0 for name, layers in ends.items() if layers}
            judged = DistilledModel(channels.graph.model, 1.0, self.hard)
            recorder = GradientRecorder(learning_rate=1.0)
            judged.compile(optimizer=recorder, jit_compile=False)
            for pixels, labels in batches:
                judged.train_on_batch(pixels, labels)
                found = zip(judged.trainable_variables, recorder.recorded, strict=True)
                gradients = {id(variable): np.asarray(gradient, np.float64) for variable, gradient in found}
                for layer in channels.graph.layers:
                    _add_gates(scores, channels, layer, gradients)
                for name in blocks:
                    blocks[name] += sum(_gate(end, gradients) for end in ends[name]) ** 2
        return scores, blocks


@contextmanager
def _all_trainable(layers: Sequence[keras.Layer]) -> Iterator[None]:
    """Layers are judged whether or not the user froze them; afterwards they are as they were."""
    frozen = [layer for layer in layers if not layer.trainable]
    try:
        for layer in frozen:
            layer.trainable = True
        yield
    finally:
        for layer in frozen:
            layer.trainable = False


def _ends(channels: Channels, block: Block) -> list[keras.Layer]:
    """The last layers with weights on every way to a block's sum: gates on all of them are one on the branch.

    A batch norm without scale is among them, with what comes before it. Where gates alone have weights it is the last
    of theirs, and none where nothing has any, or where the weights say nothing.
    """
    graph, producers = channels.graph, channels.graph.producers()
    ends: list[keras.Layer] = []
    seen: set[int] = set()
    waiting = [block.output]
    while waiting:
        position = producers.get(waiting.pop())
        if position not in block.calls or position in seen:
            continue
        seen.add(position)
        call = graph.calls[position]
        if _is_plain(call.operation, *NORMS_BY_EXAMPLE):
            return []
        scales = _scales(call.operation)
        if scales or _is_plain(call.operation, "BatchNormalization"):
            ends.append(call.operation)
        if not scales:
            waiting.extend(_carried(graph, producers, call))
    if any(_scales(end) for end in ends):
        return list({id(end): end for end in ends}.values())
    operations = [graph.calls[position].operation for position in sorted(block.calls, reverse=True)]
    return [one for one in operations if _scales(one)][:1]


def _is_plain(operation: Any, *norms: str) -> bool:
    """Whether it is one of these norms and scales nothing by weights."""
    return kind_of(operation) in norms and getattr(operation, "gamma", None) is None


def _scales(operation: Any) -> bool:
    """Whether all that an operation gives is scaled by its weights: a PReLU scales the negative half alone."""
    if kind_of(operation) == "PReLU" or _is_plain(operation, "BatchNormalization", *NORMS_BY_EXAMPLE):
        return False
    return isinstance(operation, keras.Layer) and bool(operation.trainable_variables)


def _carried(graph: Graph, producers: Mapping[int, int], call: Call) -> Sequence[int]:
    """The inputs that a call passes on; of a product it is the one that the others are gates on."""
    if kind_of(call.operation) != "Multiply":
        return call.inputs
    # A gate is broadcast, as a rule. Where it is not it is a share, or made later than what it is made from.
    whole = sorted(number for number in call.inputs if graph.shapes[number] == graph.shapes[call.outputs[0]])
    made = [number for number in whole if not (number in producers and _shares(graph.calls[producers[number]]))]
    return (made or whole)[:1] or call.inputs


def _shares(call: Call) -> bool:
    """Whether a call gives shares."""
    return kind_of(call.operation) in SHARES or activation_name(call.operation) in SHARES


def _gate(layer: Any, gradients: Gradients) -> float:
    """What a gate on all that a layer gives would get."""
    if _is_plain(layer, "BatchNormalization"):
        # The layer before has a gate on what is scaled; there remains what is added. Without beta, the gradient of
        # that is unknown, and the mean is left out.
        gradient = gradients.get(id(layer.beta))
        return 0.0 if gradient is None else float((gradient * _added(layer)).sum())
    # Of kernels one behind the other, as in attention and in separable convolutions, the last: one gate, not several.
    first = getattr(layer, "depthwise_kernel", None)
    weights = getattr(layer, "_output_dense", layer).weights
    products = [_product(weight, gradients) for weight in weights if weight is not first]
    return float(sum(product.sum() for product in products if product is not None))


def _added(norm: Any) -> NDArray[np.float64]:
    """What a batch norm without scale adds to what it divides."""
    beta, mean, variance = (
        np.asarray(weight, np.float64) for weight in (norm.beta, norm.moving_mean, norm.moving_variance)
    )
    return beta - mean / np.sqrt(variance + norm.epsilon)


def _product(weight: Any, gradients: Gradients) -> NDArray[np.float64] | None:
    """Weight times gradient; None where it has none."""
    gradient = gradients.get(id(weight))
    return None if gradient is None else gradient * np.asarray(weight, np.float64)


def _add_gates(scores: Scores, channels: Channels, layer: Any, gradients: Gradients) -> None:
    """Adds the squares of a layer's gates: the sums of its products by the channel that it makes."""
    total, along = None, None
    for (position, axis), units in channels.axes.get(id(layer), {}).items():
        product = _product(layer.weights[position], gradients)
        made = None if product is None else _made(layer, product, axis, units)
        if made is not None:
            sums, along = made
            total = sums if total is None else total + sums
    if total is not None and along is not None:
        add_along(scores, along, total**2)


def _made(
    layer: Any, product: NDArray[np.float64], axis: int, units: AxisUnits
) -> tuple[NDArray[np.float64], AxisUnits] | None:
    """A product summed up for each channel that the layer makes, and what these are; None along another axis."""
    if type(layer).__name__.startswith("Depthwise") and product.ndim > 1:
        # (h, w, in, multiplier): so many channels in a row are made of each.
        *space, _, multiplier = range(product.ndim)
        again = product.shape[multiplier]
        repeated = AxisUnits(np.repeat(units.group, again), np.repeat(units.unit, again))
        return product.sum(axis=tuple(space)).ravel(), repeated
    if axis != made_axis(layer, product):
        return None
    return product.sum(axis=tuple(other for other in range(product.ndim) if other != axis)), units
