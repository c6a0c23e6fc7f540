"""Costs, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from learn2compress.graph.calls import read_graph
from learn2compress.graph.cost import model_cost
from learn2compress.graph.macs import uncounted


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


# For each: the shapes that a layer takes, what makes it, and its multiply-accumulates.
SUMMING: dict[str, tuple[list[tuple[int, ...]], Callable[..., Any], int]] = {
    "heads": (
        [(9, 12)],
        lambda: lambda x: layers().MultiHeadAttention(2, 5)(x, x),
        4 * 9 * 12 * 10 + 2 * 9 * 9 * 10,
    ),
    "heads of other lengths and widths": (
        [(9, 12), (7, 8)],
        lambda: lambda x, y: layers().MultiHeadAttention(2, 5, value_dim=3, output_shape=4)(value=y, query=x),
        9 * 12 * 10 + 7 * 8 * 10 + 7 * 8 * 6 + 9 * 6 * 4 + 9 * 7 * 2 * (5 + 3),
    ),
    "heads along one axis of a map": (
        [(4, 6, 12)],
        lambda: lambda x: layers().MultiHeadAttention(2, 5, attention_axes=(2,))(x, x),
        4 * 24 * 12 * 10 + 2 * 4 * 6 * 6 * 10,
    ),
    "heads that share their keys": (
        [(9, 12)],
        lambda: lambda x: layers().GroupQueryAttention(5, 4, 2)(x, x),
        2 * 9 * 12 * 20 + 2 * 9 * 12 * 10 + 2 * 9 * 9 * 20,
    ),
    "attention": ([(9, 6), (7, 6)], lambda: lambda x, y: layers().Attention()([x, y]), 9 * 7 * (6 + 6)),
    "an equation": ([(9, 12)], lambda: layers().EinsumDense("abc,cde->abde", (9, 2, 5)), 9 * 12 * 2 * 5),
    "an equation for any rank": (
        [(4, 6, 12)],
        lambda: layers().EinsumDense("...c,cd->...d", 5, bias_axes="d"),
        24 * 12 * 5,
    ),
    "dense in time": ([(7, 3)], lambda: layers().TimeDistributed(layers().Dense(5)), 7 * 3 * 5),
    "convolution in time": (
        [(3, 8, 8, 2)],
        lambda: layers().TimeDistributed(layers().Conv2D(4, 3)),
        3 * 6 * 6 * 9 * 2 * 4,
    ),
    "model in time": ([(3, 8, 8, 2)], lambda: layers().TimeDistributed(small_model((8, 8, 2))), 3 * 6 * 6 * 72),
    "model of any size in time": (
        [(3, 8, 8, 2)],
        lambda: layers().TimeDistributed(small_model((None, None, 2))),
        3 * 6 * 6 * 72,
    ),
    "lstm": ([(7, 3)], lambda: layers().LSTM(5), 7 * (3 + 5) * 4 * 5),
    "gru": ([(7, 3)], lambda: layers().GRU(5, return_sequences=True), 7 * (3 + 5) * 3 * 5),
    "both ways": ([(7, 3)], lambda: layers().Bidirectional(layers().SimpleRNN(5)), 2 * 7 * (3 + 5) * 5),
    "convolution that remembers": (
        [(3, 8, 8, 2)],
        lambda: layers().ConvLSTM2D(5, 3, return_sequences=True),
        3 * 6 * 6 * 9 * (2 + 5) * 4 * 5,
    ),
    "normalized kernel": (
        [(8, 8, 2)],
        lambda: layers().SpectralNormalization(layers().Conv2D(4, 3)),
        6 * 6 * 9 * 2 * 4,
    ),
    "product of tensors": ([(9, 6), (6, 7)], lambda: lambda x, y: x @ y, 9 * 6 * 7),
    "einsum of tensors": ([(9, 6), (7, 6)], lambda: lambda x, y: ops().einsum("bic,bjc->bij", x, y), 9 * 7 * 6),
    "dot": ([(9, 6), (9, 7)], lambda: lambda x, y: layers().Dot(1)([x, y]), 6 * 7 * 9),
    "channels first": ([(2, 8, 8)], lambda: layers().Conv2D(4, 3, data_format="channels_first"), 6 * 6 * 9 * 2 * 4),
}


def ops() -> Any:
    from keras import ops

    return ops


def small_model(shape: tuple[int | None, ...]) -> Any:
    from keras import Sequential

    return Sequential([layers().Input(shape), layers().Conv2D(4, 3), layers().GlobalAveragePooling2D()])


@pytest.mark.parametrize("case", SUMMING)
def test_what_sums_up_products_is_counted(case: str) -> None:
    from keras import Input, Model

    shapes, make, macs = SUMMING[case]
    inputs = [Input(shape) for shape in shapes]
    model = Model(inputs, make()(*inputs))
    assert model_cost(model).macs == macs
    assert uncounted(read_graph(model)) == []


def test_what_is_not_counted_is_named() -> None:
    import keras
    from keras import Input, Model

    of = layers()

    class Mixing(of.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            self.inner = of.Dense(6)

        def build(self, shape: Any) -> None:
            self.inner.build(shape)

        def call(self, x: Any) -> Any:
            return self.inner(x)

        def compute_output_shape(self, shape: Any) -> Any:
            return (*shape[:-1], 6)

    image = Input((8, 8, 3))
    x = of.PReLU()(of.LayerNormalization(axis=[1, 2, 3])(of.Conv2D(6, 1)(image)))
    again = Mixing(name="mixing")
    x = of.TimeDistributed(Mixing(), name="in_time")(again(again(x)))
    graph = read_graph(Model(image, keras.ops.tensordot(x, x, axes=[[3], [3]])))
    assert uncounted(graph)[:2] == ["mixing", "in_time"]
    assert len(uncounted(graph)) == 3


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
