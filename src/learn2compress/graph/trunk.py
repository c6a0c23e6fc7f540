"""The teacher's own graph, cut: the layers up to a cut point keep their trained weights and get a new, small head.

This is what makes small data sets work: a member starts from what the teacher knows of images in general.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import LUMA
from learn2compress.graph import walk
from learn2compress.graph.calls import Graph, UnreadableGraphError, kind_of, read_graph
from learn2compress.graph.input_size import of_fixed_size
from learn2compress.graph.lower import lowered
from learn2compress.graph.settings import plain_settings

# Layers that only rescale pixels; their affine map moves into the first convolution.
FRONT_LAYERS = ("Rescaling", "Normalization")
# Layers that move pixels, and leave their values.
MOVING_LAYERS = ("Cropping2D", "UpSampling2D", "ZeroPadding2D")
# What belongs to the convolution before it, understood or not.
INSIDE_BLOCKS = (*walk.AFFINE_LAYERS, *walk.FLOAT_LAYERS, "Activation", "LeakyReLU", "PReLU", "ReLU")
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class OwnLayers:
    """The teacher's own layers, and what keeps members from being made of them.

    Attributes:
        model: in simple layers (`graph.lower`) where there is nothing in it that Keras does not know.
        uncut: why it can't serve as a trunk; None when it can.
        unpruned: why the whole can't serve as a member; None when it can.
    """

    model: Any
    uncut: str | None
    unpruned: str | None


def own_layers(
    model: Any, size: tuple[int, int] | None = None, outputs: str = "", *, integer: bool = True
) -> OwnLayers:
    """What can be made of the layers of a teacher; of None, which is none that has layers, nothing.

    Args:
        model: the teacher.
        size: (height, width) of its images, where it takes any.
        outputs: what it gives: `probabilities`, `scores` or `logits`; empty where that is not known.
        integer: whether members are written as files that compute in integers. Else the whole may have layers
            without a kernel for that, which stay as they are.
    """
    if model is None:
        nothing = "the teacher is not a Keras model"
        return OwnLayers(None, nothing, nothing)
    if size is not None:
        model = of_fixed_size(model, size)
    try:
        graph = read_graph(model)
        if altered := _altered(graph):
            return OwnLayers(walk.functional(model), altered, altered)
        strange = _strange(graph)
    except UnreadableGraphError as error:
        strange = str(error)
    try:
        simple = walk.functional(model) if strange else lowered(model)
    except (TypeError, ValueError) as error:
        # Keras' own settings of a layer need not be all that it takes to make it anew.
        simple, strange = walk.functional(model), f"its layers can't be copied: {str(error).strip().splitlines()[0]}"
    unreadable = _unreadable(simple)
    if unreadable:
        return OwnLayers(simple, unreadable, strange or unreadable)
    strange = strange or _without_logits(simple, outputs)
    return OwnLayers(simple, _uncut(simple), strange or _unpruned(simple, integer))


def _uncut(model: Any) -> str | None:
    front = {layer.name for layer in _front(model)}
    taken = _unabsorbable(model, front)
    if taken or cut_points(model):
        return taken
    reasons = [walk.unsupported_reason(layer) for layer in model.layers if layer.name not in front]
    return next((reason for reason in reasons if reason), "the teacher has no place to cut")


def _unpruned(model: Any, integer: bool) -> str | None:
    front = {layer.name for layer in _front(model)}
    last = model.outputs[0]._keras_history.operation
    inner = [layer for layer, _ in walk.nodes(model) if layer.name not in front]
    inner = [layer for layer in inner if not _ends_in_probabilities(layer, last)]
    reasons = [walk.unsupported_reason(layer) for layer in inner if integer or not walk.runs_in_float(layer)]
    return _unabsorbable(model, front) or next((reason for reason in reasons if reason), None)


def _without_logits(model: Any, outputs: str) -> str | None:
    """Why there are no logits to train by; None where the model ends in them, or in what makes them probabilities."""
    last = model.outputs[0]._keras_history.operation
    if outputs in ("", "logits") or _ends_in_probabilities(last, last):
        return None
    return f"its {outputs} come from {last.name}, not from a softmax or sigmoid at its end"


def _strange(graph: Graph) -> str | None:
    """What is not Keras' own, and may not be made to be copied; None where all is Keras'."""
    own = [call for call in graph.calls if not kind_of(call.operation)]
    return f"{own[0].name} is a {type(own[0].operation).__name__}" if own else None


def _altered(graph: Graph) -> str | None:
    """Which layer has other weights than its kind has: Keras' own quantization or LoRA; None where none has."""
    for layer in graph.layers:
        if mode := getattr(layer, "quantization_mode", None):
            return f"{layer.name} was quantized by Keras ({mode}); give the model as it was before"
        if getattr(layer, "lora_enabled", False):
            return f"{layer.name} has LoRA weights; give the model with them merged"
    return None


