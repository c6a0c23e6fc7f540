"""Costs, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from learn2compress.graph.cost import model_cost


def layers() -> Any:
    from keras import layers

    return layers


def test_the_cost_of_a_small_net_is_what_one_counts_by_hand() -> None:
    from keras import Input, Model

    of = layers()
    image = Input((16, 12, 3))
    x = of.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)  # 8 x 6 places
    x = of.ReLU()(of.BatchNormalization()(x))
    x = of.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = of.BatchNormalization()(x)
    x = of.Conv2D(16, 1)(x)
    x = of.GlobalAveragePooling2D()(x)
    cost = model_cost(Model(image, of.Dense(5)(x)))
    assert cost.macs == 8 * 6 * (3 * 3 * 3 * 8 + 3 * 3 * 8 + 8 * 16) + 16 * 5
    # With batch norm folded, each convolution has a bias, whatever it had before.
    assert cost.parameters == (3 * 3 * 3 * 8 + 8) + (3 * 3 * 8 + 8) + (8 * 16 + 16) + (16 * 5 + 5)
    assert cost.size_bytes > cost.parameters


@pytest.mark.parametrize(
    ("name", "arguments", "macs"),
    [
        ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "valid"}, 6 * 6 * 9 * 2 * 4),
        ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "same", "groups": 2}, 8 * 8 * 9 * 1 * 4),
        ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "same", "dilation_rate": 2}, 8 * 8 * 9 * 2 * 4),
        ("DepthwiseConv2D", {"kernel_size": 3, "padding": "same", "depth_multiplier": 3}, 8 * 8 * 9 * 2 * 3),
        (
            "SeparableConv2D",
            {"filters": 4, "kernel_size": 3, "padding": "same"},
            8 * 8 * (9 * 2 + 2 * 4),
        ),
        # Every input place is multiplied with the whole kernel.
        ("Conv2DTranspose", {"filters": 4, "kernel_size": 2, "strides": 2}, 8 * 8 * 4 * 2 * 4),
        ("Dense", {"units": 5}, 8 * 8 * 2 * 5),
        ("MaxPooling2D", {}, 0),
        ("BatchNormalization", {}, 0),
    ],
)
def test_a_layer_multiplies_as_often_as_its_definition_says(name: str, arguments: dict[str, Any], macs: int) -> None:
    from keras import Input, Model

    image = Input((8, 8, 2))
    assert model_cost(Model(image, getattr(layers(), name)(**arguments)(image))).macs == macs


def test_a_nested_model_costs_what_its_layers_cost() -> None:
    from keras import Input, Model, Sequential

    of = layers()
    body = [of.Conv2D(4, 3), of.GlobalAveragePooling2D(), of.Dense(2)]
    image = Input((8, 8, 3))
    nested = Model(image, Sequential(body)(image))
    flat = Sequential([Input((8, 8, 3)), of.Conv2D(4, 3), of.GlobalAveragePooling2D(), of.Dense(2)])
    assert model_cost(nested) == model_cost(flat)


def test_what_is_called_twice_computes_twice_with_the_same_weights() -> None:
    from keras import Input, Model

    of = layers()
    inside = Input((None, None, 4))
    nested = Model(inside, of.Conv2D(4, 3, padding="same")(inside))
    image = Input((8, 8, 4))
    again = of.Conv2D(4, 1)
    cost = model_cost(Model(image, again(nested(again(nested(image))))))
    assert cost.macs == 2 * 8 * 8 * (3 * 3 * 4 * 4 + 4 * 4)
    assert cost.parameters == 3 * 3 * 4 * 4 + 4 + 4 * 4 + 4
