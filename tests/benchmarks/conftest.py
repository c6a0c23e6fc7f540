"""The scripts of `benchmarks/`, which import one another by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A script as a module, by its name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module
