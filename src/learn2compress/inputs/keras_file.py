"""Loading a `.keras` or `.h5` file without trusting it."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.core.paths import advice
from learn2compress.core.units import show_bytes
from learn2compress.inputs.archives import escaping, is_bomb, unpacked_bytes
from learn2compress.inputs.declared_weights import refuse_weights_out_of_nothing
from learn2compress.inputs.keras2_config import modernized, refuse_unreadable
from learn2compress.inputs.keras_safety import refuse_code
from learn2compress.inputs.wording import listed, shortened

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CONFIG_LIMIT_BYTES = 64 * 10**6
_EXPECTED = "expected is a trained Keras model saved with model.save('model.keras'), or an .h5 file of a whole model"


def load_keras_file(path: Path) -> Any:
    """Loads the model, uncompiled. What the file would have executed is refused first.

    Args:
        path: a `.keras` file, or an `.h5`/`.hdf5` file that holds a whole model; told apart by content.

    Returns:
        The `keras.Model`.

    Raises:
        InputError: `teacher.not_found`, `teacher.unreadable`, `teacher.not_a_model`, `teacher.weights_only`,
            `teacher.damaged_file`, `teacher.zip_bomb`, `teacher.unsafe_archive`, `teacher.carries_code`,
            `teacher.reads_files`, `teacher.custom_objects`, `teacher.keras2_archive`, `teacher.keras2_operations`,
            `teacher.keras2_hard_sigmoid`, `teacher.load_failed`.
    """
    suffix, config, keras_2 = _read_config(path)
    new = modernized(config) if keras_2 and suffix != ".keras" else config
    refuse_weights_out_of_nothing(new, path)
    return _load(path, suffix, new if new != config else None)


def check_keras_file(path: Path) -> None:
    """Refuses what can't be a model, or carries code, without importing Keras; raises as `load_keras_file`."""
    _read_config(path)


def _read_config(path: Path) -> tuple[str, Any, bool]:
    """The suffix that the content calls for; the model's configuration, which carries no code; whether of Keras 2."""
    signature = first_bytes(path)
    if signature.startswith(b"PK"):
        config = _zip_config(path)
        refuse_code(_without_training(config), str(path))
        return ".keras", config, False
    if signature == HDF5_SIGNATURE:
        config, keras_2 = _hdf5_config(path)
        refuse_code(config, str(path))
        if keras_2:
            refuse_unreadable(config, str(path))
        return ".h5", config, keras_2
    raise InputError(
        "teacher.not_a_model",
        f"{path} is not a model: it is neither a .keras nor an .h5 file; {_EXPECTED}.",
        _hint(path),
    )


def first_bytes(path: Path) -> bytes:
    """The first eight bytes of a file, by which its kind is known.

    Raises:
        InputError: `teacher.not_a_model` for a folder, `teacher.not_found`, `teacher.unreadable`.
    """
    if path.is_dir():
        raise InputError("teacher.not_a_model", f"{path} is a folder; {_EXPECTED}.", "give the file.")
    try:
        with path.open("rb") as file:
            return file.read(8)
    except FileNotFoundError as error:
        fix = advice(path, "check the path of the model.")
        raise InputError("teacher.not_found", f"There is no file {path}.", fix) from error
    except OSError as error:
        raise InputError(
            "teacher.unreadable",
            f"{path} can't be read ({error}).",
            "check its permissions, and where it leads if it is a link.",
        ) from error


def _hint(path: Path) -> str:
    if path.stat().st_size == 0:
        return "the file is empty; save the model again."
    return "save the trained model with model.save('model.keras') and give that file."


def _zip_config(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            packed, unpacked = path.stat().st_size, unpacked_bytes(archive.infolist())
            if outside := escaping(archive.infolist()):
                raise InputError(
                    "teacher.unsafe_archive",
                    f"{path} holds files that would land outside of its folder ({listed(outside)}): not opened.",
                    "save the model again with model.save('model.keras'), and mistrust where this file is from.",
                )
            if is_bomb(packed, unpacked) or (
                "config.json" in entries and entries["config.json"].file_size > _CONFIG_LIMIT_BYTES
            ):
                raise InputError(
                    "teacher.zip_bomb",
                    f"{path} is {show_bytes(packed)} but would unpack to {show_bytes(unpacked)}: not opened.",
                    "save the model again with model.save('model.keras').",
                )
            if "config.json" not in entries or not any(name.startswith("model.weights") for name in entries):
                raise InputError(
                    "teacher.not_a_model",
                    f"{path} is an archive, but not of a Keras model; {_EXPECTED}.",
                    _hint(path),
                )
            if "metadata.json" in entries:
                version = str(_decoded(archive.read("metadata.json")).get("keras_version"))
                if version.startswith("2."):
                    raise InputError(
                        "teacher.keras2_archive",
                        f"{path} was written by Keras {version}; Keras 3 can't read the .keras files of Keras 2.",
                        "save it there as .h5, model.save('model.h5'), or as a SavedModel, and give that.",
                    )
            return _decoded(archive.read("config.json"))
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        RecursionError,
        RuntimeError,
        NotImplementedError,
    ) as e:
        raise _damaged(path, e) from e


def _hdf5_config(path: Path) -> tuple[Any, bool]:
    """The model's configuration, and whether Keras 2 (or 1, which did not say) wrote it."""
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
            if config is None:
                raise InputError(
                    "teacher.weights_only",
                    f"{path} holds weights or other data, but not the model they belong to; {_EXPECTED}.",
                    "build the model in Python, load the weights into it, then model.save('model.keras').",
                )
            version = file.attrs.get("keras_version", "1")
            version = version.decode() if isinstance(version, bytes) else str(version)
            return _decoded(config), version.startswith(("1", "2"))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, RecursionError) as error:
        raise _damaged(path, error) from error


def _decoded(text: bytes | str) -> Any:
    config = json.loads(text)
    if not isinstance(config, dict):
        raise ValueError("its configuration is not an object")
    return config


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        "teacher.damaged_file",
        f"{path} is damaged or incomplete ({shortened(error)}).",
        "copy or download it again, or save the model again with model.save('model.keras').",
    )


def _without_training(config: dict[str, Any]) -> dict[str, Any]:
    """Without the loss, metrics and optimizer: they are not loaded, so they may be the user's own."""
    return {key: value for key, value in config.items() if key != "compile_config"}


def _load(path: Path, suffix: str, new_config: Any) -> Any:
    import keras

    if path.suffix == suffix and new_config is None:
        return _loaded(keras, path, path)
    # Keras goes by the file's name, and only reads the configuration from the file: work on a copy.
    with tempfile.TemporaryDirectory(prefix="l2c-") as folder:
        copy = Path(folder, path.stem + suffix)
        shutil.copyfile(path, copy)
        if new_config is not None:
            import h5py

            with h5py.File(copy, "r+") as file:
                file.attrs["model_config"] = json.dumps(new_config)
        return _loaded(keras, copy, path)


def _loaded(keras: Any, file: Path, path: Path) -> Any:
    try:
        return keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:
        raise InputError(
            "teacher.load_failed",
            f"Keras {keras.__version__} can't load {path} ({shortened(error, 300)}).",
            "load it with the Keras version that wrote it and save it again as .keras; or pass the live "
            "model to learn2compress.compress(model, ...).",
        ) from error
