"""Folders that no family may be written to, unfinished runs that are damaged, and recipes that can't be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input.keras_files import bytes_of, folder_of


def unfinished(recipe: str, state: str) -> Callable[[Path, Any], None]:
    """A maker of a folder that holds a run under way."""

    def make(path: Path, shop: Any) -> None:
        folder_of()(path, shop)
        folder_of(__learn2compress="", lock="", recipe__toml=recipe, state__json=state)(path / "checkpoints", shop)
        (path / "checkpoints" / "family").mkdir()

    return make


def holding_data(path: Path, shop: Any) -> None:
    """A family, with the data among the files that a new run would replace."""
    path.mkdir()
    (path / "family.json").write_text("{}")
    shop.place("photos", path)
    (path / "photos").rename(path / "models")


INPUTS = 'model = "../../good.keras"\ndata = "../../photos"\n'
STATE = '{"format": 1, "elapsed": 1, "seconds": {}, "known": {}}'

OUTS: dict[str, Callable[[Path, Any], object]] = {
    "file": bytes_of(b"mine\n"),
    "mine": folder_of(notes__txt="mine"),
    "other_checkpoints": folder_of(family__json="{}", checkpoints="a file of mine"),
    "closed": lambda path, shop: path.mkdir(),
    "holding_data": holding_data,
    "loop": lambda path, shop: path.symlink_to(path.name),
    "other_run": unfinished(INPUTS + "students = 5\n", STATE),
    "broken_state": unfinished(INPUTS, '{"format": 1, "elap'),
    "list_state": unfinished(INPUTS, "[1]"),
    "newer_state": unfinished(INPUTS, '{"format": 99}'),
    "broken_begun": unfinished("students = = 5\n", STATE),
    # Recipes.
    "syntax.toml": bytes_of(b"students = = 5\n"),
    "binary.toml": bytes_of(bytes(range(128, 256))),
    "unknown_key.toml": bytes_of(b"studnets = 5\n"),
    "unknown_section.toml": bytes_of(b"[trainning]\npeak = 0.1\n"),
    "wrong_type.toml": bytes_of(b'students = "many"\n'),
    "wrong_section.toml": bytes_of(b"training = 3\n"),
    "list.toml": bytes_of(b"model = [1, 2]\n"),
    "endless.toml": bytes_of(b"budget = inf\n"),
    "no_number.toml": bytes_of(b"sparsity = nan\n"),
    "deep.toml": bytes_of(b"a = " + b"[" * 100_000),
    "bad_target.toml": bytes_of(b'targets = ["size<100KB"]\n'),
}
