"""Lowering: a teacher's graph in the few layers that later stages know, with the same outputs.

What Keras computes in one layer, int8 kernels compute in several, and each writes a rounded tensor; training can
only see a rounding that stands between two layers. So a separable convolution becomes its two parts, `silu` a sigmoid
and a product, arithmetic with numbers a `Rescaling`, and an activation that no kernel fuses a layer of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers

from learn2compress.graph import walk
from learn2compress.graph.calls import Graph, kind_of, read_graph, rebuild, twin_operation
from learn2compress.graph.settings import plain_settings

# Takes what the layer or operation takes, tensors of the new graph.
Lowered = Callable[..., Any]

# Operations (`keras.ops.relu(x)`) that are an activation of the same name.
_ACTIVATION_OPERATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "Silu": "silu",
    "HardSilu": "hard_silu",
    "Tanh": "tanh",
    "Gelu": "gelu",
    "Softplus": "softplus",
}


def lowered(model: Any) -> keras.Model:
    """The model without nested ones, in layers that are simple where they can be; names stay.

    Layers that are made anew carry the name of the old one with what they do behind it. What has no simpler form
    stays as it is.

    Raises:
        UnreadableGraphError: a part of it is code.
    """
    graph = _apart(read_graph(model))
    lowering = _Lowering(graph)
    copy, _ = rebuild(graph, graph.calls, lowering.twin)
    for fill in lowering.fills:
        fill()
    return copy


def _apart(graph: Graph) -> Graph:
    """The graph with a layer of its own for each call: one ReLU may serve all blocks, one convolution two scales.

    What has weights has them twice from then on, and learns them apart: each place has a rounding, and a batch norm
    to be folded in, of its own.
    """
    names, taken, seen = dict(graph.layer_names), set(graph.layer_names.values()), set()
    calls = []
    for call in graph.calls:
        operation, name = call.operation, call.name
        if id(operation) in seen and kind_of(operation):
            base, count = graph.layer_names[id(operation)], 2
            while (name := f"{base}_{count}") in taken:
                count += 1
            operation = _twin(operation, name)
            names[id(operation)] = name
            taken.add(name)
        seen.add(id(operation))
        calls.append(replace(call, operation=operation, name=name))
    return replace(graph, calls=tuple(calls), layer_names=names)


def _twin(operation: Any, name: str) -> Any:
    """The same layer or operation once more, with weights of its own."""
    if not isinstance(operation, keras.Layer):
        return twin_operation(operation, name)
    twin = type(operation).from_config(_settings(operation, name))
    if operation.weights:
        twin.build_from_config(operation.get_build_config())
        _set_weights(twin, operation.get_weights())
    return twin


def _set_weights(layer: Any, weights: list[Any]) -> None:
    layer.set_weights(weights)
    if hasattr(layer, "finalize_state"):
        # Normalization computes with copies of its weights.
        layer.finalize_state()


class _Lowering:
    """Gives each layer and operation of a graph its lowered form, once."""

    def __init__(self, graph: Graph) -> None:
        self.fills: list[Callable[[], None]] = []
        self._graph = graph
        inputs = {tensor._keras_history.operation.name for tensor in graph.model.inputs}
        self._taken = inputs | set(graph.layer_names.values())
        self._ends = {id(call.operation) for call in graph.calls if set(call.outputs) & set(graph.outputs)}

    def twin(self, operation: Any) -> Lowered:
        name, kind = self._graph.layer_names[id(operation)], kind_of(operation)
        rules = _LAYERS if isinstance(operation, keras.Layer) else _OPERATIONS
        found = rules[kind](self, operation, name) if kind in rules else None
        if not isinstance(operation, keras.Layer):
            return found or self.same(operation, name)
        return _inputs_first(self.same(operation, name)) if found is None else _positional(found)

    def same(self, operation: Any, name: str) -> Lowered:
        """A copy of the layer or operation."""
        if not isinstance(operation, keras.Layer):
            return twin_operation(operation, name)
        twin: Lowered = self.filled(type(operation).from_config(_settings(operation, name)), operation)
        return twin

    def filled(self, twin: Any, layer: Any, weights: Callable[[list[Any]], list[Any]] = list) -> Any:
        """The new layer; gets its part of the old one's weights when it is built."""

        def fill() -> None:
            if layer.weights:
                _set_weights(twin, weights([np.asarray(weight) for weight in layer.weights]))

        # What the user froze stays so only in the user's own model.
        twin.trainable = True
        self.fills.append(fill)
        return twin

    def new_name(self, name: str, part: str) -> str:
        found = f"{name}_{part}"
        while found in self._taken:
            found += "_"
        self._taken.add(found)
        return found

    def taken(self, operation: Any) -> list[tuple[int | None, ...]]:
        """The shapes of what it takes, at all its calls."""
        calls = [call for call in self._graph.calls if call.operation is operation]
        return [self._graph.shapes[number] for call in calls for number in call.inputs]

    def ranks(self, operation: Any) -> set[int]:
        """How many axes the tensors have that it takes, at all its calls."""
        return {len(shape) for shape in self.taken(operation)}

    def sizes(self, operation: Any) -> set[tuple[int, int]]:
        """(height, width) of the maps that it takes, at all its calls; empty where one is not known."""
        shapes = self.taken(operation)
        if any(len(shape) != 4 or None in shape[1:3] for shape in shapes):
            return set()
        return {(shape[1] or 1, shape[2] or 1) for shape in shapes}

    def is_end(self, operation: Any) -> bool:
        """Whether the model ends in it: there a sigmoid makes probabilities, and is left away later."""
        return id(operation) in self._ends

    def activated(self, kind: str | None, name: str) -> Lowered:
        """The activation by itself, as layers of which the last has this name."""
        if kind in ("linear", None):
            return lambda tensor: tensor
        if kind in ("silu", "hard_silu"):
            gate = self.activated(kind.replace("silu", "sigmoid"), self.new_name(name, "gate"))
            product = layers.Multiply(name=name)
            return lambda tensor: product([tensor, gate(tensor)])
        if kind == "hard_sigmoid":
            steps = [
                layers.Rescaling(1 / 6, offset=0.5, name=self.new_name(name, "line")),
                layers.ReLU(1.0, name=name),
            ]
            return _chain(steps)
        rectifier = {"relu": None, "relu6": 6.0}
        found: Lowered = (
            layers.ReLU(rectifier[kind], name=name) if kind in rectifier else layers.Activation(kind, name=name)
        )
        return found