def _ends_in_probabilities(layer: Any, last: Any) -> bool:
    """Whether this is the last layer, whose activation is left away."""
    return layer is last and (type(layer).__name__ == "Softmax" or _squashes(layer))


def _unreadable(model: Any) -> str | None:
    model = walk.functional(model)
    if not walk.is_functional(model):
        return f"the teacher is a {type(model).__name__}, not a functional model"
    if model.inputs[0].shape[-1] not in (1, 3):
        return "the teacher takes neither RGB nor grey images"
    if None in model.inputs[0].shape[1:3]:
        return "the teacher takes images of any size"
    calls = [layer.name for layer, _ in walk.nodes(model)]
    if len(set(calls)) != len(calls):
        return "the teacher uses a layer more than once"
    return None


def _unabsorbable(model: Any, front: set[str]) -> str | None:
    """Why the preprocessing can't move into the first convolution; None when it can."""
    by_place = [layer.name for layer in _front(model) if not _by_channel(layer)]
    if by_place:
        return f"{by_place[0]} rescales pixels by their place, not by their channel"
    passing = (*FRONT_LAYERS, *MOVING_LAYERS, "InputLayer")
    reached = {layer.name for layer in model.layers if type(layer).__name__ == "InputLayer"}
    takers = []
    for layer, producers in walk.nodes(model):
        if not any(producer.name in reached for producer in producers):
            continue
        if kind_of(layer) in passing:
            reached.add(layer.name)
        else:
            takers.append(layer)
    if len(takers) != 1:
        return f"{len(takers)} layers take the pixels"
    kind = type(takers[0]).__name__
    if getattr(takers[0], "groups", 1) != 1:
        return "the pixels go into a grouped convolution"
    return None if kind == "Conv2D" or walk.unsupported_reason(takers[0]) else f"the pixels go into a {kind}"


def _front(model: Any) -> list[Any]:
    """The rescaling layers between the input and the first convolution."""
    found = []
    for layer, _ in walk.nodes(model):
        # What is the user's own computes what it likes, whatever its name: it has no kind.
        kind = kind_of(layer)
        if kind in FRONT_LAYERS:
            found.append(layer)
        elif kind not in ("InputLayer", *MOVING_LAYERS):
            break
    return found


def cut_points(model: Any) -> list[str]:
    """Names of the layers after which the graph can be cut, in graph order.

    A cut point gives a feature map (n, h, w, c) through which all that follows must pass, and ends a block: the
    next layer is not a batch norm or an activation that belongs to it. All layers before it are understood.
    """
    model = walk.functional(model)
    calls = walk.nodes(model)
    position = {layer.name: i for i, (layer, _) in enumerate(calls)}
    users = walk.consumers(model)
    front = {layer.name for layer in _front(model)}
    points: list[str] = []
    sees = False
    for i, (layer, _) in enumerate(calls):
        if layer.name not in front and walk.unsupported_reason(layer):
            break  # what comes after it can't be reached without it
        sees = sees or (layer.name not in front and bool(getattr(layer, "weights", ())))
        if not sees:
            continue  # pixels, if larger ones
        shape = getattr(layer.output, "shape", ())
        if len(shape) != 4 or type(layer).__name__ in (
            "InputLayer",
            *FRONT_LAYERS,
            "ZeroPadding2D",
            "Dropout",
        ):
            continue
        follow = users[layer.name]
        if any(type(user).__name__ in INSIDE_BLOCKS or walk.is_rectifier(user) for user in follow):
            continue
        later = (producer.name for _, producers in calls[i + 1 :] for producer in producers)
        if all(position[name] >= i for name in later) and (follow or i == len(calls) - 1):
            points.append(layer.name)
    return points


def build_trunk(
    teacher: keras.Model,
    cut: str,
    classes: int,
    name: str,
    scale: Vector,
    offset: Vector,
    reverse_channels: bool,
) -> keras.Model:
    """The teacher up to `cut`, then global average pooling and a new classifier.

    Args:
        teacher: functional model that `trunk_refusal` does not refuse.
        cut: one of `cut_points(teacher)`.
        classes: number of classes.
        name: of the new model.
        scale, offset: per channel (3,) in the teacher's order, what its preprocessing does to pixels 0..255:
            `z = pixel * scale + offset`.
        reverse_channels: whether the teacher takes BGR.

    Returns:
        `(pixels - 128) / 128` of (n, h, w, 3) -> logits (n, classes). Its features equal the teacher's but for a
        narrow rim: zero padding stood for the mean pixel there and stands for mid-grey now.
    """
    teacher = walk.functional(teacher)
    trunk = _absorbed(
        teacher, keras.Model(teacher.inputs[0], teacher.get_layer(cut).output), scale, offset, reverse_channels
    )
    pooled = keras.layers.GlobalAveragePooling2D(name=f"{cut}_pool")(trunk.output)
    # Each cut has a classifier of its own: its name says so, and keeps it out of the shared weights.
    logits = keras.layers.Dense(classes, name=f"{cut}_logits")(pooled)
    return keras.Model(trunk.inputs[0], logits, name=name.replace("-", "_"))


