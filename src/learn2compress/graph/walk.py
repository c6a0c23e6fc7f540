"""Reading a functional Keras graph: who feeds whom, and which layers later stages know how to treat."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

# Layers that folding, fake quantization and the converter's int8 kernels all understand.
SAME_SCALE_LAYERS = (
    "AveragePooling2D",
    "Cropping2D",
    "Dropout",
    "SpatialDropout2D",
    "UpSampling2D",
    "Flatten",
    "GlobalMaxPooling2D",
    "Identity",
    "MaxPooling2D",
    "Permute",
    "Reshape",
    "ZeroPadding2D",
    "InputLayer",
)
WEIGHT_LAYERS = ("Conv2D", "DepthwiseConv2D", "Dense")
# What a layer with a kernel may have; others stand by themselves (`graph.lower`).
ACTIVATIONS = ("linear", "relu", "relu6", None)
# Layers that give `x * scale + shift` by the channel in inference, and are folded away.
AFFINE_LAYERS = ("BatchNormalization", "LayerScale", "Rescaling")
OTHER_LAYERS = (
    *AFFINE_LAYERS,
    "Add",
    "Concatenate",
    "Conv2DTranspose",
    "GlobalAveragePooling2D",
    "LeakyReLU",
    "Multiply",
    "PReLU",
    "Subtract",
)
INT8_INTERPOLATIONS = ("nearest", "bilinear")
INT8_ACTIVATIONS = ("gelu", "sigmoid", "softmax", "tanh")
# What LiteRT has no int8 kernel for: it is computed in float32, between int8 layers, and said to be.
FLOAT_LAYERS = ("ELU", "GroupNormalization", "LayerNormalization")
# What is put together of several kernels, which would each want a rounding of its own: left in float32 as a whole.
FLOAT_WHOLES = (
    # Keras exports the third as `GroupQueryAttention`.
    *("AdditiveAttention", "Attention", "GroupedQueryAttention", "MultiHeadAttention"),
    *("EinsumDense", "RMSNormalization", "UnitNormalization"),
)
# What a file in float32 may have as it is, beside all that an integer file may: a copy is made of its settings.
FLOAT_FILE_LAYERS = (
    *WEIGHT_LAYERS,
    *("Activation", "BatchNormalization", "CenterCrop", "Conv2DTranspose", "Resizing", "UpSampling2D"),
)
FLOAT_ACTIVATIONS = ("celu", "elu", "exponential", "log_sigmoid", "mish", "selu", "softplus", "softsign")


def functional(model: Any) -> Any:
    """A Sequential as the functional model that it is; any other model as it stands."""
    if isinstance(model, keras.Sequential) and model.built and computes_its_graph(model):
        return keras.Model(model.inputs, model.outputs, name=model.name)
    return model


def consumers(model: Any) -> dict[str, list[Any]]:
    """For the name of each layer or operation, those that take its output, in graph order."""
    calls = nodes(model)
    found: dict[str, list[Any]] = {layer.name: [] for layer, _ in calls}
    for layer, inputs in calls:
        for producer in inputs:
            found[producer.name].append(layer)
    return found


def nodes(model: Any) -> list[tuple[Any, list[Any]]]:
    """Every layer call of a functional model as (layer, producing layers), inputs before their users."""
    calls = []
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            producers = [tensor._keras_history.operation for tensor in node.arguments.keras_tensors]
            calls.append((node.operation, producers))
    return calls


def activation_name(layer: Any) -> str | None:
    """`relu` for `Activation("relu")` or `Conv2D(activation="relu")`; None where a layer has no activation.

    A layer that serves as activation has the name of its class, and a function of the user's own that of its module
    beside its own: it may be called `gelu` and be another one.
    """
    function = getattr(layer, "activation", None)
    if function is None:
        return None
    name = getattr(function, "__name__", type(function).__name__)
    module = getattr(function, "__module__", None) or ""
    if module.startswith("keras"):
        # `keras.ops.gelu` is another one than the activation of that name.
        known = function is getattr(keras.activations, str(name), function)
    else:
        known = module.startswith("tensorflow")
    return str(name) if known else f"{name} of {module}"


def is_rectifier(layer: Any) -> bool:
    """Whether the layer is a ReLU (capped or not) that int8 kernels fuse into what comes before it."""
    if type(layer).__name__ == "ReLU":
        slope, threshold = layer.negative_slope, layer.threshold
        return not slope and not threshold and layer.max_value in (None, 1, 6)
    return type(layer).__name__ == "Activation" and activation_name(layer) in ("relu", "relu6")


def unsupported_reason(layer: Any) -> str | None:
    """Why a layer can't be kept in a member's graph; None when it can."""
    kind = type(layer).__name__
    if not isinstance(layer, keras.Layer):
        return f"{layer.name} is the operation {kind}, not a layer"
    if isinstance(layer, keras.Model):
        return f"{layer.name} is a nested model"
    if not is_known(layer):
        return f"{layer.name} is a {kind} that is not Keras' own"
    if kind in AFFINE_LAYERS and not is_by_channel(layer):
        return f"{layer.name} is a {kind} that is not by the channel"
    if kind == "UpSampling2D" and layer.interpolation not in INT8_INTERPOLATIONS:
        return f"{layer.name} has the interpolation {layer.interpolation}"
    if kind in (*WEIGHT_LAYERS, "Conv2DTranspose"):
        if activation_name(layer) not in ACTIVATIONS:
            return f"{layer.name} has the activation {activation_name(layer)}"
        return None
    if kind in FLOAT_WHOLES and any(len(node.output_tensors) > 1 for node in layer._inbound_nodes):
        return f"{layer.name} gives several tensors"
    if kind in SAME_SCALE_LAYERS or kind in OTHER_LAYERS or is_rectifier(layer) or float_reason(layer):
        return None
    if kind == "Activation":
        function = activation_name(layer)
        return None if function in INT8_ACTIVATIONS else f"{layer.name} has the activation {function}"
    return f"{layer.name} is a {kind}"


def runs_in_float(layer: Any) -> bool:
    """Whether a file that computes in floats can have a layer that `unsupported_reason` speaks against."""
    if not isinstance(layer, keras.Layer) or not is_known(layer) or type(layer).__name__ not in FLOAT_FILE_LAYERS:
        return False
    # A function of the user's own would be lost with the settings.
    return hasattr(keras.activations, activation_name(layer) or "linear")


def is_known(operation: Any) -> bool:
    """Whether a layer or operation is of Keras or of ours, and not of the user's own, whatever its name."""
    return type(operation).__module__.partition(".")[0] in ("keras", __name__.partition(".")[0])


