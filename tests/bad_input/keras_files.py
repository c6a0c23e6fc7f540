"""Models that are none, models of another kind, damaged files, and files that would run code or fill the disk."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MARKER = "executed"  # what a payload would create in the working directory
SIZE = (8, 8, 3)


class Payload:
    """Unpickling it creates the marker."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (MARKER,)


def good(path: Path, shop: Any) -> None:
    """A model that tells red images from blue ones."""
    import keras

    inputs = keras.layers.Input(SIZE)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 1, name="conv")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="scores")(pooled))
    model.get_layer("conv").set_weights([np.eye(3, dtype="float32")[None, None], np.zeros(3, "float32")])
    # The class folders sort as blue, red.
    model.get_layer("scores").set_weights([np.array([[0, 0.1], [0, 0], [0.1, 0]], "float32"), np.zeros(2, "float32")])
    model.save(path)


def built(make: Callable[[Any], tuple[Any, Any]]) -> Callable[[Path, Any], None]:
    """A maker that saves the model of the inputs and outputs that `make(keras)` gives."""

    def save(path: Path, shop: Any) -> None:
        import keras

        keras.Model(*make(keras)).save(path)

    return save


def classifier(
    shape: tuple[int | None, ...] = SIZE, classes: int = 2, activation: str | None = "softmax"
) -> Callable[[Path, Any], None]:
    """A maker of an untrained classifier."""

    def make(keras: Any) -> tuple[Any, Any]:
        inputs = keras.layers.Input(shape)
        pooled = keras.layers.GlobalAveragePooling2D()(inputs)
        return inputs, keras.layers.Dense(classes, activation=activation)(pooled)

    return built(make)


def two_inputs(keras: Any) -> tuple[Any, Any]:
    inputs = [keras.layers.Input(SIZE), keras.layers.Input(SIZE)]
    return inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(keras.layers.Add()(inputs)))


def two_outputs(keras: Any) -> tuple[Any, Any]:
    inputs = keras.layers.Input(SIZE)
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return inputs, [keras.layers.Dense(2)(pooled), keras.layers.Dense(3)(pooled)]


def of_sequences(keras: Any) -> tuple[Any, Any]:
    inputs = keras.layers.Input((20, 4))
    return inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(inputs))


def of_tables(keras: Any) -> tuple[Any, Any]:
    inputs = keras.layers.Input((20,))
    return inputs, keras.layers.Dense(2)(inputs)


def channels_first(keras: Any) -> tuple[Any, Any]:
    inputs = keras.layers.Input((3, 8, 8))
    return inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs))


def segmentation(keras: Any) -> tuple[Any, Any]:
    inputs = keras.layers.Input(SIZE)
    return inputs, keras.layers.Conv2D(2, 1, activation="softmax")(inputs)


def three_classes(keras: Any) -> tuple[Any, Any]:
    """It always says the same: images don't tell which of its outputs the data has no class for."""
    inputs = keras.layers.Input(SIZE)
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return inputs, keras.layers.Dense(3, kernel_initializer="zeros", activation="softmax")(pooled)


def not_a_number(keras: Any) -> tuple[Any, Any]:
    """Its weights are fine; what it computes is not."""
    inputs = keras.layers.Input(SIZE)
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return inputs, keras.layers.Dense(2, kernel_initializer="ones")(keras.ops.log(pooled - 1000.0))


def guesser(path: Path, shop: Any) -> None:
    """Always says the same."""
    import keras

    model = keras.models.load_model(shop.made("good.keras"))
    kernel, bias = model.get_layer("scores").get_weights()
    model.get_layer("scores").set_weights([0 * kernel, bias])
    model.save(path)


def nan_weights(path: Path, shop: Any) -> None:
    import keras

    model = keras.models.load_model(shop.made("good.keras"))
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    model.save(path)


def subclassed(path: Path, shop: Any) -> None:
    import keras

    class Own(keras.Model):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.pool, self.dense = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(self.pool(x))

    model = Own()
    model(np.zeros((1, *SIZE), "float32"))
    model.save(path)


def with_lambda(path: Path, shop: Any) -> None:
    """Keras itself marshals the function's code into the file."""
    import keras

    inputs = keras.layers.Input(SIZE)
    # `x * 1` while the model is built here; once the file is loaded elsewhere, it would create the marker.
    run = keras.layers.Lambda(lambda x: __import__("os").makedirs("executed", exist_ok=True) or x * 1)
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        pooled = keras.layers.GlobalAveragePooling2D()(run(inputs))
        keras.Model(inputs, keras.layers.Dense(2)(pooled)).save(path)
    finally:
        os.chdir(here)


def weights_only(path: Path, shop: Any) -> None:
    import keras

    keras.models.load_model(shop.made("good.keras")).save_weights(path)


def as_h5(path: Path, shop: Any) -> None:
    import keras

    keras.models.load_model(shop.made("good.keras")).save(path)


