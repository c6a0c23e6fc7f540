"""First-order Taylor: by how much the loss would change without a channel, judged by its gradient.

After Molchanov et al., "Importance estimation for neural network pruning" (2019): the squared sum of weight times
gradient, which is what a gate on the channel's output would get.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from learn2compress.graph.blocks import Block
from learn2compress.graph.calls import Call, Graph, kind_of
from learn2compress.graph.channels import Channels
from learn2compress.train.importance.protocol import Batch, Scores, add_along, made_axis, zeros
from learn2compress.train.losses import distillation_loss
from learn2compress.train.trainable import scaled


class GateRecorder(keras.optimizers.Optimizer):
    """Moves nothing, and keeps `weight * gradient` of the last step: gradients in the same way on every backend."""

    def build(self, variables: list[Any]) -> None:
        """Creates one product a variable."""
        if not self.built:
            super().build(variables)
            self.products = [self.add_variable_from_reference(v, name="product") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Keeps one variable's product."""
        product = self.products[self._get_variable_index(variable)]
        self.assign(product, ops.cast(gradient, product.dtype) * ops.cast(variable, product.dtype))


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
        """The scores of channels, and those of removable blocks on the same scale: each as one gate on its branch."""
        # Layers are judged whether or not the user froze them.
        frozen = [layer for layer in channels.graph.layers if not layer.trainable]
        for layer in frozen:
            layer.trainable = True
        judged = DistilledModel(channels.graph.model, 1.0, self.hard)
        recorder = GateRecorder(learning_rate=1.0)
        judged.compile(optimizer=recorder, jit_compile=False)
        scores = zeros(channels)
        ends = {block.name: _last_weighted(channels, block) for block in channels.blocks}
        blocks = {name: 0.0 for name, layer in ends.items() if layer is not None}
        for pixels, labels in batches:
            judged.train_on_batch(pixels, labels)
            found = zip(judged.trainable_variables, recorder.products, strict=True)
            products = {id(variable): np.asarray(product, np.float64) for variable, product in found}
            for layer in channels.graph.layers:
                _add_gates(scores, channels, layer, products)
            for name in blocks:
                found_here = [products[id(w)].sum() for w in ends[name].weights if id(w) in products]
                blocks[name] += float(sum(found_here)) ** 2
        for layer in frozen:
            layer.trainable = False
        return scores, blocks


def _last_weighted(channels: Channels, block: Block) -> Any:
    """The last layer with weights on the way to a block's sum: a gate on it is one on the branch.

    Where gates alone have weights it is the last of theirs, and None where nothing has any.
    """
    graph, producers = channels.graph, channels.graph.producers()
    on_the_way: set[int] = set()
    waiting = [block.output]
    while waiting:
        position = producers.get(waiting.pop())
        if position in block.calls and position not in on_the_way:
            on_the_way.add(position)
            waiting.extend(_carried(graph, graph.calls[position]))
    order = [*sorted(on_the_way, reverse=True), *sorted(block.calls, reverse=True)]
    operations = [graph.calls[position].operation for position in order]
    return next((one for one in operations if isinstance(one, keras.Layer) and one.trainable_variables), None)


def _carried(graph: Graph, call: Call) -> Sequence[int]:
    """The inputs that a call passes on; of a product it is the one that the others are gates on."""
    if kind_of(call.operation) != "Multiply":
        return call.inputs
    # A gate is broadcast. On a map of one pixel it is not, but it is made later than what it is made from.
    whole = [number for number in call.inputs if graph.shapes[number] == graph.shapes[call.outputs[0]]]
    return sorted(whole)[:1] or call.inputs


def _add_gates(scores: Scores, channels: Channels, layer: Any, products: dict[int, Any]) -> None:
    """Adds the squares of a layer's gates: the sums of its products along the axis that makes channels."""
    total, along = None, None
    for (position, axis), units in channels.axes.get(id(layer), {}).items():
        product = products.get(id(layer.weights[position]))
        if product is None or axis != made_axis(layer, product):
            continue
        sums = product.sum(axis=tuple(other for other in range(product.ndim) if other != axis))
        total = sums if total is None else total + sums
        along = units
    if total is not None and along is not None:
        add_along(scores, along, total**2)
