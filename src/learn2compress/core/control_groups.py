"""Linux' control groups, versions 1 and 2: what a container, or a service, may use of its host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# What files are looked for below; tests give another.
SYSTEM = Path("/")


def folders(controller: str, system: Path = SYSTEM) -> Iterator[Path]:
    """The folders that hold this process's limits: of its own group and of all above it, whose limits hold as well.

    Inside a container most of them are not to be seen; what is missing says nothing.

    Args:
        controller: `cpu` or `memory`.
        system: the root of the file system.
    """
    mounted = system / "sys/fs/cgroup"
    for line in _text(system / "proc/self/cgroup").splitlines():
        # "0::/group" in version 2, "4:cpu,cpuacct:/group" in version 1, where the folder is named by either.
        controllers, _, group = line.partition(":")[2].partition(":")
        if not controllers:
            tops = [mounted]
        elif controller in controllers.split(","):
            tops = [mounted / controllers, mounted / controller]
        else:
            continue
        for top in tops:
            deepest = top / group.lstrip("/")
            yield deepest
            if deepest != top:
                yield from (folder for folder in deepest.parents if folder == top or top in folder.parents)


def numbers(path: Path) -> list[int | None]:
    """The words of a file, each a number; None for another, such as `max`; empty if unreadable."""
    return [int(word) if word.lstrip("-").isdigit() else None for word in _text(path).split()]


def counts(path: Path) -> dict[str, int]:
    """A file of lines such as `inactive_file 4096` or `MemAvailable:  4096 kB`: the number by its name."""
    lines = (line.split() for line in _text(path).splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