def _inputs_first(layer: Any) -> Lowered:
    """The layer, called with what it takes in the first place, also where that was given by name."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return layer(*args, **kwargs) if args or "inputs" not in kwargs else layer(kwargs.pop("inputs"), **kwargs)

    return call


def _positional(found: Lowered) -> Lowered:
    """The same for what calls layers with keywords, as in `layer(inputs=x, training=False)`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return found(*args) if args else found(kwargs["inputs"])

    return call


def _chain(steps: Sequence[Lowered]) -> Lowered:
    def run(tensor: Any) -> Any:
        for step in steps:
            tensor = step(tensor)
        return tensor

    return run


def _settings(layer: Any, name: str) -> dict[str, Any]:
    return {**plain_settings(layer), "name": name}


def _without_activation(lowering: _Lowering, layer: Any, name: str) -> tuple[dict[str, Any], Lowered]:
    """The settings of a layer with a kernel but for its activation, and that."""
    config = _settings(layer, name)
    kind = walk.activation_name(layer)
    inside = kind in walk.ACTIVATIONS and type(layer).__name__ in (*walk.WEIGHT_LAYERS, "SeparableConv2D")
    if inside or kind not in _SIMPLE or lowering.is_end(layer):
        return config, lambda tensor: tensor
    config["activation"] = "linear"
    return config, lowering.activated(kind, lowering.new_name(name, "activation"))


# Activations that are known by their name; others are the user's own functions.
_SIMPLE = frozenset(
    (*walk.INT8_ACTIVATIONS, *walk.FLOAT_ACTIVATIONS, "hard_sigmoid", "hard_silu", "linear", "relu", "relu6", "silu")
)


def _convolution(lowering: _Lowering, layer: Any, name: str) -> Lowered:
    config, activation = _without_activation(lowering, layer, name)
    alone = layer.groups > 1 and layer.kernel.shape[-2] == 1 and layer.groups == layer.filters
    # TensorFlow has no depthwise convolution of two strides.
    if alone and len(set(layer.strides)) == 1:
        return _chain([lowering.filled(_depthwise_of(layer, config), layer, _depthwise_weights), activation])
    return _chain([lowering.filled(layers.Conv2D.from_config(config), layer), activation])


def _depthwise_of(layer: Any, config: dict[str, Any]) -> Any:
    """A convolution with a group a channel is a depthwise one, which has kernels of its own everywhere."""
    same = ("name", "dtype", "strides", "padding", "data_format", "dilation_rate", "use_bias", "activation")
    return layers.DepthwiseConv2D(config["kernel_size"], **{key: config[key] for key in same})


