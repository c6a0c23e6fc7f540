"""Our own image backbone: few wide dense convolutions between max-pools, from 20 to 224 pixels.

After cifar10-airbench (Jordan, 2024), the fastest published way to train a convnet on small images, built of what
int8 kernels run fast: dense 3x3 convolutions (a depthwise MAC costs about eleven times a dense one in LiteRT, see
docs/decisions/0003-student.md), ReLU6, channels in multiples of 8, no squeeze-excite, no hard-swish.

A *base* is the widest student of a family; its narrower members keep the base's early layers whole and are narrowed
from the end, where the bytes are. So members have their costly early layers in common (`graph.prefix`), and training
them jointly costs little more than training the base.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from math import prod
from typing import Any

import keras
from keras import layers

from learn2compress.core.member import Cost, MemberSpec
from learn2compress.graph.cost import counted_cost

# Largest grid after the stem; larger images get a stem of larger patches.
LARGEST_GRID = 56
# Stages, each of which halves the grid, until it is smaller than this.
SMALLEST_HALVED = 6
# Channels of the base of width 1 by number of stages, and convolutions in each.
CHANNELS = {1: (64,), 2: (32, 96), 3: (48, 80, 112), 4: (32, 64, 96, 160)}
BLOCKS = {1: (1,), 2: (1, 2), 3: (2, 2, 2), 4: (1, 2, 2, 2)}
LARGEST_WIDTH, SMALLEST_WIDTH, WIDTH_STEP = 3.0, 0.25, 1 / 16
# How far a member narrows a stage before it starts on the one before.
NARROWEST = 1 / 4
# Of an early stage's channels, in members of other proportions.
EARLY_SHARES = (3 / 4, 1 / 2)


def _stem_stride(input_size: tuple[int, int]) -> int:
    return -(-min(input_size) // LARGEST_GRID)


def _stem_channels(stride: int) -> int:
    """With a sign each, all 12 principal components of a 2 x 2 patch; of larger patches the first few."""
    return {1: 24, 2: 32}.get(stride, 48)


def stages(input_size: tuple[int, int]) -> int:
    """How many stages: 3 at 32 px, 4 at 224 px."""
    grid, count = min(input_size) // _stem_stride(input_size) - 1, 0
    while grid >= SMALLEST_HALVED:
        grid, count = grid // 2, count + 1
    return min(max(count, 1), max(CHANNELS))


def _multiple(channels: float, of: int) -> int:
    return max(of, round(channels / of) * of)


def base(input_size: tuple[int, int], width: float) -> MemberSpec:
    """The widest student of a family.

    Args:
        input_size: (height, width) of the images.
        width: scales the channels of all stages.

    Returns:
        A spec whose `channels` are the stem's and each stage's, and whose `blocks` are the convolutions of each
        stage. Channels on large grids are multiples of 16: others cost up to twice the time.
    """
    *early, last = CHANNELS[stages(input_size)]
    channels = (*(_multiple(c * width, 16) for c in early), _multiple(last * width, 8))
    stem = _stem_channels(_stem_stride(input_size))
    return MemberSpec("student", "fresh", 1.0, input_size, (stem, *channels), BLOCKS[len(channels)])


def bases(input_size: tuple[int, int]) -> list[MemberSpec]:
    """Bases of all widths, widest first; between two of them those with a last stage in between.

    The channels of early stages go in large steps: without the latter a bound on size would leave many bytes unused.
    For bounds on work all are there with a single convolution in the first stage too.
    """
    steps = range(round(LARGEST_WIDTH / WIDTH_STEP), round(SMALLEST_WIDTH / WIDTH_STEP) - 1, -1)
    found = [base(input_size, step * WIDTH_STEP) for step in steps]
    between = [
        replace(wider, channels=(*wider.channels[:-1], last))
        for wider, next_one in pairwise(found)
        for last in range(wider.channels[-1], next_one.channels[-1] - 1, -8)
    ]
    both = [(spec, replace(spec, blocks=(1, *spec.blocks[1:]))) for spec in [*between, found[-1]]]
    return list({(spec.channels, spec.blocks): spec for specs in both for spec in specs}.values())


def narrower(widest: MemberSpec) -> Iterator[MemberSpec]:
    """The members that can be trained with this base, ever narrower; each nests in all before it.

    The last stage is narrowed first, at half its channels it loses its second convolution, at a quarter it is the
    turn of the stage before, and so on to the front, which loses its second last; then the same once more, down to
    eight channels. What early stages do is shared (`graph.prefix`) as long as they are whole.
    """
    whole = sum(widest.channels)
    channels, blocks = list(widest.channels), list(widest.blocks)
    last = len(channels) - 1

    def found() -> MemberSpec:
        width = round(sum(channels) / whole, 3)
        return replace(widest, width=width, channels=tuple(channels), blocks=tuple(blocks))

    for share in (NARROWEST, 0.0):
        for stage in range(last, 0, -1):
            step = 8 if stage == last or share == 0 else 16
            fewest = max(step, widest.channels[stage] * share)
            while channels[stage] - step >= fewest:
                channels[stage] -= step
                yield found()
                if stage > 1 and blocks[stage - 1] > 1 and channels[stage] <= widest.channels[stage] / 2:
                    blocks[stage - 1] -= 1
                    yield found()
            if stage == 1 and blocks[0] > 1:
                blocks[0] -= 1
                yield found()


def uneven(widest: MemberSpec) -> Iterator[MemberSpec]:
    """Members of other proportions than `narrower` gives: early stages at these shares, the last of any width.

    Of the first stage and of the last, all convolutions or one.

    Each nests in the base, but not in one another. They are for bounds on work beside such on size: what `narrower`
    keeps whole is where the time goes.
    """
    stem, *widths = widest.channels
    early = [sorted({max(16, _multiple(c * by, 16)) for by in EARLY_SHARES} | {c}, reverse=True) for c in widths[:-1]]
    last = range(widths[-1], max(8, _multiple(widths[-1] * NARROWEST, 8)) - 1, -8)
    ends = {0, len(widest.blocks) - 1}
    choices = [{1, blocks} if stage in ends else {blocks} for stage, blocks in enumerate(widest.blocks)]
    depths = sorted(product(*choices), reverse=True)
    known = {(spec.channels, spec.blocks) for spec in (widest, *narrower(widest))}
    for channels in product((stem,), *early, last):
        for blocks in depths:
            if (channels, blocks) not in known:
                width = round(sum(channels) / sum(widest.channels), 3)
                yield replace(widest, width=width, channels=channels, blocks=blocks)


def build_student(spec: MemberSpec, classes: int) -> keras.Model:
    """The student as a functional model: `(pixels - 128) / 128` of (n, h, w, 3) -> logits (n, classes).

    Layers of the same name in a narrower student hold the leading channels of the wider's.
    """
    stride = _stem_stride(spec.input_size)
    stem, *widths = spec.channels
    inputs = keras.Input((*spec.input_size, 3), name="image")
    x = _convolution(inputs, stem, "stem", kernel=2 * stride, strides=stride, padding="valid")
    x = _normalized(x, "stem")
    for number, (channels, blocks) in enumerate(zip(widths, spec.blocks, strict=True)):
        name = f"stage{number}_enter"
        # Pooled before it is normalized: a quarter of the work. `graph.fold` moves the norm back through the pool.
        x = _convolution(x, channels, name)
        x = layers.MaxPooling2D(2, name=f"{name}_pool")(x) if min(x.shape[1:3]) > 1 else x
        x = _normalized(x, name)
        for block in range(1, blocks):
            name = f"stage{number}_conv{block}"
            x = _normalized(_convolution(x, channels, name), name)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name=spec.name.replace("-", "_"))


def student_cost(spec: MemberSpec, classes: int) -> tuple[Cost, int]:
    """What `graph.cost.model_cost` gives for `build_student`, and how many weight layers the student has.

    A plan looks at up to thousands of students, and building one takes a tenth of a second.
    """
    stride = _stem_stride(spec.input_size)
    grid = [(side - 2 * stride) // stride + 1 for side in spec.input_size]
    before, *widths = spec.channels
    # Of each: elements of the kernel for one channel made, such channels, and how many places it is computed at.
    kernels = [((2 * stride) ** 2 * 3, before, prod(grid))]
    pools = 1
    for channels, blocks in zip(widths, spec.blocks, strict=True):
        for block in range(blocks):
            kernels.append((9 * before, channels, prod(grid)))
            before = channels
            if block == 0 and min(grid) > 1:
                grid = [side // 2 for side in grid]
                pools += 1
    kernels.append((before, classes, 1))
    made = sum(channels for _, channels, _ in kernels)
    return counted_cost(
        parameters=sum(elements * channels for elements, channels, _ in kernels) + made,
        macs=sum(map(prod, kernels)),
        channels=made,
        operators=len(kernels) + pools,
    ), len(kernels)


def _convolution(x: Any, channels: int, name: str, kernel: int = 3, **options: Any) -> Any:
    options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal", **options}
    return layers.Conv2D(channels, kernel, name=f"{name}_conv", **options)(x)


def _normalized(x: Any, name: str) -> Any:
    # A scale that is never negative: only such a norm can move to the other side of a max-pool.
    x = layers.BatchNormalization(gamma_constraint="non_neg", name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
