"""Shares of groups and blocks, counted by hand."""

from __future__ import annotations

from typing import Any

from keras import Input, Model, layers

from learn2compress.graph.cost import model_cost
from learn2compress.graph.structure import structure


def conv(channels: int, name: str, **more: Any) -> Any:
    return layers.Conv2D(channels, 3, padding="same", use_bias=False, name=name, **more)


def test_a_group_has_the_share_of_the_kernels_that_its_channels_lie_along() -> None:
    image = Input((8, 8, 3))
    both = layers.Concatenate()([conv(12, "a")(image), conv(20, "b")(image)])
    x = layers.GlobalAveragePooling2D()(conv(16, "c")(both))
    model = Model(image, layers.Dense(5, use_bias=False)(x))
    found = {group.name: group for group in structure(model).groups}
    whole = model_cost(model).macs
    # Of what c takes from both, a makes its own part.
    assert found["a"].macs == round(64 * 9 * (3 * 12 + 12 * 16) / whole, 4)
    assert found["c"].macs == round((64 * 9 * 32 * 16 + 16 * 5) / whole, 4)
    assert 0 < found["a"].parameters < found["c"].parameters < 1


def test_no_share_is_more_than_the_whole() -> None:
    image = Input((8, 8, 3))
    again = conv(16, "again")
    x = conv(16, "a")(image)
    for _ in range(3):
        x = layers.Add()([x, again(x)])
    model = Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))
    found = structure(model)
    (stream,) = found.groups
    # All is made by it or made of it.
    assert stream.macs == 1
    assert 0.9 < stream.parameters < 1
    assert all(0 < block.macs < 1 and 0 <= block.parameters < 1 for block in found.blocks)


def test_channels_that_go_together_are_counted_as_channels() -> None:
    image = Input((8, 8, 3))
    x = conv(64, "b", groups=4)(conv(64, "a")(image))
    x = conv(16, "few", groups=16)(conv(16, "d")(x))
    x = conv(8, "end", groups=2)(conv(8, "start")(x))
    found = structure(Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x))))
    assert [(group.name, group.channels, group.together) for group in found.groups] == [("a", 64, 16), ("d", 16, 1)]
    assert ("start", 8, "it has only 8 channels, of which 4 go together") in found.held
