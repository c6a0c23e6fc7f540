from __future__ import annotations

import json
import os

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from learn2compress.cli import main
from learn2compress.core.errors import InputError
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.survey import load_surveyed


def inspect(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["inspect", *arguments])
    return done.exit_code, done.stdout


def test_inspect_says_what_is_in_a_folder(make_folder):
    root = make_folder({"train/a": 40, "train/b": 20, "test/a": 9, "test/b": 7}, size=(16, 12))
    make_folder({"test/b": 1}, size=(20, 40))
    (root / "train" / "a" / "004.png").write_bytes(b"this is no image")
    Image.open(root / "train" / "b" / "003.png").convert("L").save(root / "train" / "b" / "grey.jpg")
    (root / "test" / "a" / "same.png").write_bytes((root / "train" / "a" / "002.png").read_bytes())
    (root / "train" / "a" / "twin.png").write_bytes((root / "train" / "a" / "002.png").read_bytes())
    code, text = inspect("--data", str(root), "--json")
    found = json.loads(text)
    assert code == 0
    splits = found["splits"]
    assert {part: split["images"] for part, split in splits.items()} == {"train": 55, "validation": 6, "test": 17}
    assert sum(splits[part]["per_class"]["b"] for part in splits) == 28
    assert found["balance"] == {
        "largest": {"class": "a", "images": 50}, "smallest": {"class": "b", "images": 28}, "ratio": 1.79,
    }  # fmt: skip
    assert found["sizes"] == {"smallest": [16, 12], "median": [16, 12], "largest": [20, 40]}
    assert found["formats"] == {"PNG": 77, "JPEG": 1}
    assert found["modes"] == {"RGB": 77, "L": 1}
    assert found["broken"]["images"] == 1
    assert found["broken"]["named"][0].startswith("train/a/004.png")
    repeated = [pair for pair in found["duplicates"]["across"] if pair["part"] == "test"]
    assert sum(pair["exact"] for pair in repeated) == 1
    assert sum(pair["exact"] for pair in found["duplicates"]["within"].values()) == 1
    assert found["duplicates"]["labelled_differently"] == {"images": 0, "examples": []}
    assert any("validation split: made of 6" in note for note in found["notes"])
    code, text = inspect("--data", str(root))
    assert code == 0
    for said in ("004.png", "1.79 times", "20 x 40", "same.png", "validation split: made"):
        assert said in text


def test_inspect_names_copies_that_have_different_labels(make_folder):
    root = make_folder({"a": 20, "b": 20})
    (root / "b" / "same.png").write_bytes((root / "a" / "002.png").read_bytes())
    found = load_surveyed(root)[1]["duplicates"]["labelled_differently"]
    assert found == {"images": 2, "examples": [["a/002.png (a)", "b/same.png (b)"]]}
    assert "b/same.png (b)" in inspect("--data", str(root))[1]


def refused(*arguments: str) -> dict:
    """What `inspect --json` found of data that can't be used, which standard error says too."""
    done = CliRunner().invoke(main, ["inspect", *arguments, "--json"])
    assert done.exit_code == 2, done.output
    found = json.loads(done.stdout)
    for problem in found["problems"]:
        assert problem["message"] in done.stderr
        assert problem["fix"]
        assert problem["fix"] in done.stderr
    assert found["error"] == found["problems"][0]
    return found


def codes(found: dict) -> list[str]:
    return [problem["code"] for problem in found["problems"]]


def test_inspect_of_nothing_or_of_no_images_is_an_error(make_folder):
    assert inspect() == (2, "")
    for counts in ({}, {"a": 0, "b": 0}):
        code, text = inspect("--data", str(make_folder(counts)), "--json")
        assert (code, list(json.loads(text))) == (2, ["error"])
    root = make_folder({"a": 3, "b": 3})
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")
    code, text = inspect("--data", str(root), "--json")
    assert (code, json.loads(text)["error"]["code"]) == (2, "dataset.undecodable")


def test_what_compress_refuses_is_shown_with_all_that_is_wrong_with_it(make_folder):
    root = make_folder({"bird": 2, "cat": 30, "dog": 28, "empty": 0})
    (root / "empty" / "one.heic").write_bytes(b"x")
    for number in range(12):
        (root / "dog" / f"{number:03}.png").write_bytes(b"this is no image")
    (root / "cat" / "same.png").write_bytes((root / "dog" / "020.png").read_bytes())
    found = refused("--data", str(root))
    assert sorted(codes(found)) == ["dataset.class_too_small", "dataset.empty_class", "dataset.undecodable"]
    said = {problem["code"]: problem["message"] for problem in found["problems"]}
    assert "empty (it holds 1 file of another kind: .heic)" in said["dataset.empty_class"]
    assert "bird (2)" in said["dataset.class_too_small"]
    assert "empty" not in said["dataset.class_too_small"]
    assert "12 of 61 images" in said["dataset.undecodable"]
    assert found["splits"]["train"]["per_class"] == {"bird": 2, "cat": 31, "dog": 16, "empty": 0}
    assert found["balance"]["smallest"] == {"class": "empty", "images": 0}
    assert [name.split(" ")[0] for name in found["broken"]["named"]] == [f"dog/{n:03}.png" for n in range(12)]
    assert found["duplicates"]["labelled_differently"]["images"] == 2
    done = CliRunner().invoke(main, ["inspect", "--data", str(root)])
    assert done.exit_code == 2
    for said_too in ("dog/000.png", "dog/011.png", "cat/same.png", "cat has 31 images, empty 0"):
        assert said_too in done.stdout
    assert "times as many" not in done.stdout
    assert done.stderr.count("To fix: ") == 3
    with pytest.raises(InputError) as caught:
        load_surveyed(root)  # as with a model, which needs data that can be used
    assert caught.value.code in said


