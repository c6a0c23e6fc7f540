"""A Keras model cut down to the input and output that the user names."""

from __future__ import annotations

from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.inputs.model_files.black_box import Names
from learn2compress.inputs.model_files.ports import OPTIONS
from learn2compress.inputs.wording import listed


def named_model(model: Any, names: Names, name: str) -> Any:
    """The model from its input to the output of that name, or of the layer of that name.

    Args:
        model: a `keras.Model`.
        names: which input and output; where both are empty the model comes back as it is.
        name: what to call it in errors.

    Raises:
        InputError: `teacher.no_such_input`, `teacher.no_such_output`, or `teacher.no_names` for a model whose graph
            can't be read.
    """
    if names == Names():
        return model
    import keras

    try:
        inputs, outputs = list(model.inputs), list(model.outputs)
    except (AttributeError, TypeError, ValueError) as error:  # Keras raises any for a model that is not built
        raise no_names(name) from error
    known = {tensor.name: tensor for tensor in inputs}
    if names.input and names.input not in known:
        raise _unknown(name, "input", names.input, list(known))
    given = dict(zip(getattr(model, "output_names", []), outputs, strict=False))
    layers = {layer.name: layer for layer in model.layers}
    if not names.output:
        chosen = outputs
    elif names.output in given:
        chosen = [given[names.output]]
    elif names.output in layers:
        chosen = [layers[names.output].output]
    else:
        raise _unknown(name, "output", names.output, [*given, *layers])
    try:
        return keras.Model(known[names.input] if names.input else inputs, chosen[0] if len(chosen) == 1 else chosen)
    except ValueError as error:
        raise InputError(
            "teacher.no_such_output",
            f"{name} can't be cut down to {names.output or 'its outputs'} with the input {names.input} alone.",
            "name an input and an output that need nothing else.",
        ) from error


def no_names(name: str) -> InputError:
    """The error for names where there is nothing that has any."""
    return InputError(
        "teacher.no_names",
        f"{name} shows no inputs and outputs that have names.",
        "leave --model-input and --model-output away, or give a function that returns the scores alone.",
    )


def _unknown(name: str, end: str, wanted: str, known: list[str]) -> InputError:
    return InputError(
        f"teacher.no_such_{end}",
        f"{name} has no {end} {wanted!r}; it has {listed(known, 8)}.",
        f"give the name of one of these with {OPTIONS[end]}.",
    )
