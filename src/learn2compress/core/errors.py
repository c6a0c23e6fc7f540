"""What can go wrong, in words a user can act on: every error carries a stable code, a cause and a remedy."""

from __future__ import annotations

import math

EXIT_OK = 0
EXIT_INPUT = 2
EXIT_TARGETS = 3
EXIT_INTERRUPTED = 130


class L2CError(Exception):
    """Base of the errors that a user can act on.

    Attributes:
        code: stable identifier, for example `"dataset.empty_class"`; other layers (HTTP, JSON) reuse it.
        what: what happened.
        fix: what the user can do about it.
        exit_code: the process exit code the command line ends with.
    """

    exit_code = 1

    def __init__(self, code: str, what: str, fix: str = "") -> None:
        super().__init__(what if not fix else f"{what}\n  To fix: {fix}")
        self.code = code
        self.what = what
        self.fix = fix

    @property
    def told(self) -> dict[str, str]:
        """As JSON has it: its `code`, `message` and `fix`."""
        return {"code": self.code, "message": self.what, "fix": self.fix}


class InputError(L2CError):
    """The user's model, data, option or folder can't be used as given."""

    exit_code = EXIT_INPUT


class TargetsUnmetError(L2CError):
    """No member satisfies what was asked for.

    `targets.unmet`: the nearest family was written. `targets.out_of_reach`, within planning: nothing that a source of
    members can build is within the bounds, whatever is trained.

    Attributes:
        excess: by what share of the bounds the nearest member is beyond them, summed; infinite where it is not told.
    """

    exit_code = EXIT_TARGETS

    def __init__(self, code: str, what: str, fix: str = "", excess: float = math.inf) -> None:
        super().__init__(code, what, fix)
        self.excess = excess


class VerificationError(L2CError):
    """A written file does not behave like the model it was made from."""


class ConversionError(L2CError):
    """A trained model can't be written as a LiteRT file of the promised kind."""


def out_of_memory(error: Exception) -> bool:
    """Whether an error is what Python, TensorFlow or JAX says when memory runs out."""
    # TensorFlow's class can't be named here without importing it, and JAX has one for all that XLA says.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
        or (isinstance(error, RuntimeError) and str(error).startswith("RESOURCE_EXHAUSTED"))
    )