def _depthwise_weights(weights: list[Any]) -> list[Any]:
    return [weights[0].transpose(0, 1, 3, 2), *weights[1:]]  # (h, w, 1, channels) -> (h, w, channels, 1)


def _with_kernel(lowering: _Lowering, layer: Any, name: str) -> Lowered:
    config, activation = _without_activation(lowering, layer, name)
    return _chain([lowering.filled(type(layer).from_config(config), layer), activation])


def _dense(lowering: _Lowering, layer: Any, name: str) -> Lowered:
    """A Dense on a map is a 1x1 convolution, whose kernel is rounded by the channel."""
    config, activation = _without_activation(lowering, layer, name)
    if lowering.ranks(layer) != {4}:
        return _chain([lowering.filled(layers.Dense.from_config(config), layer), activation])
    settings = {key: config[key] for key in ("name", "dtype", "activation", "use_bias")}
    pointwise = layers.Conv2D(config["units"], 1, **settings)
    return _chain([lowering.filled(pointwise, layer, lambda w: [w[0][None, None], *w[1:]]), activation])


def _separable(lowering: _Lowering, layer: Any, name: str) -> Lowered:
    config, activation = _without_activation(lowering, layer, name)
    of_first = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "data_format", "dtype")
    of_second = ("filters", "use_bias", "activation", "data_format", "dtype", "name")
    depthwise = layers.DepthwiseConv2D(
        **{key: config[key] for key in of_first}, use_bias=False, name=lowering.new_name(name, "depthwise")
    )
    pointwise = layers.Conv2D(**{key: config[key] for key in of_second}, kernel_size=1)
    return _chain(
        [
            lowering.filled(depthwise, layer, lambda w: w[:1]),
            lowering.filled(pointwise, layer, lambda w: w[1:]),
            activation,
        ]
    )


def _activation(lowering: _Lowering, layer: Any, name: str) -> Lowered | None:
    kind = walk.activation_name(layer)
    stays = kind not in _SIMPLE or (lowering.is_end(layer) and kind != "linear")
    return None if stays else lowering.activated(kind, name)


def _leaky_relu_or_relu(lowering: _Lowering, layer: Any, name: str) -> Lowered | None:
    """A ReLU with a slope is a LeakyReLU."""
    if layer.negative_slope and not layer.threshold and layer.max_value is None:
        leaky: Lowered = layers.LeakyReLU(float(layer.negative_slope), name=name)
        return leaky
    return None


def _scaled_sum(lowering: _Lowering, layer: Any, name: str) -> Lowered:
    """`inputs[0] + scale * inputs[1]`, of InceptionResNetV2."""
    scaling = layers.Rescaling(float(layer.scale), name=lowering.new_name(name, "scale"))
    total = layers.Add(name=name)
    return lambda inputs: total([inputs[0], scaling(inputs[1])])


def _by_twos(lowering: _Lowering, name: str, of_two: Callable[[Any, Any, str], Any]) -> Lowered:
    """Many inputs, two at a time: so do kernels, and round what each of them gives."""

    def call(inputs: Sequence[Any]) -> Any:
        found = inputs[0]
        for number, tensor in enumerate(inputs[1:], 2):
            found = of_two(found, tensor, name if number == len(inputs) else lowering.new_name(name, "part"))
        return found

    return call


def _merged(kind: Any) -> Callable[[_Lowering, Any, str], Lowered]:
    """Add and Multiply, of two or more."""
    return lambda lowering, layer, name: _by_twos(lowering, name, lambda a, b, own: kind(name=own)([a, b]))


def _average(lowering: _Lowering, layer: Any, name: str) -> Lowered:
    total = _merged(layers.Add)(lowering, layer, lowering.new_name(name, "sum"))
    return lambda inputs: layers.Rescaling(1 / len(inputs), name=name)(total(inputs))


