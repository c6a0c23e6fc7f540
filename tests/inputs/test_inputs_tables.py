from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.inputs.dataset import load_dataset

ROWS = [(f"{kind}/{i:03}.png", kind) for kind in ("cat", "dog") for i in range(6)]


@pytest.fixture
def photos(make_folder) -> Path:
    return make_folder({"cat": 6, "dog": 6}, name="photos")


def table(photos: Path, text: str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
    path = photos / name
    path.write_bytes(text.encode(encoding))
    return path


def lines(rows=ROWS, separator=",", header="") -> str:
    return header + "".join(separator.join(row) + "\n" for row in rows)


def fingerprints(data) -> list[str]:
    dataset = load_dataset(data)
    return [split.fingerprint for split in (dataset.train, dataset.validation, dataset.test)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", lines()),
        ("a.csv", lines(header="path,label\n")),
        ("a.csv", lines(header="Filename,Class\n")),
        ("a.csv", lines(header="what,which\n")),
        ("a.csv", lines([(label, path) for path, label in ROWS], header="category,image\n")),
        ("a.csv", lines([(label, path) for path, label in ROWS])),
        ("a.csv", lines([(p, "7", c) for p, c in ROWS], header="file,width,label\n")),
        ("a.csv", "\ufeff" + lines(header="path,label\n").replace("\n", "\r\n")),
        ("a.csv", lines([(f'"{p}"', f'" {c} "') for p, c in ROWS], header='"path","label"\n\n')),
        ("a.csv", lines([(f'"{p}"', f' "{c}"') for p, c in ROWS], header='"path", "label"\n')),
        ("a.csv", lines(separator=";", header="path;label\n")),
        ("a.csv", lines([(p.replace("/", "\\"), c) for p, c in ROWS])),
        ("a.TSV", lines(separator="\t")),
        ("a.jsonl", "".join(json.dumps({"path": p, "label": c}) + "\n" for p, c in ROWS)),
        ("a.jsonl", "".join(json.dumps({"width": 3, "class": c, "image": p}) + "\r\n\r\n" for p, c in ROWS)),
    ],
)
def test_a_table_of_every_form_gives_what_the_folder_gives(photos, name, text):
    dataset = load_dataset(table(photos, text, name))
    assert dataset.class_names == ("cat", "dog")
    assert fingerprints(photos / name) == fingerprints(photos)


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_may_be_written_in_another_way_in_the_table_than_on_disk(make_folder, on_disk, in_table):
    names = [unicodedata.normalize(on_disk, name) for name in ("Äpfel", "Birnen")]
    photos = make_folder(dict.fromkeys(names, 6), name="photos")
    rows = [(f"{name}/{i:03}.png", name) for name in ("Äpfel", "Birnen") for i in range(6)]
    dataset = load_dataset(table(photos, unicodedata.normalize(in_table, lines(rows))))
    assert dataset.class_names == ("Birnen", "Äpfel")


def test_absolute_paths_and_paths_above_the_table_are_read(photos, tmp_path):
    (tmp_path / "lists").mkdir()
    for folder in (str(photos), "../photos"):
        path = tmp_path / "lists" / "a.csv"
        path.write_text(lines([(f"{folder}/{p}", c) for p, c in ROWS]))
        assert len(load_dataset(path).train) == 8


@pytest.mark.parametrize("header", ["path,label,split\n", "path,label,where\n", ""])
def test_a_split_column_is_found_and_kept(photos, header):
    splits = ["train", "Val", "TEST", "validation", "training", "test"] * 2
    text = lines([(p, c, s) for (p, c), s in zip(ROWS, splits, strict=True)], header=header)
    dataset = load_dataset(table(photos, text))
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [4, 4, 4]
    assert dataset.test.told(0).endswith("cat/002.png")
    assert not any("made of" in note for note in dataset.notes)


def test_a_table_with_only_test_images_is_data_without_splits(photos):
    dataset = load_dataset(table(photos, lines([(p, c, "test") for p, c in ROWS], header="path,label,split\n")))
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 12
    assert any("of the test split" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"cat": "0", "dog": "1"}, ("0", "1")),
        ({"cat": "10", "dog": "9"}, ("9", "10")),
        ({"cat": "b, or not", "dog": "é"}, ("b, or not", "é")),
    ],
)
def test_numbers_are_class_indices_or_names_in_order_of_value(photos, labels, names):
    text = lines([(p, f'"{labels[c]}"') for p, c in ROWS])
    dataset = load_dataset(table(photos, text))
    assert dataset.class_names == names
    for split in (dataset.train, dataset.test):
        for i, label in enumerate(split.labels):
            assert labels[split.told(i).split("/")[0]] == names[label]