def test_too_many_broken_files_alone_leave_the_splits_to_be_seen(make_folder):
    root = make_folder({"a": 100, "b": 40})
    for number in range(60):
        (root / "a" / f"{number:03}.png").write_bytes(b"")
    found = refused("--data", str(root))
    assert codes(found) == ["dataset.undecodable"]
    assert (found["broken"]["images"], len(found["broken"]["named"])) == (60, 60)
    assert {part: split["images"] for part, split in found["splits"].items()} == {
        "train": 64, "validation": 8, "test": 8,
    }  # fmt: skip
    text = inspect("--data", str(root))[1]
    assert text.count("a/0") == 50
    assert "and 10 more, which --json names" in text


def test_classes_that_only_some_split_has_are_counted(make_folder):
    root = make_folder({"train/a": 8, "train/b": 8, "test/b": 3, "test/c": 2})
    found = refused("--data", str(root))
    assert codes(found) == ["dataset.unknown_class"]
    assert found["class_names"] == ["a", "b", "c"]
    assert found["splits"]["test"] == {"images": 5, "per_class": {"a": 0, "b": 3, "c": 2}}
    two = make_folder({"a": 5, "b": 6}, name="two")
    (root.parent / "labels.txt").write_text("a\nd\n")
    found = refused("--data", str(two), "--labels", str(root.parent / "labels.txt"))
    assert codes(found) == ["dataset.labels_mismatch"]
    assert found["splits"]["train"]["per_class"] == {"a": 5, "b": 6}


def test_one_class_of_arrays_or_too_small_ones_are_counted(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    for labels, code in [
        (np.zeros(20, int), "dataset.one_class"),
        (np.r_[np.zeros(18, int), 1, 1], "dataset.class_too_small"),
        (np.arange(20) % 2 * 2, "dataset.empty_class"),
    ]:
        np.savez(tmp_path / "a.npz", x_train=images, y_train=labels)
        found = refused("--data", str(tmp_path / "a.npz"))
        assert codes(found) == [code]
        counts = [list(split["per_class"].values()) for split in found["splits"].values()]
        assert np.sum(counts, axis=0).tolist() == np.bincount(labels).tolist()


def test_rows_of_a_table_without_a_file_or_with_two_labels_are_shown_beside_the_others(make_folder):
    root = make_folder({"a": 8, "b": 8})
    rows = [f"{kind}/{number:03}.png,{kind}" for kind in "ab" for number in range(8)]
    (root / "list.csv").write_text("\n".join(["path,label", *rows, "a/999.png,a", "a/000.png,b"]))
    found = refused("--data", str(root / "list.csv"))
    assert codes(found) == ["dataset.table_missing_files", "dataset.table_two_labels", "dataset.undecodable"]
    assert "line 18: a/999.png" in found["broken"]["named"][0]
    assert sum(split["images"] for split in found["splits"].values()) == 17
    assert found["duplicates"]["labelled_differently"]["images"] == 2


def code_of(load, root) -> str:
    """Of the error that loading ends in; empty for none."""
    try:
        load(root)
    except InputError as error:
        return error.code
    return ""


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_folder_loads_can_be_surveyed(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("any")
    kinds = st.sampled_from(["png", "jpg", "gif", "webp", "bmp"])
    for kind in ("a [red]", "b", "ü"):
        (root / kind).mkdir()
        for i in range(data.draw(st.integers(0, 8))):
            mode = data.draw(st.sampled_from(["RGB", "L", "1"]))
            size = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
            colour = data.draw(st.integers(0, 1))
            Image.new(mode, size, colour).save(root / kind / f"{i}.{data.draw(kinds)}")
    reason = code_of(load_dataset, root)
    if reason:
        assert code_of(load_surveyed, root) == reason
        found = json.loads(inspect("--data", str(root), "--json")[1])
        assert found["error"]["code"] == reason
        assert "problems" not in found or reason in codes(found)
        return
    dataset, found = load_surveyed(root)
    assert sum(split["images"] for split in found["splits"].values()) == sum(found["formats"].values())
    assert list(found["splits"]["train"]["per_class"].values()) == np.bincount(dataset.train.labels).tolist()
    assert inspect("--data", str(root))[0] == 0
    assert os.fspath(root) in json.loads(inspect("--data", str(root), "--json")[1])["source"]