def _extreme(sign: int) -> Callable[[_Lowering, Any, str], Lowered]:
    """The larger of two (1) is `a + relu(b - a)`, the smaller (-1) `a - relu(a - b)`: int8 has kernels for these."""

    def rule(lowering: _Lowering, operation: Any, name: str) -> Lowered:
        plain = lowering.same(operation, name)

        def of_two(one: Any, other: Any, own: str) -> Any:
            pair = [other, one] if sign > 0 else [one, other]
            difference = layers.Subtract(name=lowering.new_name(own, "difference"))(pair)
            beyond = layers.ReLU(name=lowering.new_name(own, "beyond"))(difference)
            return (layers.Add if sign > 0 else layers.Subtract)(name=own)([one, beyond])

        # The names are Keras'.
        def call(x1: Any, x2: Any) -> Any:
            tensors = [x for x in (x1, x2) if isinstance(x, keras.KerasTensor)]
            if len(tensors) == 2 and len(x1.shape) == len(x2.shape):
                return of_two(x1, x2, name)
            rectifies = sign > 0 and len(tensors) == 1 and not np.any(x2 if tensors[0] is x1 else x1)
            return layers.ReLU(name=name)(tensors[0]) if rectifies else plain(x1, x2)

        return _by_twos(lowering, name, of_two) if isinstance(operation, keras.Layer) else call

    return rule


def _softmax(lowering: _Lowering, operation: Any, name: str) -> Lowered | None:
    """Inside the model; at its end it makes probabilities, and is left away later."""
    # A mask may come beside what it takes.
    last = len(lowering.taken(operation)) == 1 and operation.axis in (-1, *(r - 1 for r in lowering.ranks(operation)))
    return lowering.activated("softmax", name) if last and not lowering.is_end(operation) else None


