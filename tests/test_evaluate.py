"""`l2c evaluate`: a file is measured on the images that are meant, its outputs taken for the right classes."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_input.lite_files import MANIFEST, MEMBER, broken_metadata
from click.testing import CliRunner
from PIL import Image

from learn2compress.cli import main
from learn2compress.export.metadata import add_metadata
from learn2compress.export.schema.packing import pack, unpack
from learn2compress.inputs.dataset import load_dataset
from learn2compress.manifest import describe_data
from learn2compress.measure.accuracy import accuracy_of

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SIZE = 8
COLOURS = ("red", "green", "blue")  # the brightest channel
OUTPUTS = ("red", "blue", "green")  # in another order than the alphabet's
ABOUT: dict[str, Any] = {"name": "n", "description": "", "version": "1", "author": "", "license": ""}
Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a `.tflite` file whose outputs each go by the brightness of a channel, or are never the largest."""

    def write(channels: Sequence[int | None], labels: Sequence[str] = (), end: str = "softmax", **more: Any) -> Path:
        import tensorflow as tf

        kernel = np.zeros((3, len(channels)), np.float32)
        bias = np.zeros(len(channels), np.float32)
        for output, channel in enumerate(channels):
            if channel is None:
                bias[output] = -100
            else:
                kernel[channel, output] = 0.1
        return saved(tmp_path / "colours.tflite", tf, kernel, bias, end, labels, **more)

    return write


def saved(path: Path, tf: Any, kernel: Any, bias: Any, end: str, labels: Sequence[str], **more: Any) -> Path:
    ends = {"softmax": tf.nn.softmax, "sigmoid": tf.sigmoid, "logits": tf.identity}

    @tf.function(input_signature=[tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32)])
    def serve(pixels: Any) -> Any:
        return ends[end](tf.reduce_mean(pixels, [1, 2]) @ kernel + bias)

    model = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()]).convert()
    if labels:
        model = add_metadata(model, labels=labels, input_mean=(0.0,), input_std=(1.0,), **ABOUT, **more)
    path.write_bytes(model)
    return path


@pytest.fixture
def of_three(written: Written) -> Path:
    """Knows red, blue and green, and says so."""
    return written([COLOURS.index(name) for name in OUTPUTS], OUTPUTS)


def picture(channel: int, random: np.random.Generator, width: int = SIZE) -> Any:
    pixels = random.integers(0, 120, (SIZE, width, 3), np.uint8)
    pixels[:, :, channel] += 100
    return pixels


def photos(root: Path, counts: Mapping[str, int], shown: Mapping[str, int] = {}, seed: int = 0) -> Path:
    """Folders of images: {"red": 4} or {"test/red": 4}; `shown` has the bright channel of other names."""
    random = np.random.default_rng(seed)
    for folder, count in counts.items():
        name = folder.rpartition("/")[2]
        channel = shown[name] if name in shown else COLOURS.index(name)
        (root / folder).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(picture(channel, random)).save(root / folder / f"{number:03}.png")
    return root


def ended(file: Path, data: Path, *more: str) -> Any:
    return CliRunner().invoke(main, ["evaluate", str(file), "--data", str(data), *more], env={"COLUMNS": "400"})


