"""What a model file asks to be built, looked at before Keras builds it: code from a file is never run."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.inputs.keras2_operations import MODULE, OPERATIONS
from learn2compress.inputs.wording import listed

# Each runs or unpickles something that comes out of the file, or reads other files that it names.
CODE_CARRIERS = {
    "Lambda": "a Lambda layer carries Python code",
    "__lambda__": "a Python lambda is code",
    "TFSMLayer": "a TFSMLayer runs a SavedModel from elsewhere",
    "TorchModuleWrapper": "a TorchModuleWrapper unpickles a PyTorch module",
    "JaxLayer": "a JaxLayer calls a Python function",
    "FlaxLayer": "a FlaxLayer calls a Python function",
}
# Arguments that may be the path of a file, which is then read on this machine.
FILE_ARGUMENTS = ("vocabulary", "idf_weights", "filepath")
# Parts of Keras that no model is made of: they fetch files, load models, change settings.
NOT_FOR_MODELS = {"callbacks", "config", "datasets", "distribution", "export", "saving", "utils"}
_ADVICE = (
    "if you trust where the file comes from, load the model in Python yourself and pass the live model to "
    "learn2compress.compress(model, ...)."
)


def refuse_code(config: Any, path: str) -> None:
    """Refuses a model configuration that carries code, or names a class or function that is not Keras' own.

    Args:
        config: the decoded JSON of a `.keras` file's `config.json` or an `.h5` file's `model_config`.
        path: of the file, for the message.

    Raises:
        InputError: `teacher.carries_code`, `teacher.reads_files` or `teacher.custom_objects`.
    """
    carriers: set[str] = set()
    foreign: set[str] = set()
    files: set[str] = set()
    for entry in _objects(config):
        kind = str(entry["class_name"])
        if kind in CODE_CARRIERS:
            carriers.add(kind)
        elif not _is_builtin(entry) and not _is_registered_here(entry):
            module = entry.get("module")
            foreign.add(f"{module}.{_object_name(entry)}" if module else _object_name(entry))
        files.update(_files(entry))
    if carriers:
        reasons = "; ".join(CODE_CARRIERS[kind] for kind in sorted(carriers))
        raise InputError(
            "teacher.carries_code",
            f"{path} is not loaded, because it carries code: {reasons}.",
            f"replace it by Keras' own layers (Rescaling, Activation, ...); or, {_ADVICE}",
        )
    if files:
        raise InputError(
            "teacher.reads_files",
            f"{path} is not loaded, because it would read files of this machine: {listed(sorted(files))}.",
            "give the layer its vocabulary itself, not the path of a file, and save again with model.save.",
        )
    if foreign:
        raise InputError(
            "teacher.custom_objects",
            f"{path} is not loaded, because it needs code that is not Keras' own: {listed(sorted(foreign))}.",
            _ADVICE,
        )


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object in the configuration. Iterative: a file may nest deeper than Python recurses."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _is_builtin(entry: dict[str, Any]) -> bool:
    module, registered = entry.get("module"), entry.get("registered_name")
    if ">" in str(registered or "") or ">" in str(entry["class_name"]):
        return False
    if module == "builtins":  # so Keras calls its own functions, such as relu; Python's are not among them
        return not hasattr(builtins, _object_name(entry))
    if module == MODULE:
        return entry["class_name"] in OPERATIONS  # each is said as a layer of Keras 3, or refused
    parts = str(module).split(".")
    return module is None or (parts[0] == "keras" and NOT_FOR_MODELS.isdisjoint(parts))


def _files(entry: dict[str, Any]) -> list[str]:
    """Paths that the object would read from."""
    arguments = entry.get("config")
    if not isinstance(arguments, dict):
        return []
    return [value for name in FILE_ARGUMENTS if isinstance(value := arguments.get(name), str)]


def _is_registered_here(entry: dict[str, Any]) -> bool:
    """Whether the running program registered the class itself: it is the user's code, not the file's."""
    saving = sys.modules.get("keras.saving")
    names = (entry.get("registered_name"), _object_name(entry))
    return saving is not None and any(name and saving.get_registered_object(str(name)) for name in names)


def _object_name(entry: dict[str, Any]) -> str:
    return str(entry["config"] if entry["class_name"] == "function" else entry["class_name"])
