"""The lowered form of each kind of layer that has a simpler one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from learn2compress.graph import walk
from learn2compress.graph.lowering import Lowered, Lowering, Rule, chain, settings_of


def _without_activation(lowering: Lowering, layer: Any, name: str) -> tuple[dict[str, Any], Lowered]:
    """The settings of a layer with a kernel but for its activation, and that."""
    config = settings_of(layer, name)
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


def _convolution(lowering: Lowering, layer: Any, name: str) -> Lowered:
    config, activation = _without_activation(lowering, layer, name)
    alone = layer.groups > 1 and layer.kernel.shape[-2] == 1 and layer.groups == layer.filters
    # TensorFlow has no depthwise convolution of two strides.
    if alone and len(set(layer.strides)) == 1:
        return chain([lowering.filled(_depthwise_of(layer, config), layer, _depthwise_weights), activation])
    return chain([lowering.filled(layers.Conv2D.from_config(config), layer), activation])


def _depthwise_of(layer: Any, config: dict[str, Any]) -> Any:
    """A convolution with a group a channel is a depthwise one, which has kernels of its own everywhere."""
    same = ("name", "dtype", "strides", "padding", "data_format", "dilation_rate", "use_bias", "activation")
    return layers.DepthwiseConv2D(config["kernel_size"], **{key: config[key] for key in same})


def _depthwise_weights(weights: list[Any]) -> list[Any]:
    return [weights[0].transpose(0, 1, 3, 2), *weights[1:]]  # (h, w, 1, channels) -> (h, w, channels, 1)


def _with_kernel(lowering: Lowering, layer: Any, name: str) -> Lowered:
    config, activation = _without_activation(lowering, layer, name)
    return chain([lowering.filled(type(layer).from_config(config), layer), activation])


def _dense(lowering: Lowering, layer: Any, name: str) -> Lowered:
    """A Dense on a map is a 1x1 convolution, whose kernel is rounded by the channel."""
    config, activation = _without_activation(lowering, layer, name)
    if lowering.ranks(layer) != {4}:
        return chain([lowering.filled(layers.Dense.from_config(config), layer), activation])
    settings = {key: config[key] for key in ("name", "dtype", "activation", "use_bias")}
    pointwise = layers.Conv2D(config["units"], 1, **settings)
    return chain([lowering.filled(pointwise, layer, lambda w: [w[0][None, None], *w[1:]]), activation])


def _separable(lowering: Lowering, layer: Any, name: str) -> Lowered:
    config, activation = _without_activation(lowering, layer, name)
    of_first = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "data_format", "dtype")
    of_second = ("filters", "use_bias", "activation", "data_format", "dtype", "name")
    depthwise = layers.DepthwiseConv2D(
        **{key: config[key] for key in of_first}, use_bias=False, name=lowering.new_name(name, "depthwise")
    )
    pointwise = layers.Conv2D(**{key: config[key] for key in of_second}, kernel_size=1)
    return chain(
        [
            lowering.filled(depthwise, layer, lambda w: w[:1]),
            lowering.filled(pointwise, layer, lambda w: w[1:]),
            activation,
        ]
    )


def _activation(lowering: Lowering, layer: Any, name: str) -> Lowered | None:
    kind = walk.activation_name(layer)
    stays = kind not in _SIMPLE or (lowering.is_end(layer) and kind != "linear")
    return None if stays else lowering.activated(kind, name)


def _leaky_relu_or_relu(lowering: Lowering, layer: Any, name: str) -> Lowered | None:
    """A ReLU with a slope is a LeakyReLU."""
    if layer.negative_slope and not layer.threshold and layer.max_value is None:
        leaky: Lowered = layers.LeakyReLU(float(layer.negative_slope), name=name)
        return leaky
    return None


def _scaled_sum(lowering: Lowering, layer: Any, name: str) -> Lowered:
    """`inputs[0] + scale * inputs[1]`, of InceptionResNetV2."""
    scaling = layers.Rescaling(float(layer.scale), name=lowering.new_name(name, "scale"))
    total = layers.Add(name=name)
    return lambda inputs: total([inputs[0], scaling(inputs[1])])


def _by_twos(lowering: Lowering, name: str, of_two: Callable[[Any, Any, str], Any]) -> Lowered:
    """Many inputs, two at a time: so do kernels, and round what each of them gives."""

    def call(inputs: Sequence[Any]) -> Any:
        found = inputs[0]
        for number, tensor in enumerate(inputs[1:], 2):
            found = of_two(found, tensor, name if number == len(inputs) else lowering.new_name(name, "part"))
        return found

    return call


def _merged(kind: Any) -> Callable[[Lowering, Any, str], Lowered]:
    """Add and Multiply, of two or more."""
    return lambda lowering, layer, name: _by_twos(lowering, name, lambda a, b, own: kind(name=own)([a, b]))


def _average(lowering: Lowering, layer: Any, name: str) -> Lowered:
    total = _merged(layers.Add)(lowering, layer, lowering.new_name(name, "sum"))
    return lambda inputs: layers.Rescaling(1 / len(inputs), name=name)(total(inputs))


def extreme(sign: int) -> Callable[[Lowering, Any, str], Lowered]:
    """The larger of two (1) is `a + relu(b - a)`, the smaller (-1) `a - relu(a - b)`: int8 has kernels for these."""

    def rule(lowering: Lowering, operation: Any, name: str) -> Lowered:
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


def softmax(lowering: Lowering, operation: Any, name: str) -> Lowered | None:
    """Inside the model; at its end it makes probabilities, and is left away later."""
    # A mask may come beside what it takes.
    last = len(lowering.taken(operation)) == 1 and operation.axis in (-1, *(r - 1 for r in lowering.ranks(operation)))
    return lowering.activated("softmax", name) if last and not lowering.is_end(operation) else None


def _resizing(lowering: Lowering, layer: Any, name: str) -> Lowered | None:
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


def window(lowering: Lowering, name: str, size: tuple[int, int], kept: tuple[range, range]) -> Lowered:
    """Some rows and columns of maps: a crop, and a pool of single places where steps are left out.

    Args:
        lowering, name: as for rules.
        size: (height, width) of the maps.
        kept: which rows and which columns, ascending, at least one of each.
    """
    steps = tuple(places.step if len(places) > 1 else 1 for places in kept)
    behind = (length - places[-1] - 1 for length, places in zip(size, kept, strict=True))
    # What is less than a step the pool leaves out by itself.
    crops = tuple(
        (places[0], left if left >= step else 0) for places, left, step in zip(kept, behind, steps, strict=True)
    )
    made: list[Lowered] = []
    if any(map(any, crops)):
        own = name if steps == (1, 1) else lowering.new_name(name, "crop")
        made.append(layers.Cropping2D(crops, name=own))
    if steps != (1, 1):
        made.append(layers.MaxPooling2D(1, strides=steps, name=name))
    return chain(made)


def _center_crop(lowering: Lowering, layer: Any, name: str) -> Lowered | None:
    """A crop, but for maps that are too small: these it enlarges."""
    sizes = lowering.sizes(layer)
    if len(sizes) != 1 or layer.data_format != "channels_last":
        return None
    (size,) = sizes
    spare = size[0] - layer.height, size[1] - layer.width
    if min(spare) < 0:
        return None
    rows, columns = (range(length)[over // 2 :][: length - over] for length, over in zip(size, spare, strict=True))
    return window(lowering, name, size, (rows, columns))


def _rescaling(lowering: Lowering, layer: Any, name: str) -> Lowered | None:
    """Numbers by the channel, for channels that come the other way round now."""
    if not lowering.is_turned(layer):
        return None
    turned = {key: _turned(getattr(layer, key)) for key in ("scale", "offset")}
    rescaling: Lowered = layers.Rescaling.from_config({**settings_of(layer, name), **turned})
    return rescaling


def _turned(numbers: Any) -> Any:
    return np.asarray(numbers, float).reshape(-1)[::-1].tolist() if np.size(numbers) > 1 else numbers


def _stochastic_depth(lowering: Lowering, layer: Any, name: str) -> Lowered:
    dropout: Lowered = layers.Dropout(layer.drop_path_rate, noise_shape=(None, 1, 1, 1), name=name)
    return dropout


def _nothing(lowering: Lowering, layer: Any, name: str) -> Lowered:
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
LAYERS: dict[str, Rule] = {
    "Conv2D": _convolution,
    **dict.fromkeys(("Conv2DTranspose", "DepthwiseConv2D"), _with_kernel),
    "Dense": _dense,
    "SeparableConv2D": _separable,
    "Activation": _activation,
    "ReLU": _leaky_relu_or_relu,
    "Add": _merged(layers.Add),
    "Multiply": _merged(layers.Multiply),
    "Average": _average,
    "Maximum": extreme(1),
    "Minimum": extreme(-1),
    "Softmax": softmax,
    "Resizing": _resizing,
    "CenterCrop": _center_crop,
    "CustomScaleLayer": _scaled_sum,
    "Rescaling": _rescaling,
    "StochasticDepth": _stochastic_depth,
    **dict.fromkeys(ONLY_IN_TRAINING, _nothing),
}
