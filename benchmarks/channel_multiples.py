"""Which channel counts LiteRT's int8 kernels like: latency of small convnets, one a channel count, interleaved.

    python benchmarks/channel_multiples.py

Each model has six layers of one kind with so many channels at 28 x 28. If latency went with the work, nanoseconds per
thousand multiply-accumulates would be the same for all counts.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import tempfile
from pathlib import Path

import keras
from _harness import write_result
from keras import layers
from rich.console import Console
from rich.table import Table

from learn2compress.export.convert import to_int8
from learn2compress.graph.cost import model_cost
from learn2compress.measure.latency import latencies
from learn2compress.train.quantize import quantization_ready, with_probabilities

SIZE = (28, 28)
COUNTS = (*range(40, 50), 52, 56, 60, 64)
KINDS = ("3x3", "1x1", "inverted residual")


def build(kind: str, channels: int) -> keras.Model:
    """`(pixels - 128) / 128` to 10 logits."""
    x = image = keras.Input((*SIZE, 3))
    x = layers.Conv2D(channels, 1, activation="relu", name="first")(x)
    for number in range(6):
        if kind == "inverted residual":
            x = layers.Conv2D(channels, 1, activation="relu", name=f"expand{number}")(x)
            x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name=f"depthwise{number}")(x)
        else:
            x = layers.Conv2D(channels, int(kind[0]), padding="same", activation="relu", name=f"conv{number}")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(layers.GlobalAveragePooling2D()(x)))


def main() -> None:
    """Prints the table and writes `results/channel_multiples.json`."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            paths, macs = [], []
            for channels in COUNTS:
                model = build(kind, channels)
                path = Path(folder) / f"{channels}.tflite"
                path.write_bytes(to_int8(with_probabilities(quantization_ready(model), "m"), SIZE))
                paths.append(path)
                macs.append(model_cost(model).macs)
                keras.backend.clear_session(free_memory=False)
            timed = latencies(paths, seconds_per_file=3.0)
            found[kind] = {
                channels: {"milliseconds": t.median, "nanoseconds_per_kmac": 1e9 * t.median / m}
                for channels, t, m in zip(COUNTS, timed, macs, strict=True)
            }
    table = Table("channels", *(f"{kind}, ms (ns per 1000 MACs)" for kind in KINDS))
    for channels in COUNTS:
        cells = [found[kind][channels] for kind in KINDS]
        table.add_row(str(channels), *(f"{c['milliseconds']:.4f} ({c['nanoseconds_per_kmac']:.1f})" for c in cells))
    Console().print(table)
    write_result("channel_multiples", "python benchmarks/channel_multiples.py", latency=found)


if __name__ == "__main__":
    main()