def _resizing(lowering: _Lowering, layer: Any, name: str) -> Lowered | None:
    """None of its own where images have the size already; enlarging by a whole number is `UpSampling2D`."""
    sizes = lowering.sizes(layer)
    if len(sizes) != 1 or layer.data_format != "channels_last":
        return None
    ((height, width),) = sizes
    if (height, width) == (layer.height, layer.width):
        return lambda tensor: tensor
    whole = not layer.height % height and not layer.width % width
    even = layer.height * width == layer.width * height
    framed = layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio
    if not whole or layer.antialias or (framed and not even) or layer.interpolation not in walk.INT8_INTERPOLATIONS:
        return None
    factors = (layer.height // height, layer.width // width)
    larger: Lowered = layers.UpSampling2D(factors, interpolation=layer.interpolation, name=name)
    return larger


def _stochastic_depth(lowering: _Lowering, layer: Any, name: str) -> Lowered:
    dropout: Lowered = layers.Dropout(layer.drop_path_rate, noise_shape=(None, 1, 1, 1), name=name)
    return dropout


def _arithmetic(of_number: Callable[[float, bool], tuple[float, float] | None], of_tensors: Any = None) -> Any:
    """A rule for an operation of two things.

    Args:
        of_number: function (number, whether the tensor comes first) -> what the tensor is scaled and shifted by; None
            where it is no such thing.
        of_tensors: the layer that does it to two tensors of one rank.
    """

    def rule(lowering: _Lowering, operation: Any, name: str) -> Lowered:
        plain = lowering.same(operation, name)
        made: dict[Any, Any] = {}

        def layer_of(kind: Any, *settings: float) -> Any:
            """One layer for all calls; another, with another name, where they differ in a number."""
            if (kind, settings) not in made:
                own = lowering.new_name(name, "other") if made else name
                made[kind, settings] = kind(*settings, name=own)
            return made[kind, settings]

        # The names are Keras'.
        def call(x1: Any, x2: Any) -> Any:
            first, second = (isinstance(x, keras.KerasTensor) for x in (x1, x2))
            if first and second:
                alike = of_tensors is not None and len(x1.shape) == len(x2.shape)
                return layer_of(of_tensors)([x1, x2]) if alike else plain(x1, x2)
            tensor, number = (x1, x2) if first else (x2, x1)
            found = of_number(float(np.asarray(number).reshape(())), first) if np.size(number) == 1 else None
            if found is None:
                return plain(x1, x2)
            return layer_of(layers.Rescaling, *found)(tensor)

        return call

    return rule


def _operation_activation(lowering: _Lowering, operation: Any, name: str) -> Lowered | None:
    kind = _ACTIVATION_OPERATIONS[type(operation).__name__]
    if kind == "gelu" and getattr(operation, "approximate", False):
        return None  # the layer's is the exact one
    if lowering.is_end(operation) and kind != "sigmoid":
        return None
    return lowering.activated(kind, name)


def _operation_leaky(lowering: _Lowering, operation: Any, name: str) -> Lowered:
    leaky: Lowered = layers.LeakyReLU(float(operation.negative_slope), name=name)
    return leaky


def _over_places(pool: Any) -> Callable[[_Lowering, Any, str], Lowered | None]:
    """A mean or maximum over height and width is a global pool."""

    def rule(lowering: _Lowering, operation: Any, name: str) -> Lowered | None:
        axes = operation.axis if isinstance(operation.axis, list | tuple) else [operation.axis]
        if sorted(axis for axis in axes if axis is not None) != [1, 2] or lowering.ranks(operation) != {4}:
            return None
        found: Lowered = pool(keepdims=bool(operation.keepdims), name=name)
        return found

    return rule


def _operation_concatenate(lowering: _Lowering, operation: Any, name: str) -> Lowered:
    join: Lowered = layers.Concatenate(axis=operation.axis, name=name)
    return join


def _operation_reshape(lowering: _Lowering, operation: Any, name: str) -> Lowered | None:
    batch, *shape = operation.newshape
    taken = [size for _, *size in lowering.taken(operation)]
    # Places may also move into the batch.
    if batch != -1 or any(None in size or math.prod(n or 1 for n in size) != math.prod(shape) for size in taken):
        return None
    reshape: Lowered = layers.Reshape(shape, name=name)
    return reshape


def _operation_transpose(lowering: _Lowering, operation: Any, name: str) -> Lowered | None:
    axes = tuple(axis % len(operation.axes) for axis in operation.axes or ())
    if axes[:1] != (0,):
        return None
    permute: Lowered = layers.Permute(axes[1:], name=name)
    return permute


def _operation_clip(lowering: _Lowering, operation: Any, name: str) -> Lowered | None:
    if operation.x_min != 0 or np.size(operation.x_max) != 1:
        return None
    relu: Lowered = layers.ReLU(float(operation.x_max), name=name)
    return relu


def _quotient(number: float, tensor_first: bool) -> tuple[float, float] | None:
    return (1 / number, 0.0) if tensor_first and number else None


def _nothing(lowering: _Lowering, layer: Any, name: str) -> Lowered:
    """A layer that does something in training only, which a teacher is not in any more."""
    return lambda tensor: tensor


# Augmentation and noise that Keras' own tutorials put into the model. Not among them: `RandomCrop`, which crops the
# middle in inference, and what works on images and labels together.
ONLY_IN_TRAINING = (
    *(
        f"Random{what}"
        for what in (
            *("Brightness", "ColorDegeneration", "ColorJitter", "Contrast", "ElasticTransform", "Erasing", "Flip"),
            *("GaussianBlur", "Grayscale", "Hue", "Invert", "Perspective", "Posterization", "Rotation", "Saturation"),
            *("Sharpness", "Shear", "Translation", "Zoom"),
        )
    ),
    *("GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization"),
)
_LAYERS: dict[str, Callable[[_Lowering, Any, str], Lowered | None]] = {
    "Conv2D": _convolution,
    **dict.fromkeys(("Conv2DTranspose", "DepthwiseConv2D"), _with_kernel),
    "Dense": _dense,
    "SeparableConv2D": _separable,
    "Activation": _activation,
    "ReLU": _leaky_relu_or_relu,
    "Add": _merged(layers.Add),
    "Multiply": _merged(layers.Multiply),
    "Average": _average,
    "Maximum": _extreme(1),
    "Minimum": _extreme(-1),
    "Softmax": _softmax,
    "Resizing": _resizing,
    "CustomScaleLayer": _scaled_sum,
    "StochasticDepth": _stochastic_depth,
    **dict.fromkeys(ONLY_IN_TRAINING, _nothing),
}
_OPERATIONS: dict[str, Callable[[_Lowering, Any, str], Lowered | None]] = {
    "Add": _arithmetic(lambda number, first: (1.0, number), layers.Add),
    "Multiply": _arithmetic(lambda number, first: (number, 0.0), layers.Multiply),
    **dict.fromkeys(("Divide", "TrueDivide"), _arithmetic(_quotient)),
    "Subtract": _arithmetic(lambda number, first: (1.0, -number) if first else (-1.0, number), layers.Subtract),
    **dict.fromkeys(_ACTIVATION_OPERATIONS, _operation_activation),
    "LeakyRelu": _operation_leaky,
    "Mean": _over_places(layers.GlobalAveragePooling2D),
    "Max": _over_places(layers.GlobalMaxPooling2D),
    "Maximum": _extreme(1),
    "Minimum": _extreme(-1),
    "Softmax": _softmax,
    "Reshape": _operation_reshape,
    "Transpose": _operation_transpose,
    "Clip": _operation_clip,
    "Concatenate": _operation_concatenate,
}
