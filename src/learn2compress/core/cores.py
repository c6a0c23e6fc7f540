"""How many threads are worth starting here: a container or `taskset` may allow fewer cores than the host has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from learn2compress.core.control_groups import SYSTEM, folders, numbers

# More threads than this gain little at what they do here, and each holds an interpreter or an image of its own.
MOST_THREADS = 16


def usable_cores(system: Path = SYSTEM) -> int:
    """Threads to start for work that keeps a core busy: `allowed_cores`, but no more than 16.

    Args:
        system: the root of the file system.
    """
    return min(MOST_THREADS, allowed_cores(system))


def allowed_cores(system: Path = SYSTEM) -> int:
    """Cores that this process may use, at least one: by its affinity and by the CPU quota of its control groups.

    A quota of one and a half cores counts as two.

    Args:
        system: the root of the file system.
    """
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([own, *map(math.ceil, _quotas(system))]))


def _quotas(system: Path) -> Iterator[float]:
    for folder in folders("cpu", system):
        # Microseconds of work and of the time that they are for, in one file in version 2.
        apart = numbers(folder / "cpu.cfs_quota_us") + numbers(folder / "cpu.cfs_period_us")
        for quota, period in (found for found in (numbers(folder / "cpu.max"), apart) if len(found) == 2):
            if quota and period and quota > 0:
                yield quota / period
