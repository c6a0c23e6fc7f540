"""The whole way: a trained classifier of coloured shapes becomes a family of files that can be shipped."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from learn2compress.cli import main
from learn2compress.core.errors import EXIT_INPUT, EXIT_INTERRUPTED, EXIT_TARGETS, InputError
from learn2compress.core.family import Family
from learn2compress.core.progress import Event, Progress

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIZE = 24
# In another order than the alphabet's: what goes by the folder's name must not go by the place.
CLASSES = ("blue disc", "green square", "red bar")
GERMAN = ("blaue Scheibe", "grünes Quadrat", "roter Balken")
COLOURS = ((60, 80, 220), (60, 190, 80), (220, 70, 60))
COUNTS = {"train": 60, "val": 20, "test": 20}
WRITTEN = {"family.json", "report.html", "labels.txt", "run.jsonl", "recipe.toml", "models", "baseline"}
SHORTEST = "30s"

pytestmark = pytest.mark.usefixtures("timed_briefly")


def shape(label: int, rng: np.random.Generator) -> Any:
    """One picture (SIZE, SIZE, 3): a shape in the colour of its class, somewhere on a dull ground."""
    ground = tuple(int(v) for v in rng.integers(70, 150, 3))
    picture = Image.new("RGB", (SIZE, SIZE), ground)
    x, y = (int(v) for v in rng.integers(2, 9, 2))
    side = int(rng.integers(9, 14))
    box = (x, y, x + side, y + (side if label < 2 else 5))
    colour = tuple(int(np.clip(c + rng.normal(0, 15), 0, 255)) for c in COLOURS[label])
    draw = ImageDraw.Draw(picture)
    (draw.ellipse if label == 0 else draw.rectangle)(box, fill=colour)
    noise = rng.normal(0, 8, (SIZE, SIZE, 3))
    return np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Shapes:
    """The data set, as arrays and as a folder with a split for each part; the teacher and its file."""

    arrays: dict[str, tuple[Any, Any]]
    folder: Path
    teacher: Any
    file: Path


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in COUNTS.items():
        labels = np.repeat(np.arange(3), count)
        images = np.stack([shape(label, rng) for label in labels])
        if part == "test":
            # One picture under two classes: nothing can be right on all of the test split.
            images[count] = images[0]
        arrays[part] = (images, labels)
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = root / "photos" / part / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i:03}.png")
    teacher = trained_teacher(*arrays["train"])
    images, labels = arrays["test"]
    accuracy = (teacher.predict(images.astype(np.float32), verbose=0).argmax(axis=1) == labels).mean()
    assert accuracy > 0.9
    teacher.save(root / "shapes.keras")
    return Shapes(arrays, root / "photos", teacher, root / "shapes.keras")


def trained_teacher(images: Any, labels: Any) -> Any:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    for number, channels in enumerate((32, 48, 64)):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(layers.BatchNormalization(momentum=0.8, name=f"norm{number}")(x))
    y = layers.Conv2D(64, 3, padding="same", name="side")(x)
    x = layers.ReLU(name="joined")(layers.Add(name="sum")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x), name="shapes")
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images.astype(np.float32), labels, batch_size=30, epochs=12, verbose=0)
    return model


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where soft labels are kept; never the user's own cache."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2C_CACHE", str(cache))


@dataclass(frozen=True)
class Run:
    """A run of the command: what it printed, and the folder it wrote as it was right after."""

    code: int
    stdout: str
    stderr: str
    out: Path

    @property
    def family(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "family.json").read_text())
        return found


@pytest.fixture(scope="module")
def runs(
    shapes: Shapes, cache: Path, tmp_path_factory: pytest.TempPathFactory, timed_briefly: None
) -> dict[str, Run]:
    """First students of our own, by the real command, then cuts of the teacher, into one and the same folder."""
    root = tmp_path_factory.mktemp("runs")
    found = {}
    arguments = ["compress", str(shapes.file), "--data", str(shapes.folder), "--out", str(root / "family")]
    german = tmp_path_factory.mktemp("labels") / "de.txt"
    german.write_text("\n".join(GERMAN), encoding="utf-8")
    stated = ["--teacher-licence", "MIT", "--data-licence", "CC0 1.0", "--display-labels", f"de={german}"]
    fresh = ["--students", "3", "--json", *stated]
    own = {"L2C_CACHE": str(cache)}
    for route, more in {"fresh": fresh, "teacher": ["--students", "2"]}.items():
        words = [*arguments, "--budget", SHORTEST, "--from", route, *more]
        if route == "fresh":
            command = [sys.executable, "-m", "learn2compress", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **own})
            code = done.returncode
        else:
            # In this process, which has TensorFlow: to import it takes a fifth of so short a run.
            done = CliRunner(env=own).invoke(main, words)
            code = done.exit_code
        assert code == 0, done.stderr[-3000:]
        assert "Traceback" not in done.stderr
        kept = root / route
        shutil.copytree(root / "family", kept)
        found[route] = Run(code, done.stdout, done.stderr, kept)
    return found


@pytest.fixture(params=["fresh", "teacher"])
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    found: Run = runs[request.param]
    return found


def test_the_folder_holds_what_is_promised_and_nothing_else(run: Run) -> None:
    assert {path.name for path in run.out.iterdir()} == WRITTEN
    names = [member["name"] for member in run.family["members"]]
    expected = {f"{name}.{suffix}" for name in names for suffix in ("tflite", "keras", "md")}
    assert {path.name for path in (run.out / "models").iterdir()} == expected
    assert {path.name for path in (run.out / "baseline").iterdir()} == {
        "teacher-float32.tflite",
        "teacher-int8.tflite",
    }
    assert (run.out / "labels.txt").read_text().splitlines() == list(CLASSES)
    lines = [json.loads(line) for line in (run.out / "run.jsonl").read_text().splitlines()]
    assert {"stage", "done", "note"} <= {line["kind"] for line in lines}
    assert (run.out / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")


def test_what_was_stated_of_licences_and_labels_stands_in_files_and_cards(runs: dict[str, Run]) -> None:
    from learn2compress.export.metadata import read_metadata

    for route, stated in {"fresh": ("MIT", "CC0 1.0"), "teacher": ("not given", "not given")}.items():
        family = runs[route].family
        assert (family["teacher_licence"], family["data_licence"]) == stated
        for member in family["members"]:
            metadata = read_metadata(runs[route].out / member["file"])
            assert metadata is not None
            assert metadata.license == "teacher: {}; data: {}".format(*stated)
            assert metadata.display_labels == ({"de": GERMAN} if route == "fresh" else {})
            assert "trained on 180 images" in metadata.description
            assert_figures_are_those_of_the_manifest(metadata.description, member)
            text = (runs[route].out / "models" / f"{member['name']}.md").read_text()
            for words in stated:
                assert words in text
            assert f"{100 * member['accuracy']['test']:.1f} %" in text


def assert_figures_are_those_of_the_manifest(description: str, member: dict[str, Any]) -> None:
    accuracy = member["accuracy"]
    assert f"Right on {100 * accuracy['test']:.1f} % of 60 test images" in description
    for name, share in zip(CLASSES, accuracy["per_class_test"], strict=True):
        assert f"{name} {100 * share:.1f} %" in description
    assert f"{member['size_bytes']:,} bytes" in description


def test_nothing_is_left_beside_the_folder(runs: dict[str, Run]) -> None:
    root = runs["fresh"].out.parent
    assert {path.name for path in root.iterdir()} == {"family", "fresh", "teacher"}


def test_there_are_as_many_members_as_asked_for_and_each_is_smaller_than_the_one_before(
    runs: dict[str, Run],
) -> None:
    for route, count in {"fresh": 3, "teacher": 2}.items():
        sizes = [member["size_bytes"] for member in runs[route].family["members"]]
        assert len(sizes) == count
        assert sizes == sorted(sizes, reverse=True)
        assert runs[route].family["route"] == route


def test_the_manifest_has_all_that_is_promised_of_every_model(run: Run) -> None:
    family = run.family
    assert family["schema_version"] == 1
    for model in (family["teacher"], *family["baselines"], *family["members"]):
        path = run.out / model["file"]
        assert model["size_bytes"] == path.stat().st_size
        assert 0 < model["zipped_bytes"] < 1.1 * model["size_bytes"]
        assert model["parameters"] > 0
        assert model["macs"] > 0
        assert model["threads"] == 1
        assert 0 < model["latency_ms"]["median"] <= model["latency_ms"]["p90"]
        assert model["peak_memory_bytes"] > 0
        for split, examples in (("validation", 60), ("test", 60)):
            assert 0 <= model["accuracy"][split] <= 1
            assert model["accuracy"][f"{split}_examples"] == examples
        assert len(model["accuracy"]["per_class_test"]) == 3
        teacher = family["teacher"]
        ratios = model["ratio_to_teacher"]
        assert ratios["size"] == pytest.approx(teacher["size_bytes"] / model["size_bytes"], abs=1e-3)
        assert ratios["macs"] == pytest.approx(teacher["macs"] / model["macs"], abs=1e-3)
        assert ratios["latency"] == pytest.approx(
            teacher["latency_ms"]["median"] / model["latency_ms"]["median"], rel=1e-2
        )
        drop = teacher["accuracy"]["test"] - model["accuracy"]["test"]
        assert model["accuracy_drop"] == pytest.approx(drop, abs=1e-5)
    for member in family["members"]:
        assert member["verification"]["top1_agreement"] >= 0.99
        assert member["precision"] == "int8"
    assert {"teacher", "dataset", "environment", "baselines", "members", "command", "seed"} <= family.keys()
    assert family["dataset"]["class_names"] == list(CLASSES)
    assert family["dataset"]["train_examples"] == 180


def test_the_manifest_tells_nothing_of_the_machine_but_what_matters(run: Run) -> None:
    import socket

    text = (run.out / "family.json").read_text()
    assert str(run.out.parent / "family") not in json.dumps(run.family["members"])
    assert socket.gethostname() not in text


def test_json_prints_the_manifest_and_nothing_else(runs: dict[str, Run]) -> None:
    assert json.loads(runs["fresh"].stdout) == runs["fresh"].family


def test_the_table_names_every_member_and_the_report(runs: dict[str, Run]) -> None:
    found = runs["teacher"]
    for member in found.family["members"]:
        assert member["name"] in found.stdout
    assert "report.html" in found.stdout
    assert "Traceback" not in found.stderr


def test_every_file_takes_pixels_and_gives_probabilities_with_labels_inside(run: Run) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from learn2compress.export.metadata import read_metadata
    from learn2compress.measure.graph import describe

    for path in (run.out / "models").glob("*.tflite"):
        found = describe(path)
        assert found.fully_integer
        assert found.float_ops == 0
        assert found.custom_ops == ()
        metadata = read_metadata(path)
        assert metadata is not None
        assert metadata.labels == CLASSES
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        image_in, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        assert image_in["dtype"] == out["dtype"] == np.uint8
        assert tuple(image_in["shape"]) == (1, SIZE, SIZE, 3)
        assert tuple(out["shape"]) == (1, 3)
        interpreter.set_tensor(image_in["index"], np.full((1, SIZE, SIZE, 3), 200, np.uint8))
        interpreter.invoke()
        assert int(interpreter.get_tensor(out["index"]).astype(int).sum()) == pytest.approx(256, abs=3)


def test_the_accuracies_are_what_evaluate_finds(run: Run, shapes: Shapes) -> None:
    models = [*run.family["members"], run.family["teacher"]]
    for model in models:
        file = run.out / model["file"]
        done = CliRunner().invoke(main, ["evaluate", str(file), "--data", str(shapes.folder), "--json"])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert found["accuracy"] == pytest.approx(model["accuracy"]["test"], abs=1e-9)
        assert list(found["per_class"].values()) == pytest.approx(model["accuracy"]["per_class_test"])
        assert found["examples"] == 60


def test_cuts_of_the_teacher_know_what_it_knows(runs: dict[str, Run]) -> None:
    best = max(member["accuracy"]["test"] for member in runs["teacher"].family["members"])
    assert best > 0.8


def test_the_kept_keras_model_says_what_the_file_says(run: Run, shapes: Shapes) -> None:
    import keras

    from learn2compress.inputs.dataset import load_dataset
    from learn2compress.measure.accuracy import tflite_probabilities

    images, _ = shapes.arrays["test"]
    for member in run.family["members"]:
        kept = keras.models.load_model(run.out / member["keras_file"])
        from_model = kept.predict(images.astype(np.float32), verbose=0)
        from_file = tflite_probabilities(run.out / member["file"], load_dataset(shapes.folder).test)
        assert (from_model.argmax(axis=1) == from_file.argmax(axis=1)).mean() > 0.9
        assert np.abs(from_model - from_file).mean() < 0.05


def test_a_second_run_takes_the_soft_labels_from_the_cache(runs: dict[str, Run]) -> None:
    first, second = (runs[route].family["plan"] for route in ("fresh", "teacher"))
    assert first["views from the cache"] == 0
    # Of the first run's views half were mixed, which is for students.
    assert first["mixed views"]
    assert not second["mixed views"]
    assert second["views from the cache"] == min(-(-first["views"] // 2), second["views"]) > 0


def test_a_second_run_replaces_the_family(runs: dict[str, Run]) -> None:
    folder = runs["fresh"].out.parent / "family"
    assert Family.load(folder).route == "teacher"
    assert {path.name for path in (folder / "models").iterdir()} == {
        path.name for path in (runs["teacher"].out / "models").iterdir()
    }


def test_a_report_is_written_anew_from_the_manifest(runs: dict[str, Run], tmp_path: Path) -> None:
    folder = tmp_path / "family"
    shutil.copytree(runs["fresh"].out, folder)
    (folder / "report.html").unlink()
    done = CliRunner().invoke(main, ["report", str(folder)])
    assert done.exit_code == 0, done.output
    assert (folder / "report.html").read_text() == (runs["fresh"].out / "report.html").read_text()


def test_measure_agrees_with_the_manifest(runs: dict[str, Run]) -> None:
    member = runs["fresh"].family["members"][-1]
    done = CliRunner().invoke(main, ["measure", str(runs["fresh"].out / member["file"]), "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    for key in ("size_bytes", "zipped_bytes", "parameters", "macs"):
        assert found[key] == member[key]
    assert found["fully_integer"]


def test_inspect_tells_what_the_teacher_is(shapes: Shapes) -> None:
    done = CliRunner().invoke(main, ["inspect", str(shapes.file), "--data", str(shapes.folder), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["input"] == [SIZE, SIZE, 3]
    assert found["classes"] == 3
    assert found["preprocessing"] == "raw"
    assert found["cut_points"] == ["relu0", "relu1", "relu2", "joined"]
    assert found["parameters"] == shapes.teacher.count_params()
    assert found["validation_accuracy"] > 0.9
    structure = found["structure"]
    assert structure["groups"], structure
    for group in structure["groups"]:
        assert 0 < group["macs"] <= 2
        assert group["layers"] >= 2
    assert all(len(entry) == 3 for entry in structure["held"])


def test_inspect_prints_the_groups_that_can_be_narrowed(shapes: Shapes) -> None:
    done = CliRunner().invoke(main, ["inspect", str(shapes.file)])
    assert done.exit_code == 0, done.output
    assert "What can be narrowed" in done.stdout
    assert "scores: all 3 channels stay: " in done.stdout


def test_a_target_that_is_missed_ends_with_exit_code_3_and_the_nearest_family(shapes: Shapes, tmp_path: Path) -> None:
    arguments = [str(shapes.file), "--data", str(shapes.folder), "--out", str(tmp_path / "family"), "--json"]
    options = ["--budget", SHORTEST, "--students", "1", "--from", "fresh"]
    targets = ["--target", "size<=25KB", "--target", "accuracy>=0.999"]
    done = CliRunner().invoke(main, ["compress", *arguments, *options, *targets])
    assert done.exit_code == EXIT_TARGETS, done.output
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "targets.unmet"
    assert "accuracy>=0.999" in error["message"]
    assert "off by" in error["message"]
    assert "size<=25KB and accuracy>=0.999 at once" in error["message"]
    assert "has accuracy" in error["message"]
    assert "has size" not in error["message"]
    assert {path.name for path in (tmp_path / "family").iterdir()} == WRITTEN
    largest, *cut_out = Family.load(tmp_path / "family").members  # of the latter one, if it held on validation images
    assert "size<=25KB" in largest.targets
    assert largest.size_bytes is not None
    assert 15_000 < largest.size_bytes <= 25_000
    assert all("accuracy>=0.999" in member.targets for member in cut_out)


@pytest.mark.slow  # another black box is compressed in test_compress_black_box.py
def test_a_callable_and_arrays_are_compressed_from_python(shapes: Shapes, tmp_path: Path) -> None:
    import learn2compress as l2c

    def knows_colours(images: Any) -> Any:
        return shapes.teacher.predict(np.asarray(images, np.float32), verbose=0)

    events: list[Event] = []
    parts = {**shapes.arrays, "class_names": CLASSES}
    family = l2c.compress(
        knows_colours, parts, out=tmp_path / "family", students=1, budget=30, progress=Progress(events.append)
    )
    assert family == Family.load(tmp_path / "family")
    assert (family.route, family.baselines) == ("fresh", ())
    assert family.teacher.file is None
    assert family.teacher.accuracy.test > 0.9
    assert family.dataset.class_names == CLASSES
    assert family.best().path.stat().st_size == family.best().member.size_bytes
    assert {path.name for path in (tmp_path / "family").iterdir()} == WRITTEN - {"baseline"}
    stages = [event.stage for event in events if event.kind == "done"]
    assert {"soft labels", "joint training", "quantization-aware training", "export"} <= set(stages)


def test_a_pruned_teacher_with_zeros_for_some_of_its_classes(shapes: Shapes, tmp_path: Path) -> None:
    """Two of three classes, half of the weights zero, narrowed from the teacher: all that takes something away."""
    known = [CLASSES[0], CLASSES[2]]
    for part in COUNTS:
        for name in known:
            shutil.copytree(shapes.folder / part / name, tmp_path / "photos" / part / name)
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    arguments = [str(shapes.file), "--data", str(tmp_path / "photos"), "--out", str(tmp_path / "family")]
    options = ["--labels", str(tmp_path / "labels.txt"), "--from", "prunings", "--sparsity", "0.5"]
    more = ["--students", "2", "--budget", SHORTEST, "--target", "size<=60KB"]
    done = CliRunner().invoke(main, ["compress", *arguments, *options, *more])
    assert done.exit_code == 0, done.output
    assert "green square" in done.stderr
    family = Family.load(tmp_path / "family")
    assert (family.route, family.plan["sparsity"]) == ("teacher", 0.5)
    assert family.dataset.class_names == tuple(known)
    assert family.best().member.accuracy.test > 0.8
    sizes = [member.size_bytes or 0 for member in family.members]
    assert len(sizes) == 2
    assert sizes == sorted(sizes, reverse=True)
    for member in family.members:
        assert 0.4 < member.zeros < 0.7
        assert (member.zipped_bytes or 0) < 0.85 * (member.size_bytes or 0)
        assert "of their weights" in member.description


def test_a_teacher_that_learns_along_and_bounds_that_are_measured(
    shapes: Shapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher's file stays as it is; what it has become lies beside the family, and can teach again."""
    # Each is written before it is measured, which takes seconds; the bounds lie far off either way.
    monkeypatch.setattr("learn2compress.stages.rehearsal.MEASURED_CANDIDATES", 2)
    before = shapes.file.read_bytes()
    out = tmp_path / "family"
    arguments = [str(shapes.file), "--data", str(shapes.folder), "--out", str(out), "--budget", SHORTEST]
    more = ["--from", "fresh", "--students", "1", "--teacher", "joint"]
    bounds = ["--target", "latency<=20ms", "--target", "memory<=3MB", "--target", "size<=40KB"]
    done = CliRunner().invoke(main, ["compress", *arguments, *more, *bounds])
    assert done.exit_code == 0, done.output
    assert shapes.file.read_bytes() == before
    family = Family.load(out)
    assert any("The jointly trained teacher" in note for note in family.notes)
    assert family.plan["teacher"] == "joint"
    (member,) = family.members
    assert set(member.targets) == {"latency<=20ms", "memory<=3MB", "size<=40KB"}
    assert member.accuracy.test > 0.8
    found = CliRunner().invoke(main, ["inspect", str(out / "teacher.keras"), "--data", str(shapes.folder), "--json"])
    assert found.exit_code == 0, found.output
    assert "raw" in found.stdout


