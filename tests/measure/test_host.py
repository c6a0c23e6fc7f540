from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

import pytest

from learn2compress.measure.host import environment, processor_of


def test_the_host_is_described() -> None:
    host = environment()
    assert host.processor
    assert host.cores >= 1
    assert host.python == platform.python_version()
    assert {"learn2compress", "ai-edge-litert", "keras", "numpy"} <= set(host.packages)
    assert any(name.startswith("tensorflow") for name in host.packages)


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="this system does not tell its memory")
def test_the_memory_is_told_in_bytes_and_as_none_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Pages or KiB would be far fewer than what TensorFlow alone takes.
    assert environment().memory_bytes >= 2**28

    def untold(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", untold)
    assert environment().memory_bytes == 0


def test_the_description_asks_for_no_host_name_and_tells_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(platform, "node", lambda: asked.append("platform") or "")
    monkeypatch.setattr(socket, "gethostname", lambda: asked.append("socket") or "")
    shown = environment().model_dump_json()
    assert str(Path.home()) not in shown
    assert not asked


@pytest.mark.parametrize(
    ("cpuinfo", "shown"),
    [
        ("model name\t: A 7\nflags\t\t: fpu avx2 avx512f avx512_vnni\n\nmodel name\t: B", "A 7 with AVX-512 VNNI"),
        ("model name\t: A 7\nflags\t\t: fpu avx2 avx", "A 7 with AVX2"),
        ("model name\t: A 7\nflags\t\t: fpu sse2", "A 7"),
        ("Features\t: fp asimd asimddp\nHardware\t: Board", "Board with dot product"),
        ("", platform.machine()),
    ],
)
def test_the_widest_instructions_stand_behind_the_processors_name(cpuinfo: str, shown: str) -> None:
    assert processor_of(cpuinfo) == shown