def evaluated(file: Path, data: Path, *more: str) -> dict[str, Any]:
    done = ended(file, data, "--json", *more)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def recorded(path: Path, counts: Mapping[str, int]) -> None:
    """Writes TFRecords of so many images of each class."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name in [name for name, count in counts.items() for _ in range(count)]:
            buffer = io.BytesIO()
            Image.fromarray(picture(COLOURS.index(name), random)).save(buffer, "png")
            values = {"image": buffer.getvalue(), "label": name.encode()}
            features = {
                key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def refused(file: Path, data: Path, *more: str) -> dict[str, str]:
    done = ended(file, data, "--json", *more)
    assert done.exit_code == 2, done.output
    error: dict[str, str] = json.loads(done.stdout)["error"]
    return error


def lines(path: Path, names: Sequence[str]) -> str:
    path.write_text("\n".join(names), encoding="utf-8")
    return str(path)


# --- Data that is too little to train on


@pytest.mark.parametrize(
    "counts",
    [{"red": 3, "blue": 1}, {"green": 2}, {"red": 2, "blue": 2, "green": 0}, {"red": 1, "blue": 1, "green": 1}],
    ids=["some classes", "one class", "an empty folder", "one image each"],
)
def test_what_is_too_little_to_train_on_is_enough_to_measure_on(
    of_three: Path, tmp_path: Path, counts: dict[str, int]
) -> None:
    data = photos(tmp_path / "new", counts)
    found = evaluated(of_three, data)
    assert (found["accuracy"], found["examples"], found["split"]) == (1.0, sum(counts.values()), "all")
    unseen = [name for name in OUTPUTS if not counts.get(name)]
    assert found["per_class"] == {name: None if name in unseen else 1.0 for name in OUTPUTS}
    text = ended(of_three, data).stdout
    assert ("No images of" in text) is bool(unseen)
    if unseen:
        assert f"No images of {len(unseen)} of 3 classes: {', '.join(unseen)}" in text


@pytest.mark.parametrize("kind", ["folder", "npz", "table", "records", "validation too"])
@pytest.mark.parametrize("split", ["auto", "test", "all"])
def test_a_test_split_alone_is_enough(of_three: Path, tmp_path: Path, kind: str, split: str) -> None:
    counts = {"test/red": 2, "test/green": 3}
    data, own = tmp_path / "data", 5
    if kind == "npz":
        random = np.random.default_rng(0)
        labels = np.array([0, 0, 2, 2, 2])
        x = np.stack([picture(COLOURS.index(OUTPUTS[label]), random) for label in labels])
        data = tmp_path / "data.npz"
        np.savez(data, x_test=x, y_test=labels)
    elif kind == "table":
        photos(data, {"red": 2, "green": 3, "blue": 1})
        rows = [
            f"{p.relative_to(data)},{p.parent.name},{'val' if p.parent.name == 'blue' else 'test'}\n"
            for p in sorted(data.glob("*/*"))
        ]
        data = data / "images.csv"
        data.write_text("".join(["path,label,split\n", *rows]))
    elif kind == "records":
        data.mkdir()
        recorded(data / "test-1.tfrecord", {"red": 2, "green": 3})
        recorded(data / "validation-1.tfrecord", {"blue": 1})
    else:
        photos(data, counts | ({"val/blue": 1} if kind == "validation too" else {}))
    found = evaluated(of_three, data, "--split", split)
    others = 1 if split == "all" and kind in ("table", "records", "validation too") else 0
    assert (found["accuracy"], found["examples"]) == (1.0, own + others)
    assert found["split"] == ("all" if split == "all" else "test")
    assert found["notes"] == []


def test_nothing_at_all_is_not_enough(of_three: Path, tmp_path: Path) -> None:
    for layout in ("red", "test/red"):
        data = photos(tmp_path / layout.replace("/", "_"), {layout: 0, layout.replace("red", "blue"): 0})
        assert refused(of_three, data)["code"] == "dataset.empty_split"


def test_what_makes_labels_doubtful_is_refused_all_the_same(of_three: Path, tmp_path: Path) -> None:
    data = photos(tmp_path / "data", {"red": 3, "blue": 3})
    (data / "all").symlink_to(".")
    assert refused(of_three, data)["code"] == "dataset.class_inside_class"


# --- Which images


def test_where_the_data_has_a_test_split_that_is_measured(of_three: Path, tmp_path: Path) -> None:
    wrong = {"train/red": 4, "train/green": 4, "test/red": 2}
    data = photos(tmp_path / "data", wrong, {"green": 2})
    found = evaluated(of_three, data)
    assert (found["split"], found["examples"], found["accuracy"], found["notes"]) == ("test", 2, 1.0, [])
    found = evaluated(of_three, data, "--split", "all")
    assert (found["split"], found["examples"], found["accuracy"]) == ("all", 10, 0.6)


def test_new_images_are_all_measured_and_it_is_said_how_to_choose_others(of_three: Path, tmp_path: Path) -> None:
    data = photos(tmp_path / "new", {"red": 20, "blue": 20, "green": 20})
    found = evaluated(of_three, data)
    assert (found["split"], found["examples"]) == ("all", 60)
    (note,) = found["notes"]
    assert "all 60 images" in note
    assert "--split test" in note
    assert note in ended(of_three, data).stdout
    assert evaluated(of_three, data, "--split", "all")["notes"] == []
    found = evaluated(of_three, data, "--split", "test", "--seed", "4")
    assert (found["split"], found["examples"]) == ("test", 6)
    assert "6 of 60 images" in found["notes"][0]
    assert "--seed 4" in found["notes"][0]


def test_where_no_test_split_can_be_made_the_way_out_is_said(of_three: Path, tmp_path: Path) -> None:
    few = photos(tmp_path / "few", {"red": 2, "blue": 2})
    error = refused(of_three, few, "--split", "test")
    assert error["code"] == "dataset.class_too_small"
    assert "--split all" in error["fix"]
    none = photos(tmp_path / "none", {"val/red": 2, "val/blue": 2})
    error = refused(of_three, none, "--split", "test")
    assert error["code"] == "dataset.no_test_split"
    assert "--split all" in error["fix"]


def family(
    folder: Path, file: Path, data: Path, place: str = "models/small.tflite", seed: int = 0, **more: Any
) -> Path:
    """A family with the manifest that a run on this data writes; the file is its member, or its teacher's."""
    dataset = load_dataset(data, labels=OUTPUTS, seed=seed, **more)
    model = {**MEMBER, "file": place}
    baseline = {key: model[key] for key in ("name", "file", "accuracy")}
    member = place.startswith("models")
    document = {
        **MANIFEST,
        "seed": seed,
        "members": [model] if member else [],
        "baselines": [] if member else [baseline],
        "dataset": describe_data(dataset).model_dump(mode="json"),
    }
    (folder / place).parent.mkdir(parents=True)
    (folder / "family.json").write_text(json.dumps(document))
    return Path(shutil.copy(file, folder / place))