def test_indices_take_the_names_that_are_given_for_the_outputs(photos):
    text = lines([(p, "0" if c == "cat" else "1") for p, c in ROWS])
    assert load_dataset(table(photos, text), labels=["Katze", "Hund"]).class_names == ("Katze", "Hund")


@pytest.mark.parametrize("kind", ["table", "folders"])
def test_numbers_with_gaps_take_the_names_that_are_given_for_the_outputs(photos, make_folder, kind):
    numbers = {"cat": "10", "dog": "3"}
    if kind == "table":
        root = table(photos, lines([(p, numbers[c]) for p, c in ROWS]))
    else:
        root = make_folder({"10": 6, "3": 6}, name="numbered")
    names = [f"class {number}" for number in range(12)]
    dataset = load_dataset(root, labels=names)
    assert dataset.class_names == ("class 3", "class 10")
    cats = ("cat/", "10/")
    for i, label in enumerate(dataset.train.labels):
        assert dataset.train.told(i).startswith(cats) == bool(label)
    assert load_dataset(root, labels=["10", "4", "3"]).class_names == ("10", "3")
    with pytest.raises(InputError, match="lack 10") as caught:
        load_dataset(root, labels=names[:10])
    assert caught.value.code == "dataset.labels_mismatch"


BAD = {
    "empty": ("", "dataset.table_empty", ""),
    "only a header": ("path,label\n", "dataset.table_empty", ""),
    "no paths": ("a,b\n1,2\n", "dataset.table_columns", "a, b"),
    "which label": ("path,x,y\n" + lines([(p, "1", c) for p, c in ROWS]), "dataset.table_columns", "path, x, y"),
    "ragged": (lines([*ROWS[:3], ("cat/004.png", "cat", "more")]), "dataset.table_row", "Line 4"),
    "missing": (lines([*ROWS, ("cat/none.png", "cat")]), "dataset.table_missing_files", "line 13: cat/none.png"),
    "no label": (lines([*ROWS, ("cat/001.png", " ")]), "dataset.table_label", "Line 13"),
    "no path": (lines([*ROWS, ("", "cat")], header="path,label\n"), "dataset.table_path", "Line 14"),
    "bad split": (
        lines([(p, c, "train") for p, c in ROWS] + [("cat/001.png", "cat", "holdout")], header="path,label,split\n"),
        "dataset.table_split",
        "line 14: holdout",
    ),
    "two labels": (lines([*ROWS, ("cat/001.png", "dog")]), "dataset.table_two_labels", "line 13"),
    "zero byte": (lines([*ROWS, ("cat/\0.png", "dog")]), "dataset.table_missing_files", "line 13"),
    "open quote": (lines(ROWS) + '"cat/001.png,cat\n', "dataset.table_unreadable", "list.csv"),
    "one class": (lines(ROWS[:6]), "dataset.one_class", "cat"),
}


@pytest.mark.parametrize(("text", "code", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_table_is_refused_with_the_line(photos, text, code, said):
    with pytest.raises(InputError) as caught:
        load_dataset(table(photos, text))
    assert caught.value.code == code
    assert said in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is no JSON"),
        ("[1, 2]", "is no object"),
        ('{"path": "cat/001.png"}', "lacks a label"),
        ('{"label": "cat"}', "lacks a path"),
        ("[" * 100000, "is no JSON"),
    ],
)
def test_a_bad_line_of_a_jsonl_is_refused_with_its_number(photos, line, said):
    good = "".join(json.dumps({"path": p, "label": c}) + "\n" for p, c in ROWS)
    with pytest.raises(InputError, match=f"Line 13 of .*{said}") as caught:
        load_dataset(table(photos, good + line, "a.jsonl"))
    assert caught.value.code == "dataset.table_row"


def test_a_table_that_is_no_utf8_is_refused(photos):
    with pytest.raises(InputError) as caught:
        load_dataset(table(photos, lines(), encoding="utf-16"))
    assert caught.value.code == "dataset.table_unreadable"


def test_a_few_broken_images_are_skipped_and_named_with_their_lines(make_folder, events, progress):
    root = make_folder({"a": 30, "b": 30})
    (root / "a" / "007.png").write_bytes(b"this is no image")
    text = lines([(f"{kind}/{i:03}.png", kind) for kind in "ab" for i in range(30)], header="path,label\n")
    dataset = load_dataset(table(root, text), progress=progress)
    (warning,) = [event for event in events if event.kind == "warning"]
    assert "line 9: a/007.png" in warning.message
    assert np.sum([len(part) for part in (dataset.train, dataset.validation, dataset.test)]) == 59