@pytest.mark.slow
def test_a_teacher_that_learns_along_labels_nothing_anew_where_nothing_is_trained_after_it(
    shapes: Shapes, tmp_path: Path
) -> None:
    out = tmp_path / "family"
    arguments = [str(shapes.file), "--data", str(shapes.folder), "--out", str(out), "--budget", SHORTEST]
    more = ["--from", "fresh", "--students", "1", "--teacher", "joint", "--precision", "float32"]
    done = CliRunner().invoke(main, ["compress", *arguments, *more])
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in (out / "run.jsonl").read_text().splitlines()]
    assert [event["stage"] for event in events if event["kind"] == "stage"].count("soft labels") == 1


def test_a_callable_can_not_learn_along(shapes: Shapes, tmp_path: Path) -> None:
    import learn2compress as l2c

    def knows_colours(images: Any) -> Any:
        return shapes.teacher.predict(np.asarray(images, np.float32), verbose=0)

    with pytest.raises(InputError) as caught:
        l2c.compress(knows_colours, shapes.arrays, out=tmp_path / "family", budget=30, teacher="joint")
    assert caught.value.code == "teacher.not_trainable"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches the processes that are started, also where the tests themselves run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def events(folder: Path) -> list[dict[str, Any]]:
    """What a run tells there, or told; the last line may be half written."""
    log = folder / "run.jsonl"
    lines = log.read_text().splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def begun_and_stopped(arguments: list[str], out: Path, stage: str, how: int, cache: Path) -> tuple[int, str]:
    """Runs the command until a stage is under way, then sends the signal; returns the exit code and what it said."""
    command = [sys.executable, "-m", "learn2compress", "compress", *arguments]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as words:
        environment = {**os.environ, "L2C_CACHE": str(cache)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=words)
        while process.poll() is None:
            told = events(out / "checkpoints" / "family")
            if any(event["stage"] == stage and event["kind"] == "step" for event in told):
                process.send_signal(how)
                break
            time.sleep(0.2)
        code = process.wait()
        words.seek(0)
        return code, words.read()


