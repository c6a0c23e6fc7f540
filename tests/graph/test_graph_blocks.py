"""Residual branches that can go, and those that can't."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from keras import Input, Model, layers

from learn2compress.core.choice import Choice
from learn2compress.graph.channels import Channels, find_channels
from learn2compress.graph.surgery import prune

WIDTH = 12
Settle = Callable[[Any, int], Any]


def conv(x: Any, name: str, **more: Any) -> Any:
    return layers.Conv2D(more.pop("filters", WIDTH), 3, padding="same", name=name, **more)(x)


def branch(x: Any, name: str) -> Any:
    """Ends in a batch norm, which can make it say nothing."""
    return layers.BatchNormalization(name=f"{name}_norm")(conv(x, f"{name}_conv"))


def summed(x: Any, name: str) -> Any:
    return layers.Add(name=name)([x, branch(x, name)])


def block(x: Any, name: str) -> Any:
    return layers.ReLU(name=f"{name}_relu")(summed(x, name))


def model_of(body: Callable[[Any], Any]) -> Any:
    image = Input((8, 8, 3))
    x = body(conv(image, "stem"))
    return Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


def nested_blocks(x: Any) -> Any:
    return layers.Add(name="outer")([x, branch(block(conv(x, "before"), "inner"), "outer")])


def twice_called(x: Any) -> Any:
    inside = Input((8, 8, WIDTH))
    inner = Model(inside, block(inside, "again"), name="nest")
    return inner(inner(x))


def gated(x: Any) -> Any:
    y = branch(x, "gated")
    gate = layers.Dense(WIDTH, activation="sigmoid")(layers.GlobalAveragePooling2D()(y))
    return layers.Add(name="gated")([layers.Multiply()([y, gate]), x])


def many_ways(x: Any) -> Any:
    """Branches inside the branch, which a concatenation brings together."""
    ways = [conv(x, f"way{i}") for i in range(3)]
    y = layers.BatchNormalization(name="many_norm")(conv(layers.Concatenate()(ways), "join"))
    return layers.Add(name="many")([x, y])


REMOVABLE: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "two in a row": (lambda x: block(block(x, "one"), "two"), ["one", "two"]),
    "one sum after the other": (lambda x: summed(summed(x, "one"), "two"), ["one", "two"]),
    "one in the other": (nested_blocks, ["inner", "outer"]),
    "in a model called twice": (twice_called, ["again", "again#2"]),
    "operation": (lambda x: x + branch(x, "plus"), ["add"]),
    "gated": (gated, ["gated"]),
    "many ways": (many_ways, ["many"]),
}


def images() -> Any:
    return np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("case", REMOVABLE)
def test_without_branches_that_say_nothing_the_outputs_are_the_same(settle: Settle, case: str) -> None:
    body, expected = REMOVABLE[case]
    model = settle(model_of(body), 1)
    channels = find_channels(model)
    names = [b.name for b in channels.blocks]
    # Keras counts unnamed operations.
    assert [re.sub(r"_\d+$", "", name) for name in names] == expected
    whole = np.asarray(model(images()))
    for name in names:
        member = prune(channels, Choice(removed=frozenset([name]))).model
        assert np.abs(np.asarray(member(images())) - whole).max() > 1e-3
    silence_norms(channels)
    member = prune(channels, Choice(removed=frozenset(names))).model
    assert member.count_params() < model.count_params()
    np.testing.assert_allclose(np.asarray(member(images())), np.asarray(model(images())), rtol=0, atol=1e-5)


def silence_norms(channels: Channels) -> None:
    """All branches end in a batch norm."""
    for layer in channels.graph.layers:
        if layer.name.endswith("_norm"):
            layer.gamma.assign(0 * layer.gamma)
            layer.beta.assign(0 * layer.beta)


def test_a_layer_goes_with_the_last_block_that_calls_it(settle: Settle) -> None:
    model = settle(model_of(twice_called), 1)
    channels = find_channels(model)
    for removed, stays in ((["again"], True), (["again#2"], True), (["again", "again#2"], False)):
        member = prune(channels, Choice(removed=frozenset(removed))).model
        assert ("again_conv" in {layer.name for layer in member.layers}) == stays


def projected(x: Any) -> Any:
    return layers.Add()([conv(x, "short", strides=2), conv(conv(x, "a"), "b", strides=2)])


def looked_into(x: Any) -> Any:
    y = branch(x, "a")
    return layers.Concatenate()([layers.Add()([x, y]), y])


def also_an_output() -> Any:
    image = Input((8, 8, 3))
    x = conv(image, "stem")
    y = branch(x, "a")
    return Model(image, [layers.Add()([x, y]), y])


def broadcast(x: Any) -> Any:
    """Without the branch the sum would be smaller."""
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Add()([pooled, conv(layers.UpSampling2D(8)(pooled), "a")])


def fed_from_elsewhere(x: Any) -> Any:
    return layers.Add()([conv(x, "a"), conv(conv(x, "b"), "c")])


STAY: dict[str, Callable[[], Any]] = {
    "the shortcut has a layer": lambda: model_of(projected),
    "something else reads the branch": lambda: model_of(looked_into),
    "the branch is an output": also_an_output,
    "the shortcut is smaller": lambda: model_of(broadcast),
    "the branch does not start at the shortcut": lambda: model_of(fed_from_elsewhere),
    "a product": lambda: model_of(lambda x: layers.Multiply()([x, conv(x, "a")])),
    "three summands": lambda: model_of(lambda x: layers.Add()([x, conv(x, "a"), conv(x, "b")])),
    "a tensor added to itself": lambda: model_of(lambda x: layers.Add()([x, x])),
}


@pytest.mark.parametrize("case", STAY)
def test_what_is_no_branch_with_a_shortcut_stays(case: str) -> None:
    assert find_channels(STAY[case]()).blocks == ()
