"""A model of one score, as `Dense(1, activation="sigmoid")` gives, made one that tells two classes apart.

The score p of the second class becomes the probabilities [1 - p, p]; a logit z the logits [0, z], of whose softmax
the sigmoid of z is the second part. It is the second class' because Keras has it so: for
`image_dataset_from_directory(label_mode="binary")` the first folder is 0 and the second 1. Where images say
otherwise, the order is found as that of any model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.dataset import Dataset
from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs.model_files.black_box import BlackBox
from learn2compress.inputs.outputs import last_activation, outputs_kind
from learn2compress.inputs.preprocessing import NAMED, RAW
from learn2compress.inputs.runnable import Runnable, some_images
from learn2compress.inputs.runner import keras_runner, run_all
from learn2compress.inputs.splits import balanced_sample
from learn2compress.inputs.wording import counted

# Scales of the pixels that differ most: a sigmoid stays within 0..1 whatever it is given, a logit does not.
_TRIED = ("raw", "unit", "signed")
_IMAGES = 32


def telling_two_apart(model: Runnable, dataset: Dataset | None, progress: Progress) -> Runnable:
    """The same with two outputs, where it has one; else the model itself.

    A Keras model whose end can be read is made anew with one unit more, and can be cut and pruned as any; of another
    the outputs are wrapped.

    Args:
        model: of any number of outputs.
        dataset: what it is to be used on; without it, it is taken to tell two classes apart.
        progress: gets a note that says which class the score is taken for.

    Raises:
        InputError: `teacher.binary_output` where the data has other than two classes, or the score is always 1.
    """
    if model.classes != 1:
        return model
    if dataset is not None and dataset.classes != 2:
        raise _other_data(model, dataset.classes)
    activation = last_activation(model.keras_model) if model.readable else None
    if activation == "softmax":
        raise InputError(
            "teacher.binary_output",
            f"{model.name} ends in a softmax of a single score, which is 1 whatever the image is.",
            "train it with Dense(1, activation='sigmoid'), or Dense(2, activation='softmax'), at its end.",
        )
    meant = f"{dataset.class_names[1]}, the second class of the data" if dataset is not None else "the second of two"
    progress.note(f"{model.name} has a single score, as a yes/no model has: it is taken for that of {meant}")
    if not model.readable:
        return _wrapped(model, _gives_probability(model, dataset))
    keras_model = _of_two_outputs(model, dataset)
    run = keras_runner(keras_model, (*model.size, model.channels), model.name)
    tried = run_all(run, RAW, some_images(dataset, model.size), model.channels)
    return replace(model, keras_model=keras_model, run=run, classes=2, tried=tried)


def _other_data(model: Runnable, classes: int) -> InputError:
    if model.keras_model is not None:
        other = f"a model with a score per class, such as Dense({classes}, activation='softmax') gives"
    elif model.box is not None:
        other = f"export {model.box.kind} with a score per class; --model-output names another of its outputs"
    else:
        other = f"return scores (n, {classes})"
    return InputError(
        "teacher.binary_output",
        f"{model.name} has a single score, as a yes/no model or a regression has, but the data has "
        f"{counted(classes, 'class', 'classes')}.",
        f"for a yes/no model, give data of its two classes, no first and yes second in order; else {other}.",
    )


def _of_two_outputs(model: Runnable, dataset: Dataset | None) -> Any:
    from learn2compress.graph.outputs import with_two_outputs, with_two_outputs_behind

    try:
        return with_two_outputs(model.keras_model)
    except ValueError:  # the end is something else, or code
        return with_two_outputs_behind(model.keras_model, probability=_gives_probability(model, dataset))


def _gives_probability(model: Runnable, dataset: Dataset | None) -> bool:
    """Whether the score is a probability, which stays within 0..1 whatever the pixels are scaled to, or a logit."""
    if dataset is None:
        images = some_images(None, model.size)
    else:
        images = dataset.train.batch(balanced_sample(dataset.train.labels, _IMAGES), model.size)
    scores = np.concatenate([model.scores(images, NAMED[name]).reshape(-1, 1) for name in _TRIED])
    finite = scores[np.isfinite(scores[:, 0])]
    return not len(finite) or outputs_kind(None, finite) != "logits"


def _wrapped(model: Runnable, probability: bool) -> Runnable:
    """What can't be looked into: from here on the function that it is, with both scores."""
    whole = model.run

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = np.asarray(whole(images), np.float32).reshape(len(images), 1)
        return np.asarray(both_scores(scores, probability, np.concatenate))

    box = _box_of_two(model.box, probability) if model.box is not None else None
    tried = np.asarray(both_scores(model.tried.reshape(-1, 1), probability, np.concatenate))
    return replace(model, run=run, keras_model=None, box=box, classes=2, tried=tried)


def _box_of_two(box: BlackBox, probability: bool) -> BlackBox:
    """The box as a graph of two scores; its file is still what was given, and is measured as it stands."""
    one = box.symbolic

    def symbolic(images: Any) -> Any:
        from keras import ops

        assert one is not None
        return both_scores(ops.reshape(ops.cast(one(images), "float32"), (-1, 1)), probability, ops.concatenate)

    told = "probability" if probability else "logit"
    return replace(box, digest=f"{box.digest} {told} of two", symbolic=symbolic if one is not None else None)


def both_scores(score: Any, probability: bool, concatenate: Any) -> Any:
    """Scores (n, 2) of one (n, 1), which is a probability or a logit; of arrays or tensors, as `concatenate` is."""
    return concatenate([1 - score if probability else 0 * score, score], axis=-1)
