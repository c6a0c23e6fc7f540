"""A classifier of whatever kind, ready to be asked: what a teacher is before anything is found out of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Dataset, Images, Labels
from learn2compress.core.errors import InputError
from learn2compress.core.paths import at_home
from learn2compress.core.progress import SILENT, Progress
from learn2compress.inputs.channels_first import channels_last
from learn2compress.inputs.classifier import class_count, classifier_shape
from learn2compress.inputs.model_files.black_box import BlackBox, Names
from learn2compress.inputs.model_files.keras_names import named_model, no_names
from learn2compress.inputs.model_files.kinds import EXPECTED, load_model_file
from learn2compress.inputs.preprocessing import RAW, Preprocessing
from learn2compress.inputs.preprocessing_search import predictions
from learn2compress.inputs.runner import Runner, callable_runner, keras_runner, run_all

# Students of ours have two layers at least that need room; larger images than these are not classified on devices.
SMALLEST_SIDE, LARGEST_SIDE = 4, 4096
# Larger photos are taken as 224 x 224 where the model doesn't care: no student for 3000 x 4000 runs on a phone.
LARGEST_TAKEN_OVER, USUAL_SIDE = 320, 224
_PROBED = 4  # images, to see what comes out


@dataclass(frozen=True)
class Runnable:
    """A model that gives scores for images.

    Attributes:
        name: for people.
        source: path of the file, `live model` or `callable`.
        size: (height, width) of the images it takes.
        channels: 3, or 1 where it takes grey images.
        classes: number of scores.
        run: preprocessed images to scores.
        keras_model: the model; None for a callable and for files that are black boxes.
        box: what it is where it is a file without a Keras model.
        readable: whether it is a Keras model that says what goes in and comes out.
        tried: what came out when it was tried, (n, classes); of data where there are some, else of noise.
    """

    name: str
    source: str
    size: tuple[int, int]
    channels: int
    classes: int
    run: Runner = field(repr=False, compare=False)
    keras_model: Any = field(repr=False)
    box: BlackBox | None
    readable: bool
    tried: NDArray[np.float32] = field(repr=False, compare=False)

    @property
    def parameters(self) -> int | None:
        """Number of weights; None where it is not known, as of a callable."""
        if self.keras_model is not None:
            return int(self.keras_model.count_params())
        return self.box.parameters if self.box is not None else None

    def scores(self, images: Images, preprocess: Preprocessing = RAW) -> NDArray[np.float32]:
        """What it gives, (n, classes), for uint8 RGB images (n, height, width, 3) of its size."""
        return run_all(self.run, preprocess, images, self.channels)

    def says(self, images: Images, preprocess: Preprocessing) -> Labels:
        """The output (n,) with the highest score."""
        return predictions(self.scores(images, preprocess))

    def taking(self, outputs: NDArray[np.int64], progress: Progress) -> Runnable:
        """The same with these outputs only, in this order.

        Raises:
            InputError: `teacher.outputs` where the model's graph does not allow it.
        """
        if self.readable:
            model = _with_outputs(self.keras_model, outputs, self.name, progress)
            run = keras_runner(model, (*self.size, self.channels), self.name)
            return replace(self, keras_model=model, run=run, classes=len(outputs), tried=self.tried[:, outputs])
        # A model whose graph can't be read is from here on the function that it is; a file is no stand-in for it.
        whole, box = self.run, self.box
        if box is not None:
            box = replace(box, digest=f"{box.digest} {outputs.tolist()}", symbolic=None, file=None)
        return replace(
            self,
            run=lambda images: whole(images)[:, outputs],
            keras_model=None,
            box=box,
            classes=len(outputs),
            tried=self.tried[:, outputs],
        )


def open_model(
    model: Any,
    names: Names,
    dataset: Dataset | None,
    input_size: tuple[int, int] | None,
    progress: Progress = SILENT,
) -> Runnable:
    """Makes whatever was given ready to be asked, and tries it on a few images.

    Args:
        model: path of a model file, a live `keras.Model` or a callable; see `inputs.teacher.load_teacher`.
        names: of the input and output to use, where the model has several.
        dataset: tells the input size where the model takes any.
        input_size: (height, width), where the model itself takes any.
        progress: gets a note where the size is none of the model's own.

    Raises:
        InputError: with a code `teacher.…`.
    """
    name, source, keras_model, box = _resolved(model, names)
    if keras_model is not None:
        keras_model = channels_last(keras_model, name)
    shape = classifier_shape(keras_model, name) if keras_model is not None else None
    own = shape.size if shape else box.form.size if box else None
    size = own or input_size or _resized_to(keras_model, name, progress) or _size_of(dataset, name, progress)
    _refuse_strange_size(size, name)
    if input_size is not None and input_size != size:
        raise InputError(
            "teacher.input_size",
            f"{name} takes images of {size[0]}x{size[1]}, not of {input_size[0]}x{input_size[1]}.",
            "leave out --input-size: it is for models that take images of any size.",
        )
    channels = shape.channels if shape else box.form.channels if box else 3
    if keras_model is not None:
        run = keras_runner(keras_model, (*size, channels), name)
    elif box is not None:
        run = box.run
    else:
        run = callable_runner(model, size, name)
    tried = run_all(run, RAW, some_images(dataset, size), channels)
    classes = shape.classes if shape else class_count((None, *tried.shape[1:]), name)
    return Runnable(name, source, size, channels, classes, run, keras_model, box, shape is not None, tried)


def _resolved(model: Any, names: Names) -> tuple[str, str, Any, BlackBox | None]:
    """(name, source, Keras model or None, black box or None) of whatever was given; a callable is neither."""
    if isinstance(model, (str, Path)):
        path = at_home(model)
        loaded = load_model_file(path, names)
        if isinstance(loaded, BlackBox):
            return path.stem, str(path), None, loaded
        return path.stem, str(path), loaded, None
    keras = sys.modules.get("keras")  # a live Keras model can't exist where Keras is not imported
    if keras is not None and isinstance(model, keras.Model):
        return str(model.name), "live model", named_model(model, names, str(model.name)), None
    if callable(model):
        name = getattr(model, "__name__", type(model).__name__)
        if names != Names():
            raise no_names(name)
        return name, "callable", None, None
    raise InputError(
        "teacher.unknown_kind",
        f"A {type(model).__name__} is no model that can teach.",
        f"give a keras.Model, a function from images to scores, or a path; {EXPECTED}.",
    )


def _with_outputs(model: Any, kept: NDArray[np.int64], name: str, progress: Progress) -> Any:
    """A Keras model without the outputs that are not kept."""
    from learn2compress.graph.calls import UnreadableGraphError
    from learn2compress.graph.outputs import with_outputs

    try:
        narrowed = with_outputs(model, kept)
    except (UnreadableGraphError, ValueError) as error:
        raise InputError(
            "teacher.outputs",
            f"Outputs of {name} can't be left out or put in the data's order: {error}.",
            "give --labels FILE in the order of the model's outputs where they are as many as the data's classes; "
            "else, in Python, a function that calls the model and returns the scores of the data's classes.",
        ) from error
    before, after = model.count_params(), narrowed.count_params()
    if before != after:
        progress.note(
            f"without the other outputs {name} has {after:,} weights instead of {before:,} "
            f"({1 - after / before:.0%} fewer)"
        )
    return narrowed


def _resized_to(keras_model: Any, name: str, progress: Progress) -> tuple[int, int] | None:
    """The size that a model for images of any size brings them to itself."""
    if keras_model is None:
        return None
    from learn2compress.graph.input_size import resized_to

    size = resized_to(keras_model)
    if size is not None:
        progress.note(f"{name} resizes images of any size to {size[0]}x{size[1]}: it gets them so")
    return size


def _size_of(dataset: Dataset | None, name: str, progress: Progress) -> tuple[int, int]:
    """A size for a model that takes any: the images' own; where sizes differ, their short side; of photos, 224."""
    if dataset is None:
        raise InputError(
            "teacher.size_unknown",
            f"{name} takes images of any size, and nothing says which.",
            "give the data too (--data), or --input-size, such as 224.",
        )
    some = {tuple(size) for size in dataset.train.sizes[:8].tolist()}
    height, width = dataset.image_size
    size = (height, width) if len(some) == 1 else (min(height, width),) * 2
    if max(size) > LARGEST_TAKEN_OVER:
        size = (USUAL_SIDE, USUAL_SIDE)
    progress.note(
        f"{name} takes images of any size: it gets them as {size[0]}x{size[1]}; --input-size says otherwise"
    )
    return size


def _refuse_strange_size(size: tuple[int, int], name: str) -> None:
    if min(size) >= SMALLEST_SIDE and max(size) <= LARGEST_SIDE:
        return
    raise InputError(
        "teacher.input_size",
        f"{name} would take images of {size[0]:,} x {size[1]:,} pixels.",
        f"give a model for images of at least {SMALLEST_SIDE} and at most {LARGEST_SIDE:,} pixels a side.",
    )


def some_images(dataset: Dataset | None, size: tuple[int, int]) -> Images:
    """A few (n, *size, 3) to try a model on; noise where there are no data."""
    if dataset is None:
        return np.random.default_rng(0).integers(0, 256, (_PROBED, *size, 3), np.uint8)
    return dataset.train.batch(np.arange(min(_PROBED, len(dataset.train))), size)
