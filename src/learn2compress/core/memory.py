"""How much memory is free, where the system tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from learn2compress.core.control_groups import SYSTEM, counts, folders, numbers

# What the limit and the use are called in versions 2 and 1 of control groups.
_NAMES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
# Of what is used, copies of files, which give way. Version 1 has the sum over a group's children under other names.
_GIVES_WAY = (("inactive_file", "active_file"), ("total_inactive_file", "total_active_file"))


def available_memory_bytes(system: Path = SYSTEM) -> int | None:
    """Bytes that can be filled before the host swaps or the process is killed; None where nothing tells.

    Linux tells, of the host (`MemAvailable`) and of the control groups that the process is in; other systems don't.

    Args:
        system: the root of the file system.
    """
    return min([*_free_on_the_host(system), *_free_in_groups(system)], default=None)


def _free_on_the_host(system: Path) -> Iterator[int]:
    kilobytes = counts(system / "proc/meminfo").get("MemAvailable")
    if kilobytes is not None:
        yield 1024 * kilobytes


def _free_in_groups(system: Path) -> Iterator[int]:
    for folder in folders("memory", system):
        told = counts(folder / "memory.stat")
        gives_way = max(sum(told.get(name, 0) for name in names) for names in _GIVES_WAY)
        for limit, use in ((numbers(folder / limit), numbers(folder / use)) for limit, use in _NAMES):
            if limit and use and limit[0] is not None and use[0] is not None:
                yield max(0, limit[0] - use[0] + gives_way)
