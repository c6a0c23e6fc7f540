"""Mixed precision: a member that int8 costs too much keeps the tensors that hurt most in float32."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.inputs.splits import balanced_sample
from learn2compress.stages.trained_member import TrainedMember
from learn2compress.train.mixed import TRIED_ALONE, float_layers, rounded_tensors, search, widened
from learn2compress.train.quantize import folded, right
from learn2compress.train.trainable import scaled

# Pixels of all the images that sensitivity is measured on: 256 images of 32 px.
SENSITIVITY_PIXELS = 256 * 32 * 32
FEWEST_IMAGES, MOST_IMAGES = 48, 256
# A loss is more than chance when it is so many standard deviations of the images on which the two differ.
SURE = 2.0
# What is kept in float32 must bring back at least this share of the loss.
LEAST_BROUGHT_BACK = 0.5


class Wider(NamedTuple):
    """A member with tensors in float32.

    Attributes:
        model: fake-quantized, with some tensors not rounded; logits.
        layers: for each of these tensors, by the layer that gives it, the layers that compute in float32.
        found: what the search found, as JSON holds it.
    """

    model: keras.Model
    layers: dict[str, tuple[str, ...]]
    found: dict[str, Any]


def kept_wider(
    member: TrainedMember,
    options: Options,
    seconds: float,
    run: Checkpoints,
    progress: Progress,
) -> Wider | None:
    """The member with its worst tensors in float32; None where int8 costs no more than is allowed.

    Args:
        member: after quantization-aware training; the loss is measured on its validation split.
        options: with what may be lost.
        seconds: when they are over, no further tensor is tried.
        run: remembers what was found.
        progress: gets a note where something was looked for.
    """
    # An earlier run, by whose recipe this one goes, may have found that nothing is to be kept so.
    if not options.mixed or member.quantized is None or member.spec.in_float32 == ():
        return None
    found: dict[str, Any] | None = run.recall(
        f"mixed precision of {member.spec.name}",
        lambda: _find(member, options, seconds, run, progress),
    )
    if not found:
        return None
    template = folded(member.trained)
    layers = {name: float_layers(template, (name,)) for name in found["kept"]}
    if template.layers[-1].name in found["kept"]:
        last = template.layers[-1].name
        layers[last] = (*layers[last], "probabilities")
    return Wider(widened(member.quantized, template, found["kept"]), layers, found)


def _find(
    member: TrainedMember, options: Options, seconds: float, run: Checkpoints, progress: Progress
) -> dict[str, Any] | None:
    spec, quantized, validation, size = member.spec, member.quantized, member.dataset.validation, member.size
    assert quantized is not None  # whoever asks has seen to it
    labels = validation.labels
    before, after = member.right_before, right(quantized, validation, size)
    loss = float(before.mean() - after.mean())
    differing = int((before != after).sum())
    if loss <= options.recipe.mixed_loss or loss * len(labels) < SURE * np.sqrt(differing):
        return None
    rounding = float(right(member.unrounded(tuned=True), validation, size).mean() - after.mean())
    said = f"{spec.name} loses {100 * loss:.1f} points on {len(labels)} validation images by int8"
    if rounding < LEAST_BROUGHT_BACK * loss:
        progress.note(f"{said}, but {100 * rounding:.1f} by rounding itself: nothing is kept in float32")
        return None
    images = int(np.clip(SENSITIVITY_PIXELS // (size[0] * size[1]), FEWEST_IMAGES, MOST_IMAGES))
    chosen = balanced_sample(labels, images)
    rounded = rounded_tensors(quantized)
    # A file that gives logits as integers has to round them.
    last = (quantized.layers[-1].name.removesuffix("_quant"),) if options.formats[0].output == "logits" else ()
    # What that run kept is kept again, however many tensors it had the time to try.
    known = rounded if spec.in_float32 is None else spec.in_float32
    tried = [name for name in rounded if name in known and name not in last]
    with progress.stage(f"mixed precision of {spec.name}", min(TRIED_ALONE, len(tried))) as stage:
        result = search(
            quantized,
            folded(member.trained),
            np.asarray(scaled(validation.batch(chosen, size)), np.float32),
            labels[chosen],
            lambda model: float(before.mean() - right(model, validation, size).mean()),
            goal=options.recipe.mixed_loss,
            keep_rounded=[name for name in rounded if name not in tried],
            advance=stage.advance,
            seconds=seconds,
            # One by one: in a long run the search takes minutes, which a kill must not cost.
            recall=lambda key, find_out: run.recall(f"without rounding in {spec.name}: {key}", find_out),
        )
    if not result.kept or loss - result.loss < LEAST_BROUGHT_BACK * loss:
        progress.note(f"{said}; no tensor, nor a few, brings half of it back in float32: it stays int8")
        return None
    progress.note(
        f"{said}; with the output of {' and of '.join(result.kept)} in float32 it loses {100 * result.loss:.1f}"
    )
    return {
        "kept": list(result.kept),
        "int8_loss": loss,
        "loss": result.loss,
        "images": len(labels),
        "sensitivity": {one.layer: round(one.distance, 4) for one in result.sensitivities},
        "accuracy": {one.layer: round(one.accuracy, 4) for one in result.sensitivities},
    }
