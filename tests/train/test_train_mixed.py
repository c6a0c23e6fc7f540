"""The search for what int8 costs most finds what was made hard for it, and the file keeps just that in float32."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learn2compress.core.precision import FileFormat, file_formats
from learn2compress.export.convert import to_int8
from learn2compress.measure.graph import describe
from learn2compress.stages.files import ready_to_write
from learn2compress.stages.float_parts import float_parts, kept_for
from learn2compress.train.fake_quant import fake_quantize, set_tracking
from learn2compress.train.mixed import coarsest, float_layers, rounded_tensors, search, widened
from learn2compress.train.quantize import folded

SIZE, COUNT = 12, 128
INT8 = file_formats(["int8"])[0]


@pytest.fixture(scope="module")
def inputs() -> Any:
    random = np.random.default_rng(1)
    base = random.integers(0, 256, (COUNT, 1, 1, 3))
    pixels = np.clip(base + random.normal(0, 60, (COUNT, SIZE, SIZE, 3)), 0, 255)
    return ((pixels.astype(np.uint8).astype(np.float32) - 128) / 128).astype(np.float32)


@pytest.fixture(scope="module")
def hard(tiny_member: Callable[..., Any], inputs: Any) -> tuple[Any, Any, Any]:
    """A folded graph, its calibrated twin, and what the graph says: one channel of `b_depthwise` is 300 times as
    large as the others, and is made as small again by the next kernel. In float32 nothing has changed."""
    random = np.random.default_rng(0)
    model = tiny_member(16)
    for layer in model.layers:
        for weight in layer.weights:
            if "kernel" in weight.name:
                fan_in = max(1, int(np.prod(weight.shape[:-1])))
                weight.assign(random.normal(0, 1.5 * fan_in**-0.5, weight.shape))
            elif weight.name in ("gamma", "moving_variance"):
                weight.assign(random.uniform(0.5, 1.5, weight.shape))
            else:
                weight.assign(random.normal(0.1, 0.2, weight.shape))
    graph = folded(model)
    kernel, bias = graph.get_layer("b_depthwise").get_weights()
    kernel[:, :, 0], bias[0] = 300 * kernel[:, :, 0], 300 * bias[0]
    graph.get_layer("b_depthwise").set_weights([kernel, bias])
    kernel, bias = graph.get_layer("b").get_weights()
    kernel[:, :, 0] /= 300
    graph.get_layer("b").set_weights([kernel, bias])
    # Every class is as frequent as any other, so that errors show.
    kernel, bias = graph.get_layer("logits").get_weights()
    graph.get_layer("logits").set_weights([kernel, bias - np.asarray(graph(inputs)).mean(axis=0)])
    twin = fake_quantize(graph)
    set_tracking(twin, 1.0)
    twin(inputs, training=True)
    set_tracking(twin, 0.0)
    return graph, twin, np.asarray(graph(inputs)).argmax(axis=1)


def accuracy(model: Any, inputs: Any, labels: Any) -> float:
    return float((np.asarray(model(inputs, training=False)).argmax(axis=1) == labels).mean())


def test_the_tensor_that_was_made_hard_is_found_and_brings_the_accuracy_back(
    hard: tuple[Any, Any, Any], inputs: Any
) -> None:
    graph, twin, labels = hard
    lost_by_int8 = 1 - accuracy(twin, inputs, labels)
    assert lost_by_int8 > 0.05
    steps = []
    found = search(
        twin,
        graph,
        inputs,
        labels,
        lambda model: 1 - accuracy(model, inputs, labels),
        goal=0.02,
        advance=lambda: steps.append(1),
    )
    assert found.kept[0] == "b_depthwise"
    assert found.loss < lost_by_int8 / 2
    assert found.sensitivities[0].layer == "b_depthwise"
    assert found.sensitivities[0].accuracy > 0
    assert {one.layer for one in found.sensitivities} == set(rounded_tensors(twin))
    assert len(steps) == len(found.sensitivities)


def test_what_an_earlier_search_has_tried_is_not_tried_again(hard: tuple[Any, Any, Any], inputs: Any) -> None:
    graph, twin, labels = hard
    known: dict[str, Any] = {}
    found_out: list[str] = []

    def searched(most: int) -> Any:
        def recall(key: str, find_out: Callable[[], Any]) -> Any:
            if key not in known:
                if len(found_out) == most:
                    raise KeyboardInterrupt
                found_out.append(key)
                known[key] = json.loads(json.dumps(find_out()))
            return known[key]

        lost = lambda model: 1 - accuracy(model, inputs, labels)  # noqa: E731
        return search(twin, graph, inputs, labels, lost, goal=0.02, recall=recall)

    for most in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            searched(most)
    found = searched(-1)
    assert len(found_out) == len(set(found_out)) > 4
    lost = lambda model: 1 - accuracy(model, inputs, labels)  # noqa: E731
    undisturbed = search(twin, graph, inputs, labels, lost, goal=0.02)
    assert (found.kept, found.loss) == (undisturbed.kept, undisturbed.loss)
    assert found.sensitivities == undisturbed.sensitivities


def test_where_there_is_no_time_left_the_coarsest_alone_is_tried(hard: tuple[Any, Any, Any], inputs: Any) -> None:
    graph, twin, labels = hard
    lost = 1 - accuracy(twin, inputs, labels)
    found = search(twin, graph, inputs, labels, lambda model: lost, goal=0.0, seconds=0.0)
    assert [one.layer for one in found.sensitivities] == ["b_depthwise"]
    assert found.kept == ("b_depthwise",)


def test_the_coarsest_rounding_is_known_without_trying(hard: tuple[Any, Any, Any], inputs: Any) -> None:
    graph, twin, _ = hard
    order = coarsest(twin, graph, rounded_tensors(twin), inputs[:16])
    assert order[0] == "b_depthwise"
    assert set(order) == set(rounded_tensors(twin))


def test_nothing_is_widened_where_the_loss_is_small_enough(hard: tuple[Any, Any, Any], inputs: Any) -> None:
    graph, twin, labels = hard
    found = search(twin, graph, inputs[:8], labels[:8], lambda model: 0.001, goal=0.01)
    assert found.kept == ()
    assert found.model is twin


@pytest.mark.parametrize(
    ("wide", "layers"),
    [
        ("b_depthwise", {"b_depthwise", "b"}),
        ("a_relu", {"a", "a_relu", "b_depthwise", "sum", "out"}),
        ("out", {"sum", "out", "pool"}),
        ("pool", {"sum", "out", "pool", "logits"}),
        ("logits", {"logits"}),
    ],
)
def test_a_tensor_that_is_not_rounded_is_written_and_read_in_float32_and_nothing_else_is(
    hard: tuple[Any, Any, Any], inputs: Any, tmp_path: Path, wide: str, layers: set[str]
) -> None:
    graph, twin, _ = hard
    assert set(float_layers(graph, (wide,))) == layers
    model = ready_to_write(widened(twin, graph, (wide,)), INT8, "member")
    path = tmp_path / "member.tflite"
    path.write_bytes(to_int8(model, (SIZE, SIZE), INT8))
    named = [*layers, "probabilities"] if wide == "logits" else sorted(layers)
    parts, unexplained = float_parts(path, INT8, kept_for({wide: named}))
    assert unexplained == ()
    (part,) = parts
    assert wide in part.reason
    assert part.operators == describe(path).float_islands
    # Named for another tensor, some of these operators have no reason.
    _, unexplained = float_parts(path, INT8, kept_for({"stem_relu": ["stem", "stem_relu"]}))
    assert unexplained
    ports = [port.dtype for port in (*describe(path).inputs, *describe(path).outputs)]
    assert ports == ["UINT8", "UINT8"]


def test_the_file_gives_what_the_widened_model_gives(hard: tuple[Any, Any, Any], inputs: Any, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    graph, twin, _ = hard
    model = ready_to_write(widened(twin, graph, ("b_depthwise",)), FileFormat(), "member")
    path = tmp_path / "member.tflite"
    path.write_bytes(to_int8(model, (SIZE, SIZE)))
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    image_in, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for one in inputs[:32]:
        interpreter.set_tensor(image_in["index"], (one[None] * 128 + 128).astype(np.uint8))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(out["index"])[0] / 256)
    np.testing.assert_allclose(np.stack(outputs), np.asarray(model(inputs[:32])), atol=2.1 / 256)
