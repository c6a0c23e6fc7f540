"""What `.tflite` files cost and how accurate they are, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text


def files_tables(found: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """What `inspection.measure_paths` found, a row each."""
    table = Table("file", "bytes", "zipped", "parameters", "MACs", "median ms", "p90 ms", "peak memory")
    for row in found:
        latency = row["latency_ms"]
        table.add_row(
            Text(row["file"]),
            *(f"{row[key]:,}" for key in ("size_bytes", "zipped_bytes", "parameters", "macs")),
            f"{latency['median']:.3f}",
            f"{latency['p90']:.3f}",
            f"{row['peak_memory_bytes']:,}",
        )
    yield table


def accuracy_lines(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What `inspection.evaluate_file` found: the accuracy, and of each class."""
    yield Text(f"{100 * found['accuracy']:.2f} % of {found['examples']} images ({found['split']})")
    for name, value in found["per_class"].items():
        yield Text(f"  {'–' if value is None else f'{100 * value:5.1f} %'}  {name}")
