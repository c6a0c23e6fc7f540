"""What `.tflite` files cost and how accurate they are, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from learn2compress.core.framing import CROP
from learn2compress.core.units import show_bytes, show_count
from learn2compress.inputs.wording import listed


def files_tables(found: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """What `measure.models.measure_paths` found, a row each; it fits on 80 columns."""
    table = Table(
        Column("file", overflow="fold"),
        *(
            Column(name, justify="right", no_wrap=True)
            for name in ("size", "zipped", "MACs", "median", "p90", "memory")
        ),
        Column("XNNPACK", no_wrap=True),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for row in found:
        latency, taken = row["latency_ms"], row["xnnpack"]
        table.add_row(
            Text(Path(row["file"]).name.removesuffix(".tflite")),
            *(show_bytes(row[key]) for key in ("size_bytes", "zipped_bytes")),
            show_count(row["macs"]),
            *(f"{latency[key]:.3g}" for key in ("median", "p90")),
            show_bytes(row["peak_memory_bytes"]),
            f"{taken['delegated']}/{taken['operators']} in {taken['pieces']}",
        )
    yield table
    yield Text("Median and p90 in ms. XNNPACK: operators it runs, in how many pieces. More: --json.", style="dim")


def accuracy_lines(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What `evaluation.evaluate_file` found: the accuracy, and of each class, and what is to be known of it."""
    fed = "" if found["preprocessing"] == "raw" else f", pixels prepared by {found['preprocessing']}"
    fed += "" if found["framing"] == CROP else ", squeezed into the input's shape"
    yield Text(f"{100 * found['accuracy']:.2f} % of {found['examples']} images ({found['split']}){fed}")
    shares = found["per_class"]
    for name, value in shares.items():
        if value is not None:
            yield Text(f"  {100 * value:5.1f} %  {name}")
    if unseen := [name for name, value in shares.items() if value is None]:
        yield Text(f"No images of {len(unseen)} of {len(shares)} classes: {listed(unseen, 10)}")
    for note in found["notes"]:
        yield Text(f"Note: {note}")
