"""Our own image backbone: residual stages that int8 kernels run fast, from 32 to 224 pixels.

Stages of fewer than 128 channels (in the student of width 1) use dense 3x3 convolutions: there a depthwise MAC costs
about eleven times a dense one in LiteRT (docs/decisions/0003-student.md). Wider stages use separable convolutions,
which save bytes and MACs where channels are many. ReLU6 everywhere, no squeeze-excite, no hard-swish, channels in
multiples of 8, and an explicit ZeroPadding2D before every strided convolution, which XNNPACK fuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from learn2compress.core.member import MemberSpec

SEPARABLE_FROM = 128
# Channels of the student of width 1 by number of stages: the stem's, then one entry a stage.
CHANNELS = {1: (16, 32), 2: (16, 32, 64), 3: (16, 32, 64, 96), 4: (16, 32, 48, 96, 160)}
LARGEST_GRID = 7.5
# Inputs up to this size keep their full resolution in the stem: small pictures have no pixel to spare.
LARGEST_FULL_STEM = 40
LARGEST_WIDTH, SMALLEST_WIDTH = 2.0, 0.25


def _stem_stride(input_size: tuple[int, int]) -> int:
    return 1 if min(input_size) <= LARGEST_FULL_STEM else 2


def stages(input_size: tuple[int, int]) -> int:
    """How many stages, each of which halves the resolution: until the grid is about 4 to 7 wide."""
    after_stem = min(input_size) / _stem_stride(input_size)
    return min(4, max(1, math.ceil(math.log2(after_stem / LARGEST_GRID))))


def multiple(channels: float, of: int) -> int:
    """Rounded to a multiple, at least one of it."""
    return max(of, round(channels / of) * of)


def student_channels(input_size: tuple[int, int], width: float) -> tuple[int, ...]:
    """Channels of the stem and of each stage of the student of this width.

    Multiples of 16 on the large grids, where other counts cost up to twice the time in training and in LiteRT;
    of 8 in the last stage, which is small and where most of the bytes are. So the stem stays 16 wide in narrow
    students: it is next to nothing of their bytes and feeds all the rest.
    """
    *early, last = CHANNELS[stages(input_size)]
    return (*(multiple(c * width, 16) for c in early), multiple(last * width, 8))


def student_blocks(input_size: tuple[int, int]) -> tuple[int, ...]:
    """Residual blocks of each stage: two in the middle stages, where most is learnt for the bytes."""
    count = stages(input_size)
    return (1, *(2 for _ in range(count - 2)), 0)[:count] if count > 1 else (1,)


def build_student(spec: MemberSpec, classes: int) -> keras.Model:
    """The student as a functional model: `(pixels - 128) / 128` of (n, h, w, 3) -> logits (n, classes).

    The first stage enters by a strided convolution, the middle ones by a strided residual block, the last one is
    two plain convolutions. Layers of the same name in a narrower student hold the leading channels of the wider's.
    """
    inputs = keras.Input((*spec.input_size, 3), name="image")
    stem, *widths = spec.channels
    # Dense or separable is decided by the stage, not by its channels, or narrow would not nest in wide.
    separable = [c >= SEPARABLE_FROM for c in CHANNELS[stages(spec.input_size)][1:]]
    x = _conv(inputs, stem, "stem", stride=_stem_stride(spec.input_size))
    for number, (channels, blocks) in enumerate(zip(widths, spec.blocks, strict=True)):
        convolution = _separable if separable[number] else _conv
        name = f"stage{number}"
        entered = number == 0 or blocks == 0
        if entered:
            x = convolution(x, channels, f"{name}_enter", stride=2)
        if blocks == 0:
            x = convolution(x, channels, f"{name}_last")
        for block in range(blocks):
            stride = 2 if block == 0 and not entered else 1
            x = _residual(x, channels, f"{name}_block{block}", stride, convolution)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, logits, name=spec.name.replace("-", "_"))


def _norm(x: Any, name: str, activate: bool) -> Any:
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _conv(x: Any, channels: int, name: str, stride: int = 1, kernel: int = 3, activate: bool = True) -> Any:
    padding = "same"
    if stride == 2:
        # "same" pads stride 2 on one side only; both sides is what accelerators and XNNPACK's fusion expect.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return _norm(x, name, activate)


def _separable(x: Any, channels: int, name: str, stride: int = 1, activate: bool = True) -> Any:
    padding = "same"
    if stride == 2:
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding=padding,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )(x)
    x = _norm(x, f"{name}_depthwise", activate=False)
    return _conv(x, channels, name, kernel=1, activate=activate)


def _residual(x: Any, channels: int, name: str, stride: int, convolution: Callable[..., Any]) -> Any:
    y = convolution(x, channels, f"{name}_a", stride)
    y = convolution(y, channels, f"{name}_b", activate=False)
    if stride == 2:
        x = layers.AveragePooling2D(2, padding="same", name=f"{name}_shrink")(x)
    if stride == 2 or x.shape[-1] != channels:
        x = _conv(x, channels, f"{name}_skip", kernel=1, activate=False)
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
