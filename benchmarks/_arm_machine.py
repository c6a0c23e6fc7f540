"""An emulated aarch64 with Python and LiteRT: QEMU's user mode and Debian's packages, unpacked into a folder.

Nothing is installed: apt-get keeps its lists and packages in a folder of its own, with a state in which nothing is
there yet, and takes its sources from the system's configuration. The wheels come from the configured package index,
in the versions of `requirements/run.txt`.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from _harness import HERE

SYSTEM = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
EMULATOR = "qemu-aarch64-static"
WHEELS = "aarch64-manylinux_2_28"
NEOVERSE_V1 = "0xd40"
# QEMU's names, and the part that Linux names for each. LiteRT's library `cpuinfo` reads it, takes for granted what
# such a part can do, and crashes on the description of an x86 one.
PARTS = {"cortex-a76": "0xd0b", "cortex-a53": "0xd03", "max,sme=off": NEOVERSE_V1, "max": NEOVERSE_V1}
CPUINFO = """processor\t: 0
BogoMIPS\t: 100.00
Features\t: fp asimd
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: {part}
CPU revision\t: 0

"""


class NotToBeHadError(Exception):
    """Some part of the emulated machine is not to be had on this host."""


class CommandError(Exception):
    """A command failed; with the end of what it said."""


class Machine:
    """An unpacked machine."""

    def __init__(self, folder: Path) -> None:
        self._root, self._site = folder / "root", folder / "site"
        self._emulator = folder / EMULATOR

    @property
    def emulator(self) -> str:
        """The emulator's version."""
        return _run([self._emulator, "--version"]).splitlines()[0]

    def python(self, processor: str, script: Path, arguments: Sequence[object]) -> str:
        """What a script prints on a processor, a key of `PARTS`."""
        environment = {"PYTHONPATH": str(self._site), "PYTHONNOUSERSITE": "1"}
        with tempfile.TemporaryDirectory() as folder:
            # QEMU looks for every file in here first.
            first = Path(folder)
            for entry in self._root.iterdir():
                (first / entry.name).symlink_to(entry)
            _write(first / "proc" / "cpuinfo", CPUINFO.format(part=PARTS[processor]))
            for name in ("possible", "present"):
                _write(first / "sys" / "devices" / "system" / "cpu" / name, "0\n")
            command = [self._emulator, "-cpu", processor, "-L", first, self._root / "usr" / "bin" / "python3"]
            return _run([*command, script, *arguments], env=environment)


def machine(cache: Path) -> Machine:
    """The machine with the LiteRT that is installed here; set up at the first call (130 MB to fetch).

    Raises:
        NotToBeHadError: saying what is missing.
    """
    litert = metadata.version("ai-edge-litert")
    cache = cache.resolve()
    folder = cache / f"litert-{litert}"
    if not folder.exists():
        if platform.machine() != "x86_64":
            raise NotToBeHadError(f"this compares with x86-64, and the host is {platform.machine() or 'unknown'}")
        if missing := [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]:
            raise NotToBeHadError(f"there is no {' and no '.join(missing)} here: a Debian is needed")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as part:
            made = Path(part) / "made"
            try:
                _unpack_system(Path(part), made)
                _unpack_wheels(made, f"ai-edge-litert=={litert}")
            except CommandError as error:
                raise NotToBeHadError(str(error)) from error
            made.rename(folder)
    return Machine(folder)


def _unpack_system(part: Path, made: Path) -> None:
    host = _run(["dpkg", "--print-architecture"]).strip()
    state, archives = part / "state", part / "cache" / "archives"
    for folder in (state / "lists" / "partial", archives / "partial", made / "root"):
        folder.mkdir(parents=True)
    (state / "status").touch()
    options = (
        f"Dir::State={state}",
        f"Dir::State::status={state / 'status'}",
        f"Dir::Cache={archives.parent}",
        "APT::Architecture=arm64",
        "APT::Architectures::=arm64",
        f"APT::Architectures::={host}",
        "APT::Install-Recommends=false",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
    )
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    _run([*apt, "update"])
    _run([*apt, "install", "--download-only", "-y", *SYSTEM])
    for package in sorted(archives.glob("*.deb")):
        _run(["dpkg", "-x", package, made / "root"])
    emulator = part / "usr" / "bin" / EMULATOR
    # Since Debian 13 the first has only links to the second.
    for name in ("qemu-user-static", "qemu-user"):
        if not emulator.exists():
            _run([*apt, "download", f"{name}:{host}"], folder=part)
            _run(["dpkg", "-x", *part.glob(f"{name}_*.deb"), part])
    shutil.copy(emulator, made)
    # Newer packages rely on the link from /lib to /usr/lib that an installed system has.
    loader = made / "root" / "lib" / "ld-linux-aarch64.so.1"
    if not loader.exists():
        loader.parent.mkdir(exist_ok=True)
        loader.symlink_to(Path("..", "usr", "lib", loader.name))


def _unpack_wheels(made: Path, litert: str) -> None:
    version = (made / "root" / "usr" / "bin" / "python3").readlink().name.removeprefix("python")
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", made / "site"]
    command += ["--python-platform", WHEELS, "--python-version", version, "--only-binary", ":all:"]
    _run([*command, "--constraint", HERE.parent / "requirements" / "run.txt", litert])


def _run(command: Sequence[object], env: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """What a command prints, run in a folder.

    Raises:
        CommandError: where it fails.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env=env, cwd=folder, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise CommandError(f"{words[0]} can't be run: {error}") from error
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise CommandError(f"{Path(words[0]).name} ended with {done.returncode}: {said}")
    return done.stdout


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
