"""Mixed precision: which tensors of a fake-quantized member cost the most by being rounded, by trying each.

Where there are many tensors, those go first whose rounding is coarsest beside what their channels hold. Of these one
at a time is left unrounded, and it is measured how much nearer the outputs come to those of the same weights without
any rounding. The worst are kept in float32, one after the other, until the loss is small enough.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.graph import walk
from learn2compress.train.fake_quant import QuantActivation, computed_in_float, fake_quantize, is_rounded

# More of a member in float32 than this is no int8 member any more.
MOST_WIDE = 4
# So many tensors are tried alone; a step of rounding says beforehand which are worth it.
TRIED_ALONE = 12
STATISTICS_IMAGES = 16
# After the first, only so many of those that hurt most alone are tried together with what is kept.
TRIED_TOGETHER = 6
# Of the time there is, for the tensors alone.
ALONE_SHARE = 0.6
BATCH = 64
SUFFIX = "_quant"
Recall = Callable[[str, Callable[[], Any]], Any]
# What the converter gives the scale of their input where they are given none.
FOLLOW_THEIR_INPUT = ("GlobalAveragePooling2D", "Concatenate")


@dataclass(frozen=True)
class Sensitivity:
    """What one tensor's rounding costs.

    Attributes:
        layer: whose output it is.
        distance: share of the distance to the unrounded outputs that goes when this tensor alone is not rounded.
        accuracy: fraction of the images that are right again when this tensor alone is not rounded.
    """

    layer: str
    distance: float
    accuracy: float


@dataclass(frozen=True)
class Widened:
    """What a search found.

    Attributes:
        kept: names of the layers whose outputs stay in float32, the most harmful first; may be empty.
        model: the fake-quantized member without their rounding; logits.
        loss: what it still loses.
        sensitivities: of every tensor that was tried, the most harmful first.
    """

    kept: tuple[str, ...]
    model: keras.Model
    loss: float
    sensitivities: tuple[Sensitivity, ...]


def rounded_tensors(quantized: keras.Model) -> list[str]:
    """Names of the layers whose outputs are rounded in a range of their own; the pixels are none."""
    found = [layer for layer in quantized.layers if isinstance(layer, QuantActivation) and layer.fixed is None]
    return [layer.name.removesuffix(SUFFIX) for layer in found]


def widened(quantized: keras.Model, template: keras.Model, wide: Collection[str]) -> keras.Model:
    """A copy of a trained fake-quantized member in which some layers' outputs are not rounded.

    Args:
        quantized: the trained member.
        template: the folded graph that it was made from.
        wide: names of these layers.
    """
    model = fake_quantize(template, _closed(template, wide))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(quantized.get_layer(layer.name).get_weights())
    return model


def _closed(template: keras.Model, wide: Collection[str]) -> set[str]:
    """With the tensors that follow: where a mean is given no scale, the converter takes that of its input."""
    producers = {layer.name: (layer, inputs) for layer, inputs in walk.nodes(template)}
    users = walk.consumers(template)
    found = set(wide)
    waiting = list(wide)
    while waiting:
        layer, inputs = producers[waiting.pop()]
        if type(layer).__name__ not in FOLLOW_THEIR_INPUT and is_rounded(layer, users):
            continue
        new = [producer.name for producer in inputs if producer.name not in found]
        found.update(name for name in new if is_rounded(producers[name][0], users))
        waiting += new
    return found


def float_layers(template: keras.Model, wide: Collection[str]) -> tuple[str, ...]:
    """Names of the layers that compute in float32 then, in the order of the graph."""
    found = computed_in_float(template, _closed(template, wide))
    return tuple(layer.name for layer in template.layers if layer.name in found)


def coarsest(
    quantized: keras.Model, template: keras.Model, names: Collection[str], inputs: NDArray[np.float32]
) -> list[str]:
    """The layers by how coarsely their outputs are rounded, the coarsest first.

    The measure is the variance of the rounding, step^2 / 12, over that of what a channel holds, averaged over the
    channels (each at most 1: more than lost nothing can be).

    Args:
        quantized: has the ranges.
        template: the folded graph with the trained weights.
        names: of the layers.
        inputs: a few, (n, height, width, 3).
    """
    order = list(names)
    if not order:
        return []
    outputs = keras.Model(template.input, [template.get_layer(name).output for name in order])(inputs)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    shares = {}
    for name, output in zip(order, outputs, strict=True):
        ranges = quantized.get_layer(name + SUFFIX)
        step = (float(ranges.high) - float(ranges.low)) / 255
        values = np.asarray(output, np.float32)
        variance = values.reshape(-1, values.shape[-1]).var(axis=0)
        # A channel that never changes has nothing to lose.
        live = variance[variance > 0]
        shares[name] = float(np.minimum(step**2 / 12 / live, 1).mean()) if live.size else 0.0
    return sorted(order, key=lambda name: -shares[name])


def search(
    quantized: keras.Model,
    template: keras.Model,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    lost: Callable[[keras.Model], float],
    *,
    goal: float,
    keep_rounded: Collection[str] = (),
    advance: Callable[[], None] = lambda: None,
    seconds: float = math.inf,
    recall: Recall = lambda key, find_out: find_out(),
) -> Widened:
    """Leaves out the rounding of the tensors that hurt most, until the loss is at most `goal`.

    Args:
        quantized: trained and calibrated; logits.
        template: the folded graph that it was made from; gets the trained weights.
        inputs: `(pixels - 128) / 128`, (n, height, width, 3): sensitivity is measured on these.
        labels: (n,).
        lost: function model -> accuracy lost, on more images than these.
        goal: fraction of 1.
        keep_rounded: layers that are not tried.
        advance: called after each tensor.
        seconds: when they are over, no further tensor is tried; what was found till then stands.
        recall: function (key, function that finds out) -> what is known under the key from an earlier process.
    """
    started = time.monotonic()
    for layer in template.layers:
        if layer.weights:
            layer.set_weights(quantized.get_layer(layer.name).get_weights())
    expected = _probabilities(template, inputs)
    candidates = [name for name in rounded_tensors(quantized) if name not in keep_rounded]

    def measured(wide: Collection[str]) -> Sequence[float]:
        """Distance to the unrounded outputs (half the absolute difference, averaged), and accuracy."""

        def find_out() -> tuple[float, float]:
            found = _probabilities(widened(quantized, template, wide), inputs)
            distance = float(np.abs(found - expected).sum(axis=1).mean() / 2)
            return distance, float((found.argmax(axis=1) == labels).mean())

        return recall(" and ".join(wide), find_out)

    whole, right = measured(())
    alone: list[Sensitivity] = []
    few = inputs[:: max(1, len(inputs) // STATISTICS_IMAGES)]  # from all over: neighbours may be of one class
    for name in coarsest(quantized, template, candidates, few)[:TRIED_ALONE]:
        if alone and time.monotonic() - started > ALONE_SHARE * seconds:
            break
        distance, accuracy = measured((name,))
        alone.append(Sensitivity(name, 1 - distance / max(whole, 1e-9), accuracy - right))
        advance()
    alone.sort(key=lambda found: -found.distance)
    order = [found.layer for found in alone if found.distance > 0]
    kept: list[str] = []
    model, loss, left = quantized, lost(quantized), whole
    while order and loss > goal and len(kept) < MOST_WIDE and (not kept or time.monotonic() - started < seconds):
        tried = order[:1] if not kept else order[:TRIED_TOGETHER]
        results = {name: measured((*kept, name))[0] for name in tried}
        best = min(results, key=lambda name: results[name])
        if results[best] >= left:
            break
        order.remove(best)
        kept.append(best)
        left = results[best]
        model = widened(quantized, template, kept)
        loss = recall(f"loss with {' and '.join(kept)}", partial(lost, model))
    return Widened(tuple(kept), model, loss, tuple(alone))


def _probabilities(model: keras.Model, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    # Not `predict`: compiling a graph for each tensor that is tried would take longer than running it once.
    parts = [
        np.asarray(keras.ops.softmax(model(inputs[start : start + BATCH], training=False)), np.float32)
        for start in range(0, len(inputs), BATCH)
    ]
    return np.concatenate(parts)