def edited(
    config: Callable[[dict[str, Any]], object] = lambda config: None,
    drop: tuple[str, ...] = (),
    add: dict[str, bytes | int] | None = None,
) -> Callable[[Path, Any], None]:
    """A maker that changes the zip of good.keras.

    Args:
        config: changes its configuration in place.
        drop: members to leave out.
        add: members to put in; a number stands for a member that says it unpacks to so many bytes.
    """

    def make(path: Path, shop: Any) -> None:
        with (
            zipfile.ZipFile(shop.made("good.keras")) as old,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for name in old.namelist():
                content = old.read(name)
                if name == "config.json":
                    values = json.loads(content)
                    config(values)
                    content = json.dumps(values).encode()
                if name not in (*drop, *(add or ())):
                    new.writestr(name, content)
            for name, content in (add or {}).items():
                new.writestr(name, content if isinstance(content, bytes) else b"")
                if isinstance(content, int):
                    new.getinfo(name).file_size = content

    return make


def layer(**values: Any) -> Callable[[dict[str, Any]], object]:
    """Changes what the second layer is."""
    return lambda config: config["config"]["layers"][1].update(values)


def inner(**values: Any) -> Callable[[dict[str, Any]], object]:
    """Changes the configuration of the second layer."""
    return lambda config: config["config"]["layers"][1]["config"].update(values)


def named(module: str, name: str) -> dict[str, Any]:
    """How a configuration names a function of a module."""
    return {"class_name": "function", "module": module, "config": name, "registered_name": name}


def pickled() -> bytes:
    """An array of one payload, as NumPy writes it."""
    buffer = io.BytesIO()
    np.savez(buffer, x=np.array([Payload()], dtype=object))
    return buffer.getvalue()


def bytes_of(content: bytes) -> Callable[[Path, Any], object]:
    return lambda path, shop: path.write_bytes(content)


def part_of(name: str, share: float) -> Callable[[Path, Any], object]:
    """A maker of a file that was cut off."""

    def make(path: Path, shop: Any) -> None:
        content = shop.made(name).read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return make


def folder_of(**files: str) -> Callable[[Path, Any], None]:
    """A maker of a folder of text files, `__` for a dot."""

    def make(path: Path, shop: Any) -> None:
        path.mkdir()
        for name, content in files.items():
            (path / name.replace("__", ".")).write_text(content)

    return make


def huge_dense(config: dict[str, Any]) -> None:
    """The last layer says that it has four thousand million weights; the file has eight."""
    for one in config["config"]["layers"]:
        if one["class_name"] == "Dense":
            one["config"]["units"] = 10**9


KERAS_FILES: dict[str, Callable[[Path, Any], object]] = {
    "good.keras": good,
    "good.h5": as_h5,
    # No models.
    "text.keras": bytes_of(b"this is not a model\n"),
    "empty.keras": bytes_of(b""),
    "pickle.keras": bytes_of(pickle.dumps(Payload())),
    "saved_model": folder_of(saved_model__pb=""),
    "folder.keras": folder_of(readme__txt="nothing here"),
    "loop.keras": lambda path, shop: path.symlink_to(path.name),
    "other_zip.keras": edited(drop=("config.json", "metadata.json", "model.weights.h5"), add={"a.txt": b"hello"}),
    "weights.weights.h5": weights_only,
    # Damaged ones.
    "cut.keras": part_of("good.keras", 0.6),
    "cut.h5": part_of("good.h5", 0.6),
    "broken_json.keras": edited(add={"config.json": b'{"class_name": '}),
    "deep_json.keras": edited(add={"config.json": b"[" * 200_000}),
    "list_json.keras": edited(add={"config.json": b"[1, 2]"}),
    "no_weights.keras": edited(drop=("model.weights.h5",)),
    "garbled_weights.keras": edited(add={"model.weights.h5": b"\x89HDF\r\n\x1a\n and nothing more"}),
    "unknown_layer.keras": edited(layer(class_name="Convolution9D", registered_name=None)),
    "wrong_argument.keras": edited(inner(colour="blue")),
    # Code and bombs.
    "lambda.keras": with_lambda,
    "lambda.h5": with_lambda,
    "system.keras": edited(inner(activation=named("os", "system"))),
    "exec.keras": edited(inner(activation=named("builtins", "exec"))),
    "popen.keras": edited(layer(module="subprocess", class_name="Popen", registered_name=None)),
    "import.keras": edited(layer(module="evil_module", class_name="Conv2D", registered_name="Conv2D")),
    "builtin.keras": edited(layer(module="builtins", class_name="eval", registered_name=None)),
    "registered.keras": edited(layer(module=None, class_name="Own", registered_name="package>Own")),
    "keras_internal.keras": edited(inner(activation=named("keras.src.utils.file_utils", "get_file"))),
    "saved_model_layer.keras": edited(
        layer(class_name="TFSMLayer", module="keras.layers", config={"filepath": "/etc"}, registered_name=None)
    ),
    "reads_file.keras": edited(
        layer(
            class_name="StringLookup",
            module="keras.layers",
            config={"vocabulary": "/etc/passwd", "name": "conv"},
            registered_name=None,
        )
    ),
    "pickled_weights.keras": edited(drop=("model.weights.h5",), add={"model.weights.npz": pickled()}),
    "path_trick.keras": edited(add={"assets/a.txt": b"a", "../executed": b"outside"}),
    "absolute_path.keras": edited(add={"assets/a.txt": b"a", "/executed": b"outside"}),
    "config_bomb.keras": edited(add={"config.json": 100_000_000}),
    "weights_bomb.keras": edited(add={"model.weights.h5": 300_000_000}),
    "asset_bomb.keras": edited(add={"assets/vocabulary.txt": 300_000_000}),
    "huge_layer.keras": edited(huge_dense),
    # Models of another kind.
    "two_inputs.keras": built(two_inputs),
    "two_outputs.keras": built(two_outputs),
    "regression.keras": classifier(classes=1, activation=None),
    "sequences.keras": built(of_sequences),
    "tables.keras": built(of_tables),
    "four_channels.keras": classifier((8, 8, 4)),
    "channels_first.keras": built(channels_first),
    "one_pixel.keras": classifier((1, 1, 3)),
    "giant_input.keras": classifier((60_000, 60_000, 3)),
    "any_size.keras": classifier((None, None, 3)),
    "segmentation.keras": built(segmentation),
    "subclassed.keras": subclassed,
    "three_classes.keras": built(three_classes),
    "guesser.keras": guesser,
    "nan_weights.keras": nan_weights,
    "nan_outputs.keras": built(not_a_number),
}
