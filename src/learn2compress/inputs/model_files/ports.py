"""Which of a model's inputs takes the image, and which of its outputs are the scores: told by type and shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.errors import InputError
from learn2compress.inputs.wording import listed

# What names an input or an output of a model.
OPTIONS = {"input": "--model-input", "output": "--model-output"}

FLOATS = ("float16", "float32", "float64", "bfloat16")
WHOLE = ("uint8", "int8", "int32", "int64")
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class Port:
    """An input or an output.

    Attributes:
        name: as the model calls it.
        shape: batch first, None for what is open; None as a whole where nothing is known of it.
        dtype: NumPy's name of the element type, or another word where NumPy has none.
        scale, zero_point: real value = scale * (stored - zero_point); scale 0 says that it is not quantized.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} {'of any shape' if self.shape is None else self.shape}"


@dataclass(frozen=True)
class ImageForm:
    """How a model takes images.

    Attributes:
        size: (height, width); None where it takes any.
        channels: 3, or 1 for grey images.
        channels_first: whether its images are (channels, height, width).
        batch: how many images it takes at a time; None where it takes any number.
        port: the input.
    """

    size: tuple[int, int] | None
    channels: int
    channels_first: bool
    batch: int | None
    port: Port

    def stored(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Real values (n, height, width, channels) in the model's layout and type; whole numbers are clipped."""
        port = self.port
        values = images.transpose(0, 3, 1, 2) if self.channels_first else images
        dtype = np.dtype(port.dtype)
        if dtype.kind == "f":
            return np.ascontiguousarray(values, dtype)
        # Of uint8 the pixel itself is what is stored: that is what apps hand over, whatever scale stands beside it.
        if port.scale and port.dtype != "uint8":
            values = values / np.float32(port.scale) + port.zero_point
        info = np.iinfo(dtype)
        return np.ascontiguousarray(np.clip(np.rint(values), info.min, info.max), dtype)


def image_port(ports: Sequence[Port], wanted: str, model: str) -> Port:
    """The input that takes the image.

    Args:
        ports: all inputs.
        wanted: the name that the user gave, or empty.
        model: what to call the model in errors.

    Raises:
        InputError: `teacher.no_such_input`, `teacher.many_inputs`, `teacher.not_an_image`.
    """
    if wanted:
        port = _named(ports, wanted, model, "input")
        if not _may_be_image(port):
            raise _not_an_image([port], model)
        return port
    fitting = [port for port in ports if _may_be_image(port)]
    known = [port for port in fitting if port.shape is not None]
    fitting = known or fitting
    if not fitting:
        raise _not_an_image(ports, model)
    if len(fitting) > 1:
        raise InputError(
            "teacher.many_inputs",
            f"{model} has {len(fitting)} inputs that could take the image: {_shown(fitting)}.",
            f"say which one with --model-input, as in --model-input {fitting[0].name}.",
        )
    return fitting[0]


def class_port(ports: Sequence[Port], wanted: str, model: str) -> Port:
    """The output that holds one score a class; where there is none, that of a yes/no model, a single score.

    Args:
        ports: all outputs.
        wanted: the name that the user gave, or empty.
        model: what to call the model in errors.

    Raises:
        InputError: `teacher.no_such_output`, `teacher.many_outputs`, `teacher.not_a_classifier`.
    """
    if wanted:
        return _named(ports, wanted, model, "output")
    scored = [port for port in ports if _may_be_scores(port)]
    fitting = [port for port in scored if not _is_single(port)] or scored
    if len(fitting) > 1:
        raise InputError(
            "teacher.many_outputs",
            f"{model} has {len(fitting)} outputs that could be the scores: {_shown(fitting)}.",
            f"say which one with --model-output, as in --model-output {fitting[-1].name}.",
        )
    if fitting:
        return fitting[0]
    if len(ports) == 1 and ports[0].dtype in (*FLOATS, *WHOLE):
        return ports[0]  # what is wrong with its shape is said better once it was tried
    raise InputError(
        "teacher.not_a_classifier",
        f"{model} has no output with a score per class, of shape (n, classes); its outputs are {_shown(ports)}.",
        "give an image classifier; or name the tensor of the scores with --model-output.",
    )


def image_form(port: Port, *, channels_first: bool) -> ImageForm:
    """Reads size, layout and batch off the image input's shape.

    Args:
        port: the input.
        channels_first: the layout to assume where the shape does not tell.
    """
    if port.shape is None:
        return ImageForm(None, 3, channels_first, None, port)
    batch, first, middle, last = port.shape
    if last in _CHANNELS:
        channels_first = False
    elif first in _CHANNELS:
        channels_first = True
    channels, height, width = (first, middle, last) if channels_first else (last, first, middle)
    size = (height, width) if height is not None and width is not None else None
    return ImageForm(size, channels or 3, channels_first, batch, port)


def _may_be_image(port: Port) -> bool:
    if port.dtype not in (*FLOATS, *WHOLE) or (port.dtype == "int8" and not port.scale):
        return False
    if port.shape is None:
        return True
    return len(port.shape) == 4 and any(n is None or n in _CHANNELS for n in (port.shape[1], port.shape[3]))


def _may_be_scores(port: Port) -> bool:
    if port.dtype not in FLOATS and not port.scale:
        return False
    shape = port.shape
    return shape is None or (len(shape) >= 1 and shape[-1] != 0 and all(n == 1 for n in shape[1:-1]))


def _is_single(port: Port) -> bool:
    """Whether it holds one number an image: (n, 1), or (n,)."""
    return port.shape is not None and (len(port.shape) == 1 or port.shape[-1] == 1)


def _named(ports: Sequence[Port], wanted: str, model: str, end: str) -> Port:
    for port in ports:
        if wanted in (port.name, port.name.removesuffix(":0")):
            return port
    raise InputError(
        f"teacher.no_such_{end}",
        f"{model} has no {end} {wanted!r}; it has {_shown(ports)}.",
        f"give the name of one of these with {OPTIONS[end]}.",
    )


def _not_an_image(ports: Sequence[Port], model: str) -> InputError:
    return InputError(
        "teacher.not_an_image",
        f"{model} has no input that takes images, of shape (n, height, width, 3) or (n, 3, height, width) and of "
        f"numbers; its inputs are {_shown(ports)}.",
        "give an image classifier; a model that takes files or text can be wrapped in a Python function.",
    )


def _shown(ports: Sequence[Port]) -> str:
    return listed(sorted(ports, key=str), 8) if ports else "none"  # a SavedModel has them in any order
