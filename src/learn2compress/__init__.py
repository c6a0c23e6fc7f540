"""learn2compress: a trained Keras model and its data become a family of small int8 LiteRT models.

Importing the package imports neither TensorFlow nor Keras: public names are loaded when first used.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from platform import machine
from types import ModuleType
from typing import TYPE_CHECKING, Any

from learn2compress.core.version import __version__

# Keras defaults to TensorFlow, and so do we; but a user's choice (`KERAS_BACKEND=jax` on a GPU) stands.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow takes oneDNN's kernels by itself only on processors with AVX-512 VNNI or newer; on others a training step
# is 1.3 to 2 times as fast with them (docs/decisions/0021-onednn.md). Read once, when TensorFlow is imported.
if machine() in ("x86_64", "AMD64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if TYPE_CHECKING:
    from learn2compress.apps.folder import export
    from learn2compress.compress import compress
    from learn2compress.core.errors import InputError, L2CError, TargetsUnmetError
    from learn2compress.core.family import Family
    from learn2compress.core.progress import Event, Progress

_PUBLIC = {
    "compress": "learn2compress.compress",
    "export": "learn2compress.apps.folder",
    "Family": "learn2compress.core.family",
    "InputError": "learn2compress.core.errors",
    "L2CError": "learn2compress.core.errors",
    "TargetsUnmetError": "learn2compress.core.errors",
    "Event": "learn2compress.core.progress",
    "Progress": "learn2compress.core.progress",
}

__all__ = [
    "Event",
    "Family",
    "InputError",
    "L2CError",
    "Progress",
    "TargetsUnmetError",
    "__version__",
    "compress",
    "export",
]


class _Package(ModuleType):
    """Python puts a submodule into its package when it is imported; two functions go before theirs."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in ("compress", "export") and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value
