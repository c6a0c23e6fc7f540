"""Python processes of our own: what they are started with, and how one says that it broke down."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import learn2compress


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours."""
    # -P: without it the folder the user stands in comes first, and a stray numpy.py there would be imported.
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(**changes: str) -> dict[str, str]:
    """This process's, with the folder that learn2compress was imported from: it may not be installed."""
    here = str(Path(learn2compress.__file__).parents[1])
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([here, *([inherited] if inherited else [])])
    return {**os.environ, "PYTHONPATH": path, **changes}


def ending(code: int) -> str:
    """How a process ended, as the end of a sentence."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def last_words(stderr: str) -> str:
    """The last line that it wrote on standard error, as the end of a sentence."""
    lines = [line for line in stderr.strip().splitlines() if not line.startswith("INFO:")]
    return f": {lines[-1].strip()[:300]}" if lines else "."
