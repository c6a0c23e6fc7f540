"""How a command ends: with an exit code, and what went wrong in words, for people and, where asked for, as JSON."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import click

from learn2compress.core.errors import EXIT_INTERRUPTED, InputError, L2CError

Command = TypeVar("Command", bound=Callable[..., Any])
_TYPED = "learn2compress.typed"  # what stands on the command line, for who reads JSON
_AGAIN = "Give the same command again."
# Number and time of change of a file.
_Identity = tuple[int, int]


def ending_in_words(command: Command) -> Command:
    """Turns the library's errors, and what fails on this machine, into a message and an exit code.

    A traceback is for defects of ours, never for a user's mistake.
    """

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        as_json, before = bool(kwargs.get("as_json")), _family_in(kwargs.get("out"))
        try:
            return command(*args, **kwargs)
        except L2CError as error:
            end(error, as_json)
        except KeyboardInterrupt:
            _end_interrupted(kwargs.get("out"), before, as_json)
        except Exception as error:
            said = _in_words(error)
            if said is None:
                raise
            end(said, as_json)

    return cast("Command", wrapped)


def end(error: L2CError, as_json: bool) -> NoReturn:
    """Ends the command with this error: as a JSON document too, where that is asked for."""
    _print_json(error, as_json)
    tell(error)
    sys.exit(error.exit_code)


def tell(error: L2CError) -> None:
    """Says on standard error what went wrong and what to do about it."""
    click.secho("error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(str(error), err=True)


class Commands(click.Group):
    """The commands; what is typed wrong is said as any other wrong input is."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that was typed."""
        as_json = "--json" in ctx.meta[_TYPED]
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            command = error.ctx.info_name if error.ctx is not None and error.ctx is not ctx else ""
            fix = f"{' '.join(['l2c', *filter(None, [command])])} --help shows what can be given."
            end(InputError("usage", error.format_message(), fix), as_json)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keeps what was typed, which `invoke` needs where it can't be understood."""
        ctx.meta[_TYPED] = tuple(args)
        return super().parse_args(ctx, args)


def _print_json(error: L2CError, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": error.told}))


def _end_interrupted(out: Path | None, before: _Identity | None, as_json: bool) -> NoReturn:
    interruption = _interruption(out, before)
    _print_json(interruption, as_json)
    click.echo(f"\n{interruption.what} {interruption.fix}", err=True)
    sys.exit(EXIT_INTERRUPTED)


def _interruption(out: Path | None, before: _Identity | None) -> L2CError:
    """What is left of a command that was interrupted, and how to go on.

    Args:
        out: the folder that it writes, where it writes one.
        before: the family that was in it when the command began.
    """
    from learn2compress.core.folder import unfinished
    from learn2compress.core.paths import at_home

    if out is None:
        return L2CError("interrupted", "Interrupted before it was done.", _AGAIN)
    if unfinished(at_home(out)) is None:
        family = _family_in(out)
        if family not in (before, None):  # of all that is written its manifest comes last
            return L2CError(
                "interrupted",
                f"Interrupted when all was done: the family in {out} is complete.",
                "This shows it:\n  " + shlex.join(["l2c", "report", str(out)]),
            )
        left = f", and the family that was in {out} is as it was" if family else ""
        return L2CError("interrupted", f"Interrupted: nothing was written{left}.", _AGAIN)
    return L2CError(
        "interrupted",
        "Interrupted: what was reached is kept.",
        "The same command goes on from there, and so does\n  "
        + shlex.join(["l2c", "compress", "--resume", "--out", str(out)]),
    )


def _family_in(folder: Path | None) -> _Identity | None:
    """What tells the family in a folder from one that takes its place; None where there is none."""
    from learn2compress.core.family import MANIFEST
    from learn2compress.core.paths import at_home

    if folder is None:
        return None
    try:
        status = (at_home(folder) / MANIFEST).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _in_words(error: Exception) -> InputError | None:
    """What an error of the machine means for who gave the command; None of a defect of ours."""
    from learn2compress.stages.failures import failure_in_words

    said = failure_in_words(error)
    # Of what stands on the command line; a defect of ours is no OSError that names a file.
    if said is None and isinstance(error, OSError) and error.filename is not None:
        return InputError(
            "file.unreachable",
            f"{error.filename} can't be read or written ({error.strerror or error}).",
            "check the path, its permissions and the space on its disk.",
        )
    return said
