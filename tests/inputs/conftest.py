"""Builders of small inputs: class folders of images, tiny Keras classifiers, where the real data lies."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from learn2compress.core.progress import Event, Progress


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a class-folder set: {"cat": 4, "dog": 4} or, with splits, {"train/cat": 4, ...}."""

    def make(counts: Mapping[str, int], name: str = "data", size: tuple[int, int] = (16, 12)) -> Path:
        random = np.random.default_rng(0)
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                pixels = random.integers(0, 256, (*size, 3), np.uint8)
                Image.fromarray(pixels).save(root / folder / f"{i:03}.png")
        return root

    return make


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def progress(events: list[Event]) -> Progress:
    return Progress(events.append)


@pytest.fixture(scope="session")
def keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return pytest.importorskip("keras")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    root = Path(os.environ.get("L2C_DATA") or Path.home() / ".cache/learn2compress-data")

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"the data set {name} is not in {root} (set L2C_DATA to where it is unpacked)")
        return root / name

    return find


@pytest.fixture(scope="session")
def real_teacher() -> Callable[[str], Path]:
    root = Path(os.environ.get("L2C_TEACHERS") or Path(__file__).resolve().parents[2].parent / "shared/data/teachers")

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"the teacher {name} is not in {root} (set L2C_TEACHERS)")
        return root / name

    return find