def is_by_channel(layer: Any) -> bool:
    """Whether an affine layer takes maps, sequences or vectors and has one number, or one a channel."""
    shape = layer.output.shape
    if len(shape) not in (2, 3, 4) or None in shape[1:]:
        return False
    if type(layer).__name__ == "BatchNormalization" and layer.axis not in (-1, len(shape) - 1):
        return False
    numbers = (layer.scale, layer.offset) if type(layer).__name__ == "Rescaling" else ()
    return all(np.size(number) in (1, shape[-1]) for number in numbers)


def float_reason(layer: Any) -> str | None:
    """Why an integer file computes the layer in float32; None where it does not."""
    kind, function = type(layer).__name__, activation_name(layer)
    if kind in (*FLOAT_LAYERS, *FLOAT_WHOLES):
        return f"there is no integer kernel for a {kind}"
    if kind == "Activation" and function in FLOAT_ACTIVATIONS:
        return f"there is no integer kernel for the activation {function}"
    return None


def is_functional(model: Any) -> bool:
    """Whether the model is a graph of layers that can be read.

    It may be of a class of the user's own that changes how it is trained, and leaves what it computes.
    """
    return hasattr(model, "_nodes_by_depth") and computes_its_graph(model)


def computes_its_graph(model: Any) -> bool:
    """Whether a functional or sequential model is called as Keras' own are, not by code of the user's own."""
    called = ("call", "__call__")
    definers = [next(kind for kind in type(model).__mro__ if name in vars(kind)) for name in called]
    return not any(name in vars(model) for name in called) and all(
        kind.__module__.partition(".")[0] == "keras" for kind in definers
    )


def weight_layers(model: Any) -> int:
    """How many layers with kernels the model has."""
    return sum(is_weight_layer(layer) for layer in model.layers)


def is_weight_layer(layer: Any) -> bool:
    """Whether the layer has a kernel."""
    return type(layer).__name__ in WEIGHT_LAYERS