@pytest.fixture
def half_right(tmp_path: Path) -> Path:
    """Photos without splits, many of which show something else: no two splits are right equally often."""
    data = photos(tmp_path / "photos", {"red": 40, "blue": 40, "green": 40})
    random = np.random.default_rng(1)
    for number in range(0, 40, 2):
        Image.fromarray(picture(2, random)).save(data / "red" / f"{number:03}.png")
    return data


@pytest.mark.parametrize("seed", [0, 3])
def test_the_data_of_the_run_are_measured_on_the_test_split_of_the_run(
    of_three: Path, half_right: Path, tmp_path: Path, seed: int
) -> None:
    file = family(tmp_path / "family", of_three, half_right, seed=seed)
    test = load_dataset(half_right, labels=OUTPUTS, seed=seed).test
    expected = accuracy_of(file, test)
    moved = Path(shutil.copytree(half_right, tmp_path / "moved"))
    for data in (half_right, moved):
        found = evaluated(file, data)
        assert (found["split"], found["examples"]) == ("test", len(test))
        assert found["accuracy"] == expected.accuracy
        assert list(found["per_class"].values()) == list(expected.per_class)
        (note,) = found["notes"]
        assert f"{len(test)} of 120 images" in note
        assert "--split all" in note
        assert evaluated(file, data, "--split", "all")["examples"] == 120


def test_other_images_in_the_same_numbers_are_all_measured(of_three: Path, half_right: Path, tmp_path: Path) -> None:
    file = family(tmp_path / "family", of_three, half_right)
    other = photos(tmp_path / "other", {"red": 40, "blue": 40, "green": 40}, seed=7)
    found = evaluated(file, other)
    assert (found["split"], found["examples"], found["accuracy"]) == ("all", 120, 1.0)
    # And so are those of the run, where nothing is known of the run.
    shutil.copy(file, tmp_path / "shipped.tflite")
    assert evaluated(tmp_path / "shipped.tflite", half_right)["examples"] == 120


def test_data_that_changed_since_the_run_are_said_to_give_too_good_a_figure(
    of_three: Path, half_right: Path, tmp_path: Path
) -> None:
    file = family(tmp_path / "family", of_three, half_right)
    (half_right / "red" / "000.png").unlink()
    found = evaluated(file, half_right)
    assert found["examples"] == 119
    assert "too good" in found["notes"][0]


# --- Which class an output is


def test_where_nobody_names_the_classes_the_order_is_said(written: Written, tmp_path: Path) -> None:
    file = written([COLOURS.index(name) for name in OUTPUTS])
    data = photos(tmp_path / "data", {"test/red": 4, "test/blue": 4, "test/green": 4})
    found = evaluated(file, data)
    assert list(found["per_class"]) == ["blue", "green", "red"]
    assert found["accuracy"] < 0.5
    (note,) = found["notes"]
    assert "classes taken in the data's order (blue, green, red)" in note
    assert "--labels" in note
    assert note in ended(file, data).stdout
    labels = lines(tmp_path / "labels.txt", OUTPUTS)
    found = evaluated(file, data, "--labels", labels)
    assert (found["accuracy"], found["notes"]) == (1.0, [])


