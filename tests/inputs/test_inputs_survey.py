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


def test_inspect_of_nothing_or_of_bad_data_is_an_error(make_folder):
    assert inspect() == (2, "")
    code, text = inspect("--data", str(make_folder({"a": 5})), "--json")
    assert (code, json.loads(text)["error"]["code"]) == (2, "dataset.one_class")


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
    try:
        load_dataset(root)
    except InputError:
        with pytest.raises(InputError):
            load_surveyed(root)
        return
    dataset, found = load_surveyed(root)
    assert sum(split["images"] for split in found["splits"].values()) == sum(found["formats"].values())
    assert list(found["splits"]["train"]["per_class"].values()) == np.bincount(dataset.train.labels).tolist()
    assert inspect("--data", str(root))[0] == 0
    assert os.fspath(root) in json.loads(inspect("--data", str(root), "--json")[1])["source"]
