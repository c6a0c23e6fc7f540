"""Lies on the path of the commands under test: what starts a program or unpickles something leaves a mark."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

WATCHED = ("os.system", "os.exec", "os.spawn", "os.posix_spawn", "subprocess.Popen", "pickle.find_class")


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    # Measuring runs Python itself, in a process of its own; `platform` asks `uname` for the processor.
    if event in WATCHED and not (event == "subprocess.Popen" and str(arguments[0]) in (sys.executable, "uname")):
        with Path("executed").open("a") as file:
            file.write(f"{event}: {arguments!r}\n")


sys.addaudithook(_watch)
