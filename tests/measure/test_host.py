from __future__ import annotations

import platform
import socket
from pathlib import Path

import pytest

from learn2compress.measure.host import environment


def test_the_host_is_described() -> None:
    host = environment()
    assert host.processor
    assert host.cores >= 1
    assert host.memory_bytes >= 0
    assert host.python == platform.python_version()
    assert {"learn2compress", "ai-edge-litert", "keras", "numpy"} <= set(host.packages)
    assert any(name.startswith("tensorflow") for name in host.packages)


def test_the_description_asks_for_no_host_name_and_tells_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(platform, "node", lambda: asked.append("platform") or "")
    monkeypatch.setattr(socket, "gethostname", lambda: asked.append("socket") or "")
    shown = environment().model_dump_json()
    assert str(Path.home()) not in shown
    assert not asked
