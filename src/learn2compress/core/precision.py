"""Which numbers a member's file holds and computes with, what an app feeds it, and what it gives back."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from learn2compress.core.errors import InputError

INT8 = "int8"
# Precisions whose files compute in integers.
INTEGER = ("int8", "int8-float", "int16x8")
PORT_TYPES = ("uint8", "int8", "float32")
OUTPUTS = ("probabilities", "logits")
AUTO = "auto"


@dataclass(frozen=True)
class Precision:
    """A kind of file.

    Attributes:
        name: as it is asked for and reported.
        meaning: one sentence for people.
        rounded_in_training: whether the members learn to live with its rounding (quantization-aware training).
        types: the types that input and output may have; the first is the one they have by default.
        least_agreement: share of real images on which file and trained model must name the same class. A file that
            is rounded without training is held against the model before any rounding, and may differ more.
        bytes_per_weight: about, for planning.
    """

    name: str
    meaning: str
    rounded_in_training: bool
    types: tuple[str, ...]
    least_agreement: float
    bytes_per_weight: float


PRECISIONS: dict[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("int8", "weights and activations are int8", True, PORT_TYPES, 0.99, 1),
        Precision(
            "int8-float", "weights and activations are int8; float32 goes in and out", True, ("float32",), 0.99, 1
        ),
        Precision(
            "int16x8",
            "weights are int8, activations int16, calibrated on training images; float32 goes in and out. LiteRT has "
            "no fast CPU kernels for it (XNNPACK leaves it out): it is meant for accelerators",
            False,
            ("float32",),
            0.97,
            1,
        ),
        Precision(
            "float16",
            "weights are float16; a CPU computes in float32, a GPU may compute in float16",
            False,
            ("float32",),
            0.99,
            2,
        ),
        Precision(
            "dynamic",
            "large kernels are int8, small ones float32; activations are float32, rounded to int8 inside the kernels "
            "that can",
            False,
            ("float32",),
            0.95,
            1.1,
        ),
        Precision("float32", "weights and activations are float32", False, ("float32",), 0.995, 4),
    )
}


@dataclass(frozen=True)
class FileFormat:
    """How a member's file is written.

    Attributes:
        precision: a key of `PRECISIONS`.
        input_type: `uint8` takes pixels 0..255, `int8` pixels less 128, `float32` pixels 0.0 to 255.0.
        output_type: an integer output has a scale and a zero point in the file.
        output: `probabilities`, or `logits`: what stands before the softmax.
    """

    precision: str = INT8
    input_type: str = "uint8"
    output_type: str = "uint8"
    output: str = "probabilities"

    @property
    def kind(self) -> Precision:
        """What its precision means."""
        return PRECISIONS[self.precision]

    @property
    def meaning(self) -> str:
        """The same in words."""
        return self.kind.meaning


# What a member is written as by default: pixels as they come, standard integer operators only.
FULL_INT8 = FileFormat()


def split_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """`("int8,float16", "dynamic")` as `("int8", "float16", "dynamic")`."""
    given = [names] if isinstance(names, str) else names
    return tuple(name.strip() for text in given for name in str(text).split(","))


def file_formats(
    precisions: Sequence[str], input_type: str = AUTO, output_type: str = AUTO, output: str = OUTPUTS[0]
) -> tuple[FileFormat, ...]:
    """The files that each trained member is written as, in the order asked for.

    Args:
        precisions: keys of `PRECISIONS`.
        input_type, output_type: one of `PORT_TYPES`, or `auto` for what is usual.
        output: one of `OUTPUTS`.

    Raises:
        InputError: `option.precision`, `option.input_type`, `option.output_type` or `option.output`.
    """
    names = split_names(precisions)
    for name in names:
        if name not in PRECISIONS:
            near = difflib.get_close_matches(name, PRECISIONS, n=1)
            raise InputError(
                "option.precision",
                f"The precision {name!r} is not known.",
                f"did you mean {near[0]}?" if near else f"use one or more of {', '.join(PRECISIONS)}.",
            )
    if not names or len(set(names)) < len(names):
        raise InputError(
            "option.precision",
            f"The precisions are {', '.join(names) or 'none'}; each can be asked for once.",
            "give for example --precision int8,float16.",
        )
    for option, asked in (("input_type", input_type), ("output_type", output_type)):
        _check_type(option, asked, names)
    if output not in OUTPUTS:
        raise InputError("option.output", f"--output {output!r} is not known.", f"use one of {', '.join(OUTPUTS)}.")

    def usual(asked: str, name: str) -> str:
        return PRECISIONS[name].types[0] if asked == AUTO else asked

    return tuple(FileFormat(name, usual(input_type, name), usual(output_type, name), output) for name in names)


def _check_type(option: str, asked: str, names: Sequence[str]) -> None:
    flag = "--" + option.replace("_", "-")
    if asked not in (AUTO, *PORT_TYPES):
        raise InputError(
            f"option.{option}",
            f"{flag} {asked!r} is not known.",
            f"use one of {', '.join(PORT_TYPES)}, or leave it out.",
        )
    refusing = [name for name in names if asked not in (AUTO, *PRECISIONS[name].types)]
    if refusing:
        raise InputError(
            f"option.{option}",
            f"A file of the precision {refusing[0]} has {PRECISIONS[refusing[0]].types[0]} there, not {asked}.",
            f"leave {flag} out, or ask for --precision {INT8} alone.",
        )