def build_whole(
    teacher: keras.Model, name: str, scale: Vector, offset: Vector, reverse_channels: bool
) -> keras.Model:
    """The whole teacher in the form of a member, with its own classifier.

    Args:
        teacher, name, scale, offset, reverse_channels: see `build_trunk`.

    Returns:
        `(pixels - 128) / 128` of (n, h, w, 3) -> logits (n, classes): what goes into the teacher's last activation.
    """
    teacher = walk.functional(teacher)
    last = teacher.outputs[0]._keras_history.operation
    output = teacher.output
    if type(last).__name__ == "Softmax" or (type(last).__name__ == "Activation" and _squashes(last)):
        output = last._inbound_nodes[-1].input_tensors[0]
    whole = _absorbed(teacher, keras.Model(teacher.inputs[0], output), scale, offset, reverse_channels)
    whole.name = name.replace("-", "_")
    return whole


def _squashes(layer: Any) -> bool:
    return walk.activation_name(layer) in ("softmax", "sigmoid")


def _absorbed(teacher: Any, body: keras.Model, scale: Vector, offset: Vector, reverse_channels: bool) -> keras.Model:
    """A copy of `body`, a part of the teacher from its input on, that takes `(pixels - 128) / 128`."""
    front = _front(teacher)
    gone = {layer.name for layer in front}
    first = next(layer for layer in body.layers if layer.weights and layer.name not in gone)
    last = body.outputs[0]._keras_history.operation
    order = slice(None, None, -1) if reverse_channels else slice(None)
    # In the teacher's channel order, what stands between a member's input u = (pixel - 128) / 128 and the
    # first convolution's input z.
    scale, offset = scale * 128, offset + scale * 128
    for layer in front:
        layer_scale, layer_offset = _affine(layer)
        scale, offset = scale * layer_scale, offset * layer_scale + layer_offset

    def clone(layer: Any) -> Any:
        config = plain_settings(layer)
        if layer.name == first.name:
            config["use_bias"] = True
        if layer is last and _squashes(layer):
            config["activation"] = "linear"
        twin = type(layer).from_config(config)
        twin.trainable = True  # the user may have frozen it
        return twin

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("mask", None)
        return args[0] if layer.name in gone else layer(*args, **kwargs)

    # A teacher may take uint8 pixels, or grey ones; a member's input is RGB between -1 and 1.
    image = keras.Input((*body.input_shape[1:3], 3), name=body.inputs[0].name, dtype="float32")
    copy = keras.models.clone_model(body, input_tensors=image, clone_function=clone, call_function=call)
    for layer in body.layers:
        if layer.name in gone or not layer.weights:
            continue
        weights = layer.get_weights()
        if layer.name == first.name:
            weights = _absorb(weights, scale, offset, order)
        copy.get_layer(layer.name).set_weights(weights)
    return copy


def _by_channel(layer: Any) -> bool:
    """Whether a rescaling layer does the same to all pixels of a channel."""
    names = ("scale", "offset") if type(layer).__name__ == "Rescaling" else ("mean", "variance")
    settings = [np.asarray(getattr(layer, name)) for name in names]
    return all(values.size == 1 or values.size == values.shape[-1] for values in settings)


def _affine(layer: Any) -> tuple[Vector, Vector]:
    if type(layer).__name__ == "Rescaling":
        return np.asarray(layer.scale, float) * np.ones(3), np.asarray(layer.offset, float) * np.ones(3)
    mean, variance = np.asarray(layer.mean, float).reshape(-1), np.asarray(layer.variance, float).reshape(-1)
    deviation = np.maximum(np.sqrt(variance), 1e-7) * np.ones(3)
    if layer.invert:
        return deviation, mean * np.ones(3)
    return 1 / deviation, -mean / deviation


def _absorb(weights: list[Any], scale: Vector, offset: Vector, order: slice) -> list[Any]:
    """Moves `z = u * scale + offset` into the first convolution's kernel (h, w, 3, out) and bias.

    In a kernel for grey images (h, w, 1, out), whose pixels are sums of red, green and blue, each gets its share.
    """
    kernel = np.asarray(weights[0], float)
    if kernel.shape[2] == 1:
        kernel, scale, offset, order = kernel * np.array(LUMA)[:, None], scale[0], offset[0], slice(None)
        scale, offset = scale * np.ones(3), offset * np.ones(3)
    bias = np.asarray(weights[1], float) if len(weights) > 1 else np.zeros(kernel.shape[-1])
    bias = bias + (kernel * offset[:, None]).sum(axis=(0, 1, 2))
    return [(kernel * scale[:, None])[:, :, order].astype(np.float32), bias.astype(np.float32)]
