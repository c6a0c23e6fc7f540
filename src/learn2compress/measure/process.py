"""Runs a measuring module in a fresh Python process: the request goes in, the reply comes out, as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from learn2compress.core.errors import InputError, L2CError
from learn2compress.core.processes import command, ending, environment, last_words

# SIGKILL, of which Windows knows nothing.
_KILLED = -9


def ask(module: str, request: dict[str, Any], *, about: str, timeout_seconds: float) -> dict[str, Any]:
    """The reply of `python -m module` to `request`.

    Args:
        module: full name of a module that calls `answer` when run.
        request: what it is asked, JSON-able.
        about: the files it is about, for messages.
        timeout_seconds: after this the process is killed.

    Raises:
        InputError: what the module raised; or `measure.crashed` or `measure.timeout`.
    """
    try:
        done = subprocess.run(
            command(module),
            input=json.dumps(request),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_seconds,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            "measure.timeout",
            f"Measuring {about} took longer than {timeout_seconds:.0f} s and was stopped.",
            "measure on a host that is not busy, or leave the slowest file out.",
        ) from error
    reply = _last_json(done.stdout)
    if reply is None:
        damaged = "check the file with `l2c inspect`; convert it again if it is damaged."
        short = "if nobody did that, memory may have run out: close other programs and give the same command again."
        raise InputError(
            "measure.crashed",
            f"The process that measured {about} {ending(done.returncode)}{last_words(done.stderr)}",
            short if done.returncode == _KILLED else damaged,
        )
    if "error" in reply:
        raise InputError(*reply["error"])
    return reply


def answer(reply_to: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The other end: reads the request, writes the reply, or the error that was met."""
    try:
        reply = reply_to(json.load(sys.stdin))
    except L2CError as error:
        reply = {"error": [error.code, error.what, error.fix]}
    sys.stdout.write("\n" + json.dumps(reply) + "\n")


def _last_json(text: str) -> dict[str, Any] | None:
    lines = text.strip().splitlines()
    try:
        reply = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return reply if isinstance(reply, dict) else None
