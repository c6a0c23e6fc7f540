"""Quantization-aware training: each finished member learns to live with int8 rounding."""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import ImageSplit
from learn2compress.core.progress import Progress
from learn2compress.graph.fold import fold_batch_norm
from learn2compress.train.batches import LabelledViews
from learn2compress.train.checkpoint import TrainingCheckpoint
from learn2compress.train.fake_quant import PROBABILITY_RANGE, QuantActivation, fake_quantize, set_tracking
from learn2compress.train.fit import Schedule, Trained, compile_family, fit, time_step
from learn2compress.train.joint import JointFamily
from learn2compress.train.pace import PlanSteps
from learn2compress.train.settings import TrainingSettings
from learn2compress.train.sparsity import ZeroMasks, kernels_of
from learn2compress.train.trainable import plain

Outputs = NDArray[np.float32]

PREDICTION_BATCH = 100
# Pixels of a batch in prediction: 250 images of 224 px would take gigabytes in the first layers.
PREDICTED_PIXELS = 2_000_000
TRACKING_RATE = 0.02
# Ranges stand still for the last part, so that the weights settle on the grid that the file will have.
FROZEN_FROM = 0.6


def folded(member: keras.Model) -> keras.Model:
    """The member as a float32 graph of plain layers without batch norm, ending in logits."""
    return fold_batch_norm(plain(member))


def quantization_ready(member: keras.Model) -> keras.Model:
    """The fake-quantized twin of a trained member, not yet calibrated."""
    return fake_quantize(folded(member))


def quantization_aware_training(
    members: Sequence[keras.Model],
    batches: LabelledViews,
    progress: Progress,
    *,
    settings: TrainingSettings,
    keep_zeros: bool = False,
    seconds: float,
    plan_steps: PlanSteps,
    checkpoint: TrainingCheckpoint | None = None,
) -> Trained:
    """Calibrates fake-quantized members and trains them side by side, distilled as before.

    What members have in common from the input on is computed, and rounded, once for all of them. The rest is each
    one's own: with batch norm folded in, the kernels of a narrow member are no slices of a wide one's any more.

    Args:
        members: from `quantization_ready`, widest first; trained in place.
        keep_zeros: whether weights that are zero stay so.
        seconds: for all of it; 0 where the number of steps stands.
        plan_steps: function (seconds, seconds a step, steps an epoch) -> steps.
        checkpoint: where it is kept how far the training came, and found by the next process.

    Raises:
        InputError: `training.diverged`.
    """
    started = time.perf_counter()
    family = JointFamily(members, settings.temperature, settings.hard, sliced=False)
    peak = settings.quantization_peak
    compile_family(family, keras.optimizers.Adam(peak, beta_2=0.99))
    # Before the checkpoint is read: in it, zeros may have been moved by the last step.
    zeros = ZeroMasks(kernels_of(members, family.trainable_variables) if keep_zeros else ())
    begun = checkpoint.load(family) if checkpoint else None
    if begun and begun.finished:
        return Trained.of(begun, batches)

    def track(rate: float) -> None:
        for member in members:
            set_tracking(member, rate)

    if begun:
        steps = begun.steps
    else:
        # The steps that are timed also calibrate: the first batch sets the ranges, later ones pull them to the mean.
        step_seconds = time_step(family, batches, on_step=lambda number: track(1 / (number + 1)))
        track(TRACKING_RATE)
        seconds = max(1.0, seconds - (time.perf_counter() - started)) if seconds else 0.0
        steps = plan_steps(seconds, step_seconds, len(batches))
    frozen = False

    def on_share(share: float) -> None:
        nonlocal frozen
        if not frozen and share >= FROZEN_FROM:
            frozen = True
            track(0.0)
        zeros.apply()

    trained = fit(
        family,
        batches,
        progress,
        stage_name="quantization-aware training",
        steps=steps,
        seconds=seconds,
        peak=peak,
        schedule=Schedule(warmup=0.05),
        on_share=on_share,
        checkpoint=checkpoint,
        begun=begun,
        plan_steps=plan_steps,
        peak_setting="training.quantization_peak",
    )
    zeros.apply()
    family.release()
    track(0.0)
    if checkpoint:
        checkpoint.save(family, trained.reached())
    return trained


def with_probabilities(quantized: keras.Model, name: str, *, rounded: bool = True) -> keras.Model:
    """Puts softmax behind the logits, and the rounding of its output where that is wanted."""
    probabilities = keras.layers.Softmax(name="probabilities")(quantized.output)
    if not rounded:
        return keras.Model(quantized.input, probabilities, name=name)
    grid = QuantActivation(PROBABILITY_RANGE, name="probabilities_quant")(probabilities)
    return keras.Model(quantized.input, grid, name=name)


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


def predict(
    model: keras.Model, split: ImageSplit, size: tuple[int, int], indices: NDArray[np.int64] | None = None
) -> Outputs:
    """Outputs (images, classes) of a member, float32, for these images of a split (default: all)."""
    chosen = np.arange(len(split)) if indices is None else indices
    count = len(chosen)
    batch = max(1, min(PREDICTION_BATCH, PREDICTED_PIXELS // (size[0] * size[1])))
    outputs = []
    for start in range(0, count, batch):
        # The last batch is filled up: for every other shape the model would be compiled once more, which takes
        # longer than running it.
        images = split.batch(chosen[start : start + batch], size)
        images = np.pad(images, ((0, batch - len(images)), (0, 0), (0, 0), (0, 0)), mode="edge")
        found = np.asarray(model.predict_on_batch((images.astype(np.float32) - 128) / 128), np.float32)
        outputs.append(found[: count - start])
    return np.concatenate(outputs)


def right(model: keras.Model, split: ImageSplit, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which images of a split a member is right about, (images,)."""
    found: NDArray[np.bool_] = predict(model, split, size).argmax(axis=1) == split.labels
    return found
