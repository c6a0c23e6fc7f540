"""What a model is, and what could be cut from it, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from learn2compress.report.tables.data import data_tables

# Shown in tables of their own, or, what speaks against compressing, at the command's end.
_APART = ("structure", "data", "problems")
# Shown only where there is something to say.
_SELDOM = ("macs_not_counted", "validation_accuracy")


def model_tables(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What `inspection.inspect_model` found: the model, its channel groups and blocks, and the data."""
    lines = Table(show_header=False, box=None, padding=(0, 2))
    for key, value in found.items():
        if key not in _APART and (value or key not in _SELDOM):
            lines.add_row(f"[bold]{key.replace('_', ' ')}", Text(_shown(value)))
    yield lines
    yield from _structure(found["structure"])
    if "data" in found:
        yield from data_tables(found["data"])


def _shown(value: Any) -> str:
    if isinstance(value, dict) and all(isinstance(one, str) for one in value.values()):
        together = {one: [name for name, other in value.items() if other == one] for one in value.values()}
        value = [f"{', '.join(names)}: {one}" for one, names in together.items()]
    several = [f"{name} {one}" for name, one in value.items()] if isinstance(value, dict) else value
    return ", ".join(map(str, several)) or "none" if isinstance(several, list) else str(value)


def _structure(structure: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Channel groups and removable blocks with their shares of the model."""
    if "refused" in structure:
        yield Text(f"Its layers can't be pruned: {structure['refused']}.")
        return
    groups = Table("channel group", "channels", "layers", "MACs", "parameters", title="What can be narrowed")
    for group in structure["groups"]:
        together = f", {group['together']} together" if group["together"] > 1 else ""
        channels = f"{group['channels']}{together}"
        groups.add_row(Text(group["name"]), channels, str(group["layers"]), *_shares(group))
    yield groups
    if structure["blocks"]:
        blocks = Table("block that ends in", "MACs", "parameters", title="What can be removed whole")
        for block in structure["blocks"]:
            blocks.add_row(Text(block["name"]), *_shares(block))
        yield blocks
    for name, channels, reason in structure["held"]:
        yield Text(f"{name}: all {channels} channels stay: {reason}")


def _shares(part: Mapping[str, float]) -> tuple[str, str]:
    return f"{100 * part['macs']:.1f} %", f"{100 * part['parameters']:.1f} %"
