"""Where the figures were taken."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from learn2compress.core.family import Environment

PACKAGES = ("learn2compress", "ai-edge-litert", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy")


def environment() -> Environment:
    """The processor, system and package versions of this host. No host name, no user, no path.

    `memory_bytes` is what is installed, 0 where the system does not tell. Absent packages are left out.
    """
    return Environment(
        processor=_processor(),
        cores=_cores(),
        memory_bytes=_memory_bytes(),
        system=_system(),
        python=platform.python_version(),
        packages=_packages(),
    )


def _processor() -> str:
    if platform.system() == "Darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            shown = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            shown = ""
        return shown or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    # x86 says "model name"; ARM boards say "Model" or "Hardware", or nothing at all.
    for key in ("model name", "Model", "Hardware"):
        if fields.get(key):
            return fields[key]
    return platform.machine()


def _cores() -> int:
    """Cores this process may use: a container or `taskset` may allow fewer than the host has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0


def _system() -> str:
    name = f"{platform.system()} {platform.release()}"
    if platform.system() == "Linux":
        with contextlib.suppress(OSError):
            name = platform.freedesktop_os_release().get("PRETTY_NAME", name)
    elif platform.system() == "Darwin":
        name = f"macOS {platform.mac_ver()[0]}"
    return f"{name}, {platform.machine()}"


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
