"""Quantization-aware training: each finished member learns to live with int8 rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import ImageSplit
from learn2compress.core.progress import Progress
from learn2compress.graph.fold import fold_batch_norm
from learn2compress.graph.slices import SliceMap
from learn2compress.train.fake_quant import PROBABILITY_RANGE, QuantActivation, fake_quantize, set_tracking
from learn2compress.train.fit import LabelledViews, Schedule, Trained, compile_family, fit, time_step
from learn2compress.train.joint import SharedFamily
from learn2compress.train.trainable import plain, scaled

Outputs = NDArray[np.float32]

PREDICTION_BATCH = 250
CALIBRATION_BATCHES = 8
TRACKING_RATE = 0.02
# Ranges stand still for the last part, so that the weights settle on the grid that the file will have.
FROZEN_FROM = 0.6


def unshared(member: keras.Model) -> SliceMap:
    """The slice map of a member that shares nothing."""
    count = len(member.trainable_variables)
    return SliceMap((None,) * count, ((),) * count)


def folded(member: keras.Model) -> keras.Model:
    """The member as a float32 graph of plain layers without batch norm, ending in logits."""
    return fold_batch_norm(plain(member))


def quantization_ready(member: keras.Model) -> keras.Model:
    """The fake-quantized twin of a trained member, not yet calibrated."""
    return fake_quantize(folded(member))


def calibrate(members: Sequence[keras.Model], batches: LabelledViews) -> None:
    """Sets the activation ranges from a few batches of views."""
    for member in members:
        for number in range(min(CALIBRATION_BATCHES, len(batches))):
            # The first batch sets the range, later ones pull it towards their own.
            set_tracking(member, 1.0 / (number + 1))
            member(scaled(batches[number][0]), training=True)
        set_tracking(member, 0.0)


def quantization_aware_training(
    members: Sequence[keras.Model],
    batches: LabelledViews,
    progress: Progress,
    *,
    temperature: float,
    hard: float,
    peak: float,
    seconds: float,
    plan_steps: Any,
) -> Trained:
    """Trains fake-quantized members side by side, distilled as before.

    Args:
        members: from `quantization_ready`, calibrated.
        plan_steps: function (seconds, seconds a step, steps an epoch) -> steps.
    """
    family = SharedFamily(members, [unshared(member) for member in members], temperature, hard)
    optimizer = keras.optimizers.Adam(peak, beta_2=0.99, use_ema=True, ema_momentum=0.98)
    compile_family(family, optimizer)
    steps = plan_steps(seconds, time_step(family, batches), len(batches))
    frozen = False

    def on_share(share: float) -> None:
        nonlocal frozen
        if not frozen and share >= FROZEN_FROM:
            frozen = True
            for member in members:
                set_tracking(member, 0.0)

    for member in members:
        set_tracking(member, TRACKING_RATE)
    trained = fit(
        family,
        batches,
        progress,
        stage_name="quantization-aware training",
        steps=steps,
        peak=peak,
        schedule=Schedule(warmup=0.05),
        seconds=seconds,
        on_share=on_share,
    )
    for member in members:
        set_tracking(member, 0.0)
    return trained


def with_probabilities(quantized: keras.Model, name: str) -> keras.Model:
    """Puts softmax and the rounding of its output behind the logits."""
    probabilities = keras.layers.Softmax(name="probabilities")(quantized.output)
    rounded = QuantActivation(PROBABILITY_RANGE, name="probabilities_quant")(probabilities)
    return keras.Model(quantized.input, rounded, name=name)


def unquantized(quantized: keras.Model, template: keras.Model) -> keras.Model:
    """The trained weights of a fake-quantized member in plain Keras layers: what is kept for the user.

    Args:
        quantized: the trained member.
        template: the folded graph that it was made from; its weights are overwritten.
    """
    for layer in template.layers:
        if layer.weights:
            layer.set_weights(quantized.get_layer(layer.name).get_weights())
    return template


def predict(model: keras.Model, split: ImageSplit, size: tuple[int, int], most: int | None = None) -> Outputs:
    """Outputs (images, classes) of a member, float32, for the first `most` images of a split (default: all)."""
    count = len(split) if most is None else min(most, len(split))
    outputs = []
    for start in range(0, count, PREDICTION_BATCH):
        images = split.batch(np.arange(start, min(start + PREDICTION_BATCH, count)), size)
        outputs.append(np.asarray(model.predict_on_batch((images.astype(np.float32) - 128) / 128), np.float32))
    return np.concatenate(outputs)
