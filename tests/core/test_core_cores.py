"""Containers and `taskset` allow fewer cores than the host has, and less memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from learn2compress.core.cores import MOST_THREADS, allowed_cores, usable_cores
from learn2compress.core.memory import available_memory_bytes

V2, V1 = "0::/pod/app\n", "9:name=systemd:/\n4:cpu,cpuacct:/docker/1f\n3:memory:/docker/1f\n"


def lay(root: Path, groups: str, files: dict[str, str]) -> None:
    """Lays out what the kernel tells: the groups of the process, and files below `/sys/fs/cgroup`."""
    for path, text in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": files[name] for name in files},
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


@pytest.fixture
def large_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.usefixtures("large_host")
@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        (V2, {"pod/app/cpu.max": "200000 100000\n"}, 2),
        # A container sees its own group as the root.
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        (V2, {"cpu.max": "50000 100000\n"}, 1),
        # What is above holds as well.
        (V2, {"pod/app/cpu.max": "max 100000\n", "pod/cpu.max": "300000 100000\n"}, 3),
        (V2, {"pod/app/cpu.max": "max 100000\n"}, 64),
        (
            V1,
            {"cpu,cpuacct/docker/1f/cpu.cfs_quota_us": "400000", "cpu,cpuacct/docker/1f/cpu.cfs_period_us": "100000"},
            4,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "50000"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        (V2, {"pod/app/cpu.max": "nonsense\n"}, 64),
        ("", {}, 64),
    ],
)
def test_a_quota_limits_the_cores(tmp_path: Path, groups: str, files: dict[str, str], cores: int) -> None:
    lay(tmp_path, groups, files)
    assert allowed_cores(tmp_path) == cores
    assert usable_cores(tmp_path) == min(cores, MOST_THREADS)


def test_affinity_limits_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 9}, raising=False)
    assert allowed_cores(tmp_path) == usable_cores(tmp_path) == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    assert allowed_cores(tmp_path) == 64


def test_this_process_may_use_a_core() -> None:
    assert 1 <= usable_cores() <= allowed_cores()


@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        ("", {}, 8_000 * 1024),
        (V2, {"pod/app/memory.max": "max", "pod/app/memory.current": "5"}, 8_000 * 1024),
        # Copies of files give way to what is needed.
        (
            V2,
            {
                "pod/app/memory.max": "1000000",
                "pod/app/memory.current": "700000",
                "pod/app/memory.stat": "anon 500000\ninactive_file 150000\nactive_file 50000\n",
            },
            500_000,
        ),
        (V2, {"memory.max": "1000000", "memory.current": "1200000"}, 0),
        (V1, {"memory/memory.limit_in_bytes": "3000000", "memory/memory.usage_in_bytes": "1000000"}, 2_000_000),
        (
            V1,
            {"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "1000000"},
            8_000 * 1024,
        ),
    ],
)
def test_memory_is_what_the_host_and_the_groups_leave(
    tmp_path: Path, groups: str, files: dict[str, str], free: int
) -> None:
    lay(tmp_path, groups, files)
    (tmp_path / "proc/meminfo").write_text("MemTotal:  16000 kB\nMemFree:  100 kB\nMemAvailable:   8000 kB\n")
    assert available_memory_bytes(tmp_path) == free


def test_where_nothing_tells_of_memory_none_is_told(tmp_path: Path) -> None:
    assert available_memory_bytes(tmp_path) is None
