"""Where the figures were taken."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from learn2compress.core.cores import allowed_cores
from learn2compress.core.family import Environment

# The widest of these is told: virtual machines give processors of very different speed one name.
INSTRUCTIONS = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "i8mm": "I8MM",
    "asimddp": "dot product",
}
PACKAGES = ("learn2compress", "ai-edge-litert", "keras", "tensorflow", "tensorflow-cpu", "jax", "numpy")


def environment() -> Environment:
    """The processor, system and package versions of this host. No host name, no user, no path.

    `cores` are those that may be used; `memory_bytes` is what is installed, 0 where the system does not tell. Absent
    packages are left out.
    """
    return Environment(
        processor=_processor(),
        cores=allowed_cores(),
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
        return processor_of(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return platform.processor() or platform.machine()


def processor_of(cpuinfo: str) -> str:
    """The name and the widest vector instructions of the first processor in Linux' `/proc/cpuinfo`."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    # x86 says "model name"; ARM boards say "Model" or "Hardware", or nothing at all.
    name = next((fields[key] for key in ("model name", "Model", "Hardware") if fields.get(key)), platform.machine())
    # x86 calls them flags, ARM features.
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    widest = next((shown for flag, shown in INSTRUCTIONS.items() if flag in flags), None)
    return f"{name} with {widest}" if widest else name


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
