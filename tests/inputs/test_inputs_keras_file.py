"""Files that are no teachers, files that are damaged, and files that would run code."""

from __future__ import annotations

import json
import sys
import zipfile

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.inputs.keras_file import load_keras_file
from learn2compress.inputs.keras_safety import refuse_code


@pytest.fixture(scope="module")
def saved(keras, tmp_path_factory):
    """A tiny model as .keras and .h5."""
    folder = tmp_path_factory.mktemp("saved")
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 3)),
            keras.layers.DepthwiseConv2D(3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("adam", loss=lambda a, b: keras.ops.mean(a - b))
    for name in ("m.keras", "m.h5"):
        model.save(folder / name)
    return folder, model


def rewritten(source, target, change):
    """Copies a .keras file with its configuration changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            new.writestr(entry.filename, content)
    return target


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_both_formats_load_whatever_they_are_called(saved, tmp_path, name):
    folder, model = saved
    for copy in (folder / name, tmp_path / "renamed.bin"):
        if not copy.exists():
            copy.write_bytes((folder / name).read_bytes())
        loaded = load_keras_file(copy)
        for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
            assert np.array_equal(a, b)


def test_an_h5_of_keras_2_whose_depthwise_layers_have_groups_loads(saved, tmp_path):
    h5py = pytest.importorskip("h5py")
    folder, _ = saved
    old = tmp_path / "old.h5"
    old.write_bytes((folder / "m.h5").read_bytes())
    with h5py.File(old, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "DepthwiseConv2D":
                layer["config"]["groups"] = 1
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.2.4"
    before = old.read_bytes()
    assert load_keras_file(old).output_shape == (None, 4)
    assert old.read_bytes() == before  # the user's file is never written to


def folder_with(tmp_path, name):
    (tmp_path / "sm").mkdir()
    (tmp_path / "sm" / name).write_bytes(b"")
    return tmp_path / "sm"


def written(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def archive(tmp_path, **files):
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name.replace("__", "."), content)
    return tmp_path / "a.keras"


def cut(saved, tmp_path, name, share):
    content = (saved[0] / name).read_bytes()
    return written(tmp_path, name, content[: int(len(content) * share)])


def weights_only(saved, tmp_path):
    saved[1].save_weights(tmp_path / "m.weights.h5")
    return tmp_path / "m.weights.h5"


def unknown_layer(saved, tmp_path):
    def change(config):
        config["config"]["layers"][1]["class_name"] = "NoSuchLayer"

    return rewritten(saved[0] / "m.keras", tmp_path / "x.keras", change)


def garbled_weights(saved, tmp_path):
    return archive(
        tmp_path,
        config__json=zipfile.ZipFile(saved[0] / "m.keras").read("config.json"),
        model__weights__h5=b"no weights",
    )


BAD_FILES = {
    "missing": (lambda s, t: t / "none.keras", "teacher.not_found"),
    "text": (lambda s, t: written(t, "m.keras", b"hello world"), "teacher.not_a_model"),
    "empty": (lambda s, t: written(t, "m.keras", b""), "teacher.not_a_model"),
    "tflite": (lambda s, t: written(t, "m.tflite", b"\x1c\0\0\0TFL3"), "teacher.not_a_model"),
    "folder": (lambda s, t: folder_with(t, "other"), "teacher.not_a_model"),
    "other zip": (lambda s, t: archive(t, a__txt=b"x"), "teacher.not_a_model"),
    "zip without weights": (lambda s, t: archive(t, config__json=b"{}"), "teacher.not_a_model"),
    "cut keras": (lambda s, t: cut(s, t, "m.keras", 0.6), "teacher.damaged_file"),
    "cut h5": (lambda s, t: cut(s, t, "m.h5", 0.6), "teacher.damaged_file"),
    "no json": (
        lambda s, t: archive(t, config__json=b"{", model__weights__h5=b""),
        "teacher.damaged_file",
    ),
    "nested json": (
        lambda s, t: archive(t, config__json=b"[" * 100_000, model__weights__h5=b""),
        "teacher.damaged_file",
    ),
    "json list": (
        lambda s, t: archive(t, config__json=b"[1]", model__weights__h5=b""),
        "teacher.damaged_file",
    ),
    "bomb": (
        lambda s, t: archive(t, config__json=b"{}", model__weights__h5=bytes(300_000_000)),
        "teacher.zip_bomb",
    ),
    "weights only": (weights_only, "teacher.weights_only"),
    "unknown layer": (unknown_layer, "teacher.load_failed"),
    "garbled weights": (garbled_weights, "teacher.load_failed"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_are_no_model_are_refused(saved, tmp_path, name):
    build, code = BAD_FILES[name]
    with pytest.raises(InputError) as caught:
        load_keras_file(build(saved, tmp_path))
    assert caught.value.code == code
    assert caught.value.fix
    assert len(str(caught.value)) < 1200


def lambda_model(keras, marker):
    """A model whose Lambda layer would create a file when it is rebuilt or called."""

    def leave_trace(x):
        marker.touch()
        return x

    layers = keras.layers
    inputs = layers.Input((8, 8, 3))
    hidden = layers.GlobalAveragePooling2D()(layers.Lambda(lambda x: leave_trace(x) * 1)(inputs))
    return keras.Model(inputs, layers.Dense(2)(hidden))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_layer_is_refused_and_never_run(keras, tmp_path, suffix, recwarn):
    marker = tmp_path / "executed"
    lambda_model(keras, marker).save(tmp_path / f"evil{suffix}")
    marker.unlink()  # building the model ran it here; loading must not
    with pytest.raises(InputError, match="Lambda") as caught:
        load_keras_file(tmp_path / f"evil{suffix}")
    assert caught.value.code == "teacher.carries_code"
    assert not marker.exists()


@pytest.mark.parametrize(
    "names",
    [
        ("os", "system", None),
        ("subprocess", "Popen", None),
        ("evil_l2c_module", "Layer", None),
        ("evil_l2c_module", "Dense", "Dense"),
        ("keras_evil.layers", "Dense", None),
        (None, "Custom", "package>Custom"),
    ],
)
def test_classes_that_are_not_keras_own_are_refused_before_anything_is_imported(saved, tmp_path, monkeypatch, names):
    module, class_name, registered = names
    marker = tmp_path / "executed"
    (tmp_path / "evil_l2c_module.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def change(config):
        layer = config["config"]["layers"][1]
        layer.update(module=module, class_name=class_name, registered_name=registered)

    path = rewritten(saved[0] / "m.keras", tmp_path / "x.keras", change)
    with pytest.raises(InputError, match=class_name) as caught:
        load_keras_file(path)
    assert caught.value.code == "teacher.custom_objects"
    assert not marker.exists()
    assert "evil_l2c_module" not in sys.modules


@pytest.mark.parametrize("kind", ["Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer"])
def test_code_is_found_however_deep_it_is_nested(kind):
    config = {"class_name": kind, "config": {}}
    for _ in range(5000):
        config = {"class_name": "Sequential", "module": "keras", "config": {"layers": [config]}}
    with pytest.raises(InputError) as caught:
        refuse_code(config, "m.keras")
    assert caught.value.code == "teacher.carries_code"


def test_a_function_of_another_module_is_refused():
    activation = {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"}
    with pytest.raises(InputError, match=r"os\.system"):
        refuse_code({"class_name": "Dense", "module": "keras.layers", "config": {"activation": activation}}, "m")


def test_a_class_that_the_program_registered_itself_is_loaded(keras, tmp_path):
    @keras.saving.register_keras_serializable(package="l2ctest")
    class Twice(keras.layers.Layer):
        def call(self, x):
            return x * 2

    inputs = keras.layers.Input((4,))
    keras.Model(inputs, Twice()(inputs)).save(tmp_path / "own.keras")
    assert load_keras_file(tmp_path / "own.keras").output_shape == (None, 4)


@pytest.mark.usefixtures("bound_by_permissions")
def test_a_file_without_permission_is_an_input_error(tmp_path):
    path = written(tmp_path, "m.keras", b"PK")
    path.chmod(0)
    with pytest.raises(InputError):
        load_keras_file(path)
