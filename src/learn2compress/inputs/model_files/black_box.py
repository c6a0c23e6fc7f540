"""A model of which nothing is known but what it answers: images in, scores out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.errors import InputError
from learn2compress.inputs.model_files.ports import ImageForm
from learn2compress.inputs.preprocessing import Preprocessing
from learn2compress.inputs.runner import Runner
from learn2compress.inputs.wording import shortened

# Values as the model stores them, in its layout, a full batch where that is fixed -> its outputs (n, ...).
Call = Callable[[NDArray[Any]], Any]

_SHARES = 4  # for each thread: one that is held up then leaves the others little to wait for


@dataclass(frozen=True)
class Names:
    """Which input and output of a model are meant; empty where it is to be found out."""

    input: str = ""
    output: str = ""


@dataclass(frozen=True)
class OwnWords:
    """What a file says of itself beside what it computes, which may be wrong.

    Attributes:
        labels: a name for each output; empty where it names none.
        preprocess: what it wants done to pixels; None where it does not say.
    """

    labels: tuple[str, ...] = ()
    preprocess: Preprocessing | None = None


@dataclass(frozen=True)
class BlackBox:
    """A model that can be asked, but not looked into.

    Attributes:
        kind: what it is, for people: `a LiteRT file`.
        form: of its image input.
        digest: hex digest of its file or files and of which input and output are used.
        run: preprocessed images (n, height, width, channels), float32, to outputs (n, classes), float32.
        preprocess: what the file itself says is done to pixels; None where that is to be found out. An input of whole
            numbers takes the pixels as they are.
        parameters: number of weights; None where it is not known.
        symbolic: the same as `run` for TensorFlow tensors, where the model is a TensorFlow graph.
        file: the `.tflite` file, where it is one.
    """

    kind: str
    form: ImageForm
    digest: str
    run: Runner = field(repr=False)
    preprocess: Preprocessing | None = None
    parameters: int | None = None
    symbolic: Callable[[Any], Any] | None = field(default=None, repr=False)
    file: Path | None = None


def box_runner(call: Call, form: ImageForm, name: str, *, threads: int = 1, at_once: int | None = None) -> Runner:
    """Runs a model in pieces of its batch size, in its own layout and type.

    Args:
        call: the model; gets as many images as its batch holds, where that is fixed.
        form: what it takes.
        name: of the model, for errors.
        threads: calls at the same time, which `call` must allow where they are several.
        at_once: images that it gets where its batch is open; by default all, shared out among the threads.

    Returns:
        A function that raises `teacher.call_failed` when the model can't be run.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="l2c-model")

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            stored = form.stored(images)
            step = form.batch or at_once or -(-len(stored) // threads)
            # Many calls at a time: to hand over a single one takes longer than a small model.
            share = step * max(1, len(stored) // (step * threads * _SHARES))
            shares = [stored[at : at + share] for at in range(0, len(stored), share)]
            answer = partial(_in_steps, call, step, form.batch)
            answers = pool.map(answer, shares) if threads > 1 else map(answer, shares)
            return np.concatenate(list(answers))
        except Exception as error:
            raise InputError(
                "teacher.call_failed",
                f"{name} can't be run on images of shape {images.shape[1:]} ({shortened(error, 300)}).",
                "run it once yourself on such images; --model-input and --model-output say which of its tensors "
                "are meant.",
            ) from error

    return run


def _in_steps(call: Call, step: int, batch: int | None, stored: NDArray[Any]) -> NDArray[np.float32]:
    """Outputs (len(stored), classes) of so many images at a time."""
    pieces = [stored[at : at + step] for at in range(0, len(stored), step)]
    return np.concatenate([_answers(call, piece, batch or len(piece)) for piece in pieces])


def _answers(call: Call, some: NDArray[Any], step: int) -> NDArray[np.float32]:
    """Outputs (len(some), classes); a batch that is not full is filled up with its last image."""
    filled = some if len(some) == step else np.concatenate([some, np.repeat(some[-1:], step - len(some), axis=0)])
    outputs = np.asarray(call(filled))
    if outputs.ndim == 0 or len(outputs) != len(filled):
        raise ValueError(f"for {len(filled)} images it gives an output of shape {outputs.shape}")
    if outputs.ndim > 2 and outputs.size == len(outputs) * outputs.shape[-1]:
        outputs = outputs.reshape(len(outputs), -1)  # (n, 1, 1, classes), as a last convolution gives
    return outputs[: len(some)].astype(np.float32)


def digest(files: Iterable[Path], *names: str) -> str:
    """Hex digest of the contents of files and of names."""
    found = hashlib.sha256(repr(names).encode())
    for path in files:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()