def test_a_given_file_in_a_family_goes_by_the_classes_and_the_framing_of_the_family(
    written: Written, half_right: Path, tmp_path: Path
) -> None:
    file = written([COLOURS.index(name) for name in OUTPUTS])
    file = family(tmp_path / "family", file, half_right, "baseline/teacher.tflite", framing="squeeze")
    found = evaluated(file, photos(tmp_path / "new", {"test/red": 4, "test/green": 4}))
    assert (found["accuracy"], found["framing"], found["notes"]) == (1.0, "squeeze", [])
    assert list(found["per_class"]) == list(OUTPUTS)


def given_teacher(tmp_path: Path, written: Written, data: Path, place: str, **more: Any) -> Path:
    """A file that takes BGR pixels, which nothing in it says, in a family whose run found that out."""
    file = written([2, 0, 1], **more)
    folder = tmp_path / place.replace("/", "_")
    file = family(folder, file, data, place, framing="squeeze")
    document = json.loads((folder / "family.json").read_text())
    document["plan"] = {"preprocessing of the teacher": "raw-bgr"}
    (folder / "family.json").write_text(json.dumps(document))
    return file


@pytest.mark.parametrize("labels", [(), OUTPUTS])
def test_a_given_file_in_a_family_gets_pixels_as_its_run_found_them(
    written: Written, half_right: Path, tmp_path: Path, labels: Sequence[str]
) -> None:
    data = photos(tmp_path / "new", {"test/red": 4, "test/green": 4, "test/blue": 4})
    file = given_teacher(tmp_path, written, half_right, "baseline/teacher.tflite", labels=labels)
    found = evaluated(file, data)
    assert (found["accuracy"], found["framing"]) == (1.0, "squeeze")
    assert found["preprocessing"] == "raw-bgr (found when it was compressed)"
    found = evaluated(file, data, "--preprocess", "raw")
    assert (found["accuracy"], found["preprocessing"]) == (4 / 12, "raw")
    # What our own files want is inside them.
    file = given_teacher(tmp_path, written, half_right, "baseline/teacher-float32.tflite", labels=labels)
    found = evaluated(file, data)
    assert (found["accuracy"], found["preprocessing"]) == (4 / 12, "raw")


def test_spelling_of_the_labels_inside_does_not_matter(written: Written, tmp_path: Path) -> None:
    file = written([0, 2, 1], ["Red", "dark_blue", "GREEN"])
    data = photos(tmp_path / "data", {"test/red": 2, "test/dark blue": 2, "test/green": 2}, {"dark blue": 2})
    found = evaluated(file, data)
    assert (found["accuracy"], list(found["per_class"])) == (1.0, ["Red", "dark_blue", "GREEN"])


def test_labels_inside_that_do_not_fit_are_said_to_be_inside(written: Written, tmp_path: Path) -> None:
    data = photos(tmp_path / "data", {"test/red": 2, "test/blue": 2})
    file = written([0, 2], ["rouge", "bleu"])
    error = refused(file, data)
    assert error["code"] == "dataset.labels_mismatch"
    assert f"The labels inside {file} don't name" in error["message"]
    assert "lack blue, red. They are rouge, bleu" in error["message"]
    assert "--labels FILE" in error["fix"]
    labels = lines(tmp_path / "labels.txt", ["red", "blue"])
    assert evaluated(file, data, "--labels", labels)["accuracy"] == 1.0
    twice = refused(written([0, 2, 1], ["red", "blue", "red"]), data)
    assert twice["code"] == "dataset.class_names"
    assert "labels inside" in twice["message"]
    assert "--labels FILE" in twice["fix"]


def test_numbers_of_classes_that_do_not_fit_are_told_with_the_way_out(written: Written, tmp_path: Path) -> None:
    data = photos(tmp_path / "data", {"test/red": 2, "test/blue": 2})
    file = written([0, 2, 1])
    for more in ([], ["--labels", lines(tmp_path / "labels.txt", ["red", "blue"])]):
        error = refused(file, data, *more)
        assert error["code"] == "evaluate.classes"
        assert "3 outputs" in error["message"]
        assert "2 classes" in error["message"]
        assert "--labels FILE the class of each output" in error["fix"]
        assert "some of them only" in error["fix"]