# Enough steps to be stopped amid them.
FIXED = {"training.joint_steps": 120, "training.quantization_steps": 40, "views.count": 2}
# What of a plan must not depend on how often the run was stopped.
PLANNED = ("members", "reason", "views", "mirrored views", "mixed views", "preprocessing of the teacher")


def no_space(path: Path, content: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_a_run_that_is_interrupted_killed_and_short_of_disk_ends_as_one_that_is_not(
    shapes: Shapes, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruptible: None
) -> None:
    out, undisturbed = tmp_path / "family", tmp_path / "undisturbed"
    asked = [str(shapes.file), "--data", str(shapes.folder), "--budget", SHORTEST, "--students", "1"]
    asked += ["--from", "prunings", "--mixed", "off", "--quiet"]
    for key, value in FIXED.items():
        asked += ["--set", f"{key}={value}"]
    arguments = [*asked, "--out", str(out)]

    code, said = begun_and_stopped(arguments, out, "joint training", signal.SIGINT, cache)
    assert code == EXIT_INTERRUPTED, said
    assert f"l2c compress --resume --out {out}" in said
    state = json.loads((out / "checkpoints" / "state.json").read_text())
    assert {"planned", "chosen", "phases"} <= set(state["known"])
    assert (out / "checkpoints" / "joint.npz").is_file()
    # What was planned is kept once, as what was chosen.
    assert {path.name for path in (out / "checkpoints").iterdir() if path.is_dir()} == {"chosen", "family"}

    code, said = begun_and_stopped(arguments, out, "export", signal.SIGKILL, cache)
    assert code == -signal.SIGKILL, said
    refused([*arguments, "--seed", "3"], "run.unfinished")

    with monkeypatch.context() as full:
        full.setattr("learn2compress.core.checkpoints.write_whole", no_space)
        done = CliRunner().invoke(main, ["compress", "--resume", "--out", str(out)])
    assert done.exit_code == EXIT_INPUT, done.output
    assert "error: The disk is full" in done.stderr
    assert re.search("killed while it was at (export|measurement); if nobody did that, memory", done.stderr)

    done = CliRunner().invoke(main, ["compress", "--resume", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "going on with the unfinished run" in done.stderr
    assert "joint training: done" not in done.stderr
    assert {path.name for path in out.iterdir()} == WRITTEN
    # Neither of the interruption nor of the full disk.
    assert [event["kind"] for event in events(out) if "was killed" in event["message"]] == ["warning"]

    done = CliRunner().invoke(main, ["compress", *asked, "--out", str(undisturbed)])
    assert done.exit_code == 0, done.output
    assert_the_same_was_planned_and_trained(Family.load(out), Family.load(undisturbed))
    again = CliRunner().invoke(main, ["compress", "--resume", "--out", str(out), "--json"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == json.loads((out / "family.json").read_text())


def assert_the_same_was_planned_and_trained(found: Family, expected: Family) -> None:
    assert {key: found.plan[key] for key in PLANNED} == {key: expected.plan[key] for key in PLANNED}
    for phase, setting in (("joint training", "joint_steps"), ("quantization-aware training", "quantization_steps")):
        for family in (found, expected):
            assert family.plan[phase]["steps"] == FIXED[f"training.{setting}"]
    for one, other in zip(found.members, expected.members, strict=True):
        for what in ("name", "width", "depth", "input_size", "parameters", "macs", "size_bytes"):
            assert getattr(one, what) == getattr(other, what), what
        assert abs(one.accuracy.test - other.accuracy.test) < 0.1
    assert found.best().member.accuracy.test > 0.8


def test_the_recipe_of_a_run_makes_the_same_family_again(runs: dict[str, Run], tmp_path: Path) -> None:
    out = tmp_path / "family"
    recipe = runs["fresh"].out / "recipe.toml"
    done = CliRunner().invoke(main, ["compress", "--recipe", str(recipe), "--out", str(out)])
    assert done.exit_code == 0, done.output
    again, first = Family.load(out), Family.load(runs["fresh"].out)
    for one, other in zip(again.members, first.members, strict=True):
        assert (one.name, one.macs, one.size_bytes) == (other.name, other.macs, other.size_bytes)
        assert abs(one.accuracy.test - other.accuracy.test) < 0.1
    for phase in ("joint training", "quantization-aware training"):
        assert again.plan[phase]["steps"] == first.plan[phase]["steps"]
    assert (out / "recipe.toml").read_text() == recipe.read_text()


@pytest.mark.slow
def test_on_jax_members_are_trained_by_all_devices_of_the_machine(
    shapes: Shapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learn2compress import compress

    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    # Only the process that trains finds out in which dtype it is the fastest.
    monkeypatch.setattr("learn2compress.train.settings.fastest_dtype", lambda: pytest.fail("found out in this one"))
    events: list[Event] = []
    family = compress(
        shapes.file,
        shapes.folder,
        out=tmp_path / "family",
        route="fresh",
        students=2,
        backend="jax",
        settings=["training.joint_steps=60", "training.quantization_steps=12", "training.batch_size=32"],
        progress=Progress(events.append),
    )
    assert any("training on 2 of 2 local devices" in event.message for event in events)
    # The process that trained tells of its steps, and this one finds that there is nothing left to train.
    done = [event for event in events if event.stage == "joint training" and event.kind == "step"]
    assert len(done) >= 6
    assert family.plan["joint training"]["steps"] == 60
    trained_in = family.plan["joint training"]["dtype"]
    assert f'dtype = "{trained_in}"' in (tmp_path / "family" / "recipe.toml").read_text()
    assert family.plan["mixed views"] is True
    assert family.members[0].accuracy.test > 0.6


@pytest.mark.parametrize("given", ["data", "test_data", "labels"])
def test_a_backend_that_can_not_see_the_data_is_refused(shapes: Shapes, tmp_path: Path, given: str) -> None:
    from learn2compress import compress

    inputs: dict[str, Any] = {"data": shapes.folder}
    inputs[given] = ["one", "two"] if given == "labels" else shapes.arrays["train"]
    with pytest.raises(InputError) as caught:
        compress(shapes.teacher, out=tmp_path / "family", backend="jax", **inputs)
    if caught.value.code == "backend.data":
        assert f"given as {given}" in caught.value.what
    assert caught.value.code in ("backend.data", "backend.missing")
    assert not (tmp_path / "family").exists()


def test_a_live_model_that_knows_squeezed_images_is_compressed_and_not_changed(
    shapes: Shapes, tmp_path: Path
) -> None:
    """Of images three times as wide as high, whose shapes lie at the ends: in the middle there is only ground."""
    import learn2compress as l2c

    before = [weight.copy() for weight in shapes.teacher.get_weights()]
    wide = {
        part: (np.roll(images, SIZE // 2, axis=2).repeat(3, axis=2), labels)
        for part, (images, labels) in shapes.arrays.items()
    }
    out = tmp_path / "family"
    family = l2c.compress(shapes.teacher, wide, out=out, students=1, budget=30, route="teacher", framing="squeeze")
    (member,) = family.members
    assert family.best().path.is_file()
    assert family.teacher.accuracy.test > 0.9
    assert member.accuracy.test > 0.8
    for was, now in zip(before, shapes.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    assert family.dataset.framing == "squeeze"
    assert 'framing = "squeeze"' in (out / "recipe.toml").read_text()
    assert "squeezed into that size" in (out / "models" / f"{member.name}.md").read_text()
    # The file alone says how its images are framed.
    arrays = {f"{letter}_{part}": wide[part][place] for part in wide for place, letter in enumerate("xy")}
    np.savez(tmp_path / "wide.npz", **arrays)
    arguments = ["evaluate", str(family.path(member)), "--data", str(tmp_path / "wide.npz"), "--json"]
    found = json.loads(CliRunner().invoke(main, arguments).stdout)
    assert found["accuracy"] == pytest.approx(member.accuracy.test)
    cropped = json.loads(CliRunner().invoke(main, [*arguments, "--framing", "crop"]).stdout)
    assert cropped["accuracy"] < member.accuracy.test - 0.2
    inspected = CliRunner().invoke(
        main, ["inspect", str(shapes.file), "--data", str(tmp_path / "wide.npz"), "--framing", "squeeze", "--json"]
    )
    assert json.loads(inspected.stdout)["framing"] == "squeeze"
    assert json.loads(inspected.stdout)["validation_accuracy"] > 0.9


def constant_teacher() -> Any:
    """Always says the first class."""
    import keras

    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    first = keras.initializers.Constant([5.0, 0.0, 0.0])
    return keras.Model(image, keras.layers.Dense(3, kernel_initializer="zeros", bias_initializer=first)(x))


def five_classes() -> Any:
    import keras

    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(image)))


def two_outputs() -> Any:
    import keras

    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, [keras.layers.Dense(3)(x), keras.layers.Dense(3)(x)])


def two_inputs() -> Any:
    import keras

    images = [keras.Input((SIZE, SIZE, 3)) for _ in range(2)]
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()(images))
    return keras.Model(images, keras.layers.Dense(3)(x))


def no_model(path: Path) -> None:
    path.write_text("this is no model")


def half_a_model(path: Path) -> None:
    five_classes().save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def saved(make: Callable[[], Any]) -> Callable[[Path], None]:
    return lambda path: make().save(path)


BAD_MODELS: dict[str, Callable[[Path], None]] = {
    "teacher.at_chance": saved(constant_teacher),
    "teacher.class_count": saved(five_classes),
    "teacher.many_outputs": saved(two_outputs),
    "teacher.many_inputs": saved(two_inputs),
    "teacher.not_a_model": no_model,
    "teacher.damaged_file": half_a_model,
    "teacher.not_found": lambda path: None,
}


def refused(arguments: list[str], code: str, exit_code: int = EXIT_INPUT) -> dict[str, str]:
    done = CliRunner().invoke(main, ["compress", *arguments, "--budget", SHORTEST, "--json"])
    assert done.exit_code == exit_code, done.output
    error: dict[str, str] = json.loads(done.stdout)["error"]
    assert error["code"] == code
    assert error["fix"]
    return error


@pytest.mark.parametrize("code", BAD_MODELS)
def test_a_model_that_can_not_be_compressed_is_refused_before_any_training(
    shapes: Shapes, tmp_path: Path, code: str
) -> None:
    BAD_MODELS[code](tmp_path / "model.keras")
    before = sorted(path.name for path in tmp_path.iterdir())
    out = tmp_path / "family"
    error = refused([str(tmp_path / "model.keras"), "--data", str(shapes.folder), "--out", str(out)], code)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    if code == "teacher.at_chance":
        assert "33.3%" in error["message"]
        assert "--preprocess" in error["fix"]


def test_of_a_bound_that_no_member_can_keep_the_nearest_family_is_written(shapes: Shapes, tmp_path: Path) -> None:
    out = tmp_path / "family"
    arguments = [str(shapes.file), "--data", str(shapes.folder), "--out", str(out), "--from", "fresh"]
    arguments += ["--students", "1", "--set", "training.joint_steps=10", "--set", "training.quantization_steps=5"]
    arguments += ["--target", "size<=100B"]
    done = CliRunner().invoke(main, ["compress", *arguments, "--budget", SHORTEST, "--json"])
    assert done.exit_code == EXIT_TARGETS
    assert "The target size<=100B can't be met" in done.stderr
    (member,) = Family.load(out).members
    # The same command tells it again, and not that the family is complete.
    error = refused(arguments, "targets.unmet", EXIT_TARGETS)
    assert f"{member.size_bytes / 1000:.3g} kB" in error["message"]
    assert str(out) in error["fix"]


@pytest.mark.parametrize(
    ("data", "code"), [("nowhere", "dataset.not_found"), ("empty", "dataset."), ("half", "dataset.")]
)
def test_data_that_can_not_be_used_is_refused_before_any_training(
    shapes: Shapes, tmp_path: Path, data: str, code: str
) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(shapes.folder / "train" / CLASSES[0], tmp_path / "half" / CLASSES[0])
    (tmp_path / "half" / CLASSES[1]).mkdir()
    arguments = [str(shapes.file), "--data", str(tmp_path / data), "--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(main, ["compress", *arguments])
    assert done.exit_code == 2, done.output
    assert json.loads(done.stdout)["error"]["code"].startswith(code)
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "half"]


def test_a_folder_with_something_else_in_it_is_not_touched(shapes: Shapes, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    refused([str(shapes.file), "--data", str(shapes.folder), "--out", str(tmp_path)], "out.not_empty")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "mine")]


def test_one_progress_serves_several_runs(tmp_path: Path) -> None:
    import learn2compress as l2c

    progress = Progress()
    with pytest.raises(InputError):
        l2c.compress(lambda images: images, "nowhere", out=tmp_path / "family", progress=progress)
    progress.note("the next run begins")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def hard_for_int8(shapes: Shapes, tmp_path_factory: pytest.TempPathFactory, timed_briefly: None) -> Family:
    """A family from a teacher that says what the other says, but one of its channels is 300 times as large."""
    import keras

    from learn2compress.compress import compress

    teacher = keras.models.clone_model(shapes.teacher)
    teacher.set_weights(shapes.teacher.get_weights())
    scale, shift, *statistics = teacher.get_layer("norm1").get_weights()
    scale[0], shift[0] = 300 * scale[0], 300 * shift[0]
    teacher.get_layer("norm1").set_weights([scale, shift, *statistics])
    kernel, *rest = teacher.get_layer("conv2").get_weights()
    kernel[:, :, 0] /= 300
    teacher.get_layer("conv2").set_weights([kernel, *rest])
    return compress(
        teacher,
        shapes.folder,
        out=tmp_path_factory.mktemp("hard") / "family",
        route="cuts",
        students=1,
        budget=SHORTEST,
        precision=["int8", "float16"],
        output="logits",
        settings=[
            "training.joint_steps=30",
            "training.quantization_steps=30",
            # Steps of the usual size would take the large channel apart.
            "training.peak=1e-5",
            "training.quantization_peak=1e-6",
            "views.count=1",
        ],
    )


def test_a_member_is_written_in_each_precision_and_each_file_does_what_is_said(
    hard_for_int8: Family, shapes: Shapes
) -> None:
    from learn2compress.export.metadata import read_metadata
    from learn2compress.measure.graph import describe, gives_logits

    members = {member.precision: member for member in hard_for_int8.members}
    assert [member.name for member in hard_for_int8.members] == ["small-int8", "small-float16"]
    for precision, port in {"int8": "uint8", "float16": "float32"}.items():
        member = members[precision]
        path = hard_for_int8.path(member)
        found = describe(path)
        assert (member.input_type, member.output_type, member.output) == (port, port, "logits")
        assert [tensor.dtype.lower() for tensor in (*found.inputs, *found.outputs)] == [port, port]
        assert gives_logits(path)
        assert (hard_for_int8.folder / member.keras_file).is_file()
        done = CliRunner().invoke(main, ["evaluate", str(path), "--data", str(shapes.folder), "--json"])
        assert json.loads(done.stdout)["accuracy"] == pytest.approx(member.accuracy.test)
        metadata = read_metadata(path)
        assert metadata is not None
        assert_figures_are_those_of_the_manifest(metadata.description, member.model_dump())
    report = (hard_for_int8.folder / "report.html").read_text()
    assert "small-float16" in report
    assert "Kept in float32" in report


def test_what_int8_costs_too_much_stays_in_float32_and_is_named(hard_for_int8: Family) -> None:
    from learn2compress.measure.graph import describe

    member = next(member for member in hard_for_int8.members if member.precision == "int8")
    mixed = member.mixed
    assert mixed is not None
    assert mixed.int8_loss > 0.1
    assert mixed.loss < mixed.int8_loss / 2
    assert set(mixed.sensitivity) >= {kept.output_of for kept in mixed.kept}
    assert any("conv1" in kept.layers or "relu1" in kept.layers for kept in mixed.kept)
    assert mixed.size_bytes > mixed.int8_size_bytes
    found = describe(hard_for_int8.path(member))
    assert found.float_islands
    assert {label for part in member.float_parts for label in part.operators} == set(found.float_islands)
    assert member.accuracy.validation > member.float_accuracy_validation - 0.1