def test_classes_that_are_numbers_are_those_of_the_outputs(written: Written, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.array([0, 0, 2, 2])
    x = np.stack([picture(channel, random) for channel in (1, 1, 0, 0)])
    np.savez(tmp_path / "data.npz", x_test=x, y_test=labels)
    file = written([1, 2, 0])
    found = evaluated(file, tmp_path / "data.npz")
    assert (found["accuracy"], found["per_class"]) == (1.0, {"0": 1.0, "1": None, "2": 1.0})
    assert "by number" in found["notes"][0]
    folders = photos(tmp_path / "folders", {"test/0": 2, "test/2": 2}, {"0": 1, "2": 0})
    assert evaluated(file, folders)["accuracy"] == 1.0
    np.savez(tmp_path / "beyond.npz", x_test=x, y_test=labels * 10**12)
    error = refused(file, tmp_path / "beyond.npz")
    assert (error["code"], "3 outputs" in error["message"]) == ("evaluate.classes", True)


@pytest.mark.parametrize("labels", [(), ("a", "b")], ids=["no labels", "other labels"])
@pytest.mark.parametrize("background", [0, 1])
def test_a_file_of_all_of_imagenet_is_measured_on_some_of_its_classes(
    written: Written, tmp_path: Path, background: int, labels: tuple[str, ...]
) -> None:
    """Of tench, goldfish and hen, the outputs 0, 1 and 8."""
    channels: list[int | None] = [None] * (1000 + background)
    for place, channel in {0: 0, 1: 1, 8: 2}.items():
        channels[place + background] = channel
    inside = [f"{labels[i % 2]}{i}" for i in range(len(channels))] if labels else ()
    shown = {"tench": 0, "goldfish": 1}
    names = {"test/tench": 2, "test/goldfish": 2}
    file = written(channels, inside)
    found = evaluated(file, photos(tmp_path / "data", names, shown))
    assert (found["accuracy"], found["per_class"]) == (1.0, {"goldfish": 1.0, "tench": 1.0})
    # What the data lacks is among the answers all the same: here hen, for a picture that is as blue.
    (wrong := tmp_path / "wrong").mkdir()
    found = evaluated(file, photos(wrong, names, {**shown, "tench": 2}))
    assert found["accuracy"] == 0.5


@pytest.mark.parametrize("end", ["sigmoid", "logits"])
def test_a_single_score_is_that_of_the_second_class(tmp_path: Path, end: str) -> None:
    import tensorflow as tf

    kernel = np.array([[-0.05], [0.05], [0.0]], np.float32)
    file = saved(tmp_path / "dog.tflite", tf, kernel, np.zeros(1, np.float32), end, ())
    data = photos(tmp_path / "data", {"test/cat": 3, "test/dog": 5}, {"cat": 0, "dog": 1})
    found = evaluated(file, data)
    assert (found["accuracy"], found["per_class"]) == (1.0, {"cat": 1.0, "dog": 1.0})
    assert "single score" in found["notes"][0]
    assert "dog, the second class" in found["notes"][0]
    turned = lines(tmp_path / "labels.txt", ["dog", "cat"])
    assert evaluated(file, data, "--labels", turned)["accuracy"] == 0.0
    only = photos(tmp_path / "only", {"test/dog": 2}, {"dog": 1})
    named = lines(tmp_path / "named.txt", ["cat", "dog"])
    assert evaluated(file, only, "--labels", named)["per_class"] == {"cat": None, "dog": 1.0}
    error = refused(file, photos(tmp_path / "three", {"red": 2, "green": 2, "blue": 2}))
    assert error["code"] == "evaluate.classes"
    assert "single score" in error["message"]
    assert "3 classes" in error["message"]
    # A single label inside says nothing of the other class.
    inside = saved(tmp_path / "named.tflite", tf, kernel, np.zeros(1, np.float32), end, ["dog"])
    error = refused(inside, only)
    assert error["code"] == "evaluate.classes"
    assert "labels inside" in error["message"]


def test_with_labels_a_file_is_measured_whose_own_can_not_be_read(of_three: Path, tmp_path: Path) -> None:
    root = unpack(of_three.read_bytes())
    broken_metadata(root)
    of_three.write_bytes(pack(root))
    data = photos(tmp_path / "data", {"test/red": 2, "test/blue": 2})
    assert refused(of_three, data)["code"] == "tflite.metadata"
    labels = lines(tmp_path / "labels.txt", OUTPUTS)
    assert evaluated(of_three, data, "--labels", labels)["accuracy"] == 1.0
