from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tracemalloc
import unicodedata

import numpy as np
import pytest
from PIL import Image

from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs import array_sources, folders
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.decode import Facts, ImageFile
from learn2compress.train.views import Views, ViewSpec


def arrays(n=40, classes=4, size=8, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, size, size, 3), np.uint8), np.arange(n) % classes


def test_importing_the_stage_imports_no_tensorflow():
    code = (
        "import sys, pkgutil, importlib, learn2compress.inputs as p\n"
        "for m in pkgutil.iter_modules(p.__path__): importlib.import_module(f'{p.__name__}.{m.name}')\n"
        "sys.exit(any(n in sys.modules for n in ('tensorflow', 'keras', 'h5py')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_class_folders_in_sorted_order_hidden_and_foreign_files_ignored(make_folder):
    root = make_folder({"dog": 20, "Cat": 20, ".cache": 3, "__MACOSX": 2})
    (root / "dog" / ".hidden.png").write_bytes(b"no image")
    (root / "dog" / "readme.txt").write_text("hello")
    Image.new("RGB", (12, 16)).save(root / "dog" / "UPPER.JPG")
    dataset = load_dataset(root)
    assert dataset.class_names == ("Cat", "dog")
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 41
    assert any(".txt" in note for note in dataset.notes)
    assert any("validation split" in note for note in dataset.notes)


@pytest.mark.parametrize("val", ["val", "validation", "valid", "Val"])
def test_split_folders_keep_their_splits(make_folder, val):
    counts = {f"{part}/{c}": n for part, n in (("train", 6), (val, 3), ("test", 2)) for c in "ab"}
    dataset = load_dataset(make_folder({**counts, "raw/c": 2}))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (12, 6, 4)
    assert any("raw" in note for note in dataset.notes)


def test_a_class_may_be_called_train(make_folder):
    assert load_dataset(make_folder({"train": 5, "bus": 5})).class_names == ("bus", "train")


def test_classes_of_other_splits_are_matched_by_name(make_folder):
    counts = {"train/a": 8, "train/b": 8, "train/c": 8, "test/c": 2, "test/b": 1}
    assert list(load_dataset(make_folder(counts)).test.labels) == [1, 2, 2]


@pytest.mark.parametrize(("on_disk", "in_file"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_may_be_written_in_another_way_in_the_labels_than_on_disk(make_folder, tmp_path, on_disk, in_file):
    root = make_folder({unicodedata.normalize(on_disk, name): 5 for name in ("Äpfel", "Birnen")})
    (tmp_path / "labels.txt").write_text(unicodedata.normalize(in_file, "Äpfel\nBirnen\n"), encoding="utf-8")
    assert load_dataset(root, labels=tmp_path / "labels.txt").class_names == ("Äpfel", "Birnen")


def test_two_folders_that_only_accents_tell_apart_are_refused(make_folder):
    root = make_folder({"Birnen": 5, **{unicodedata.normalize(form, "Äpfel"): 5 for form in ("NFC", "NFD")}})
    with pytest.raises(InputError, match="two folders for the class") as caught:
        load_dataset(root)
    assert caught.value.code == "dataset.class_names"


def test_names_that_are_no_utf_8_are_told_in_a_way_that_can_be_written(make_folder):
    root = make_folder({"a": 40, "b": 40})
    broken = os.fsencode(root / "a") + b"/k\xe4se.png"
    with open(broken, "wb") as file:  # noqa: PTH123 - a name in bytes
        file.write(b"no image")
    notes = " ".join(load_dataset(root).notes)
    assert "k\ufffdse.png" in notes
    assert notes.encode()


def test_photos_that_can_not_be_read_are_warned_of(make_folder):
    root = make_folder({"a": 20, "b": 20})
    for number in range(3):
        (root / "a" / f"{number}.HEIC").write_bytes(b"x")
    events = []
    load_dataset(root, progress=Progress(events.append))
    (warning,) = [event.message for event in events if event.kind == "warning"]
    assert "3 photos left out: .heic" in warning


def test_labels_that_count_from_1_are_told_what_to_subtract():
    with pytest.raises(InputError) as caught:
        load_dataset((X, Y + 1))
    assert "subtract 1" in caught.value.fix
    with pytest.raises(InputError) as caught:
        load_dataset((X, Y * 2))
    assert "subtract 1" not in caught.value.fix


def test_an_array_of_objects_is_named(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, x_train=X, y_train=Y, class_names=np.array(list("abcd"), dtype=object))
    with pytest.raises(InputError, match="class_names") as caught:
        load_dataset(path)
    assert (caught.value.code, "dtype=str" in caught.value.fix) == ("dataset.object_array", True)


def test_labels_set_the_order_of_classes(make_folder, tmp_path):
    root = make_folder({"a": 5, "b": 6, "c": 7})
    (tmp_path / "labels.txt").write_text("c\na\nb\n")
    dataset = load_dataset(root, labels=tmp_path / "labels.txt")
    assert dataset.class_names == ("c", "a", "b")
    total = sum(np.bincount(s.labels) for s in (dataset.train, dataset.validation, dataset.test))
    assert list(total) == [7, 5, 6]


def test_labels_reorder_the_class_names_of_arrays():
    x, y = arrays()
    data = {"x_train": x, "y_train": y, "x_test": x, "y_test": y, "class_names": ["a", "b", "c", "d"]}
    plain, turned = load_dataset(data), load_dataset(data, labels=["d", "c", "b", "a"])
    assert np.array_equal(turned.test.labels, 3 - plain.test.labels)
    assert turned.class_names == ("d", "c", "b", "a")


def test_test_data_replaces_the_test_split(make_folder):
    counts = {"train/a": 6, "train/b": 6, "val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2}
    other = make_folder({"b": 3, "a": 4}, name="other")
    dataset = load_dataset(make_folder(counts), test_data=other)
    assert list(np.bincount(dataset.test.labels)) == [4, 3]
    assert "other" in " ".join(dataset.notes)


def test_a_few_undecodable_images_are_skipped_with_a_warning(make_folder, events, progress):
    root = make_folder({"a": 30, "b": 30})
    (root / "a" / "007.png").write_bytes(b"this is no image")
    dataset = load_dataset(root, progress=progress)
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 59
    warnings = [event.message for event in events if event.kind == "warning"]
    assert len(warnings) == 1
    assert "a/007.png" in warnings[0]
    assert any("a/007.png" in note for note in dataset.notes)
    assert [e.done for e in events if e.kind == "step"][-1] == 60


def test_a_decompression_bomb_counts_as_undecodable(make_folder, monkeypatch, events, progress):
    root = make_folder({"a": 30, "b": 30})
    Image.new("1", (4000, 4000)).save(root / "a" / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000_000)
    load_dataset(root, progress=progress)
    assert any(e.kind == "warning" and "huge.png (it has too many pixels)" in e.message for e in events)


def test_the_fingerprint_follows_contents_and_not_the_place(make_folder, tmp_path):
    first = make_folder({"a": 5, "b": 5})
    one = load_dataset(first).train.fingerprint
    first.rename(tmp_path / "moved")
    assert load_dataset(tmp_path / "moved").train.fingerprint == one
    for path in (tmp_path / "moved" / "a").iterdir():
        Image.new("RGB", (12, 16), (1, 2, 3)).save(path)
    assert load_dataset(tmp_path / "moved").train.fingerprint != one


def test_the_fingerprint_of_a_large_set_follows_what_is_seen_and_not_the_times_of_files(
    make_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(folders, "_HASH_LIMIT_BYTES", 1000)
    first = make_folder({"a": 5, "b": 5})
    one = load_dataset(first).train.fingerprint
    shutil.copytree(first, tmp_path / "restored", copy_function=shutil.copyfile)
    for path in (tmp_path / "restored").rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    assert load_dataset(tmp_path / "restored").train.fingerprint == one
    # Other pictures in as many bytes.
    for path in sorted(first.rglob("*.png")):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    one = load_dataset(first).train.fingerprint
    for path in first.rglob("*.bmp"):
        before = path.stat()
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
    assert load_dataset(first).train.fingerprint != one


def test_an_image_that_vanishes_is_named(make_folder):
    root = make_folder({"a": 5, "b": 5})
    train = load_dataset(root).train
    for path in root.rglob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match=r"\.png") as caught:
        train.image(0)
    assert caught.value.code == "dataset.image_lost"


@pytest.mark.parametrize(
    "change",
    [
        lambda x, y: (x, y),
        lambda x, y: (x, y[:, None]),
        lambda x, y: (x, np.eye(4)[y]),
        lambda x, y: (x, y.astype(np.float32)),
        lambda x, y: (x.astype(np.float32), y),
        lambda x, y: (x / 255, y),
        lambda x, y: (x.astype(np.int64), y),
        lambda x, y: (list(x), list(y)),
    ],
)
def test_arrays_of_every_accepted_kind_give_the_same_dataset(change):
    x, y = arrays()
    expected = load_dataset((x, y))
    dataset = load_dataset(change(x, y))
    for part in ("train", "validation", "test"):
        assert getattr(dataset, part).fingerprint == getattr(expected, part).fingerprint
    assert dataset.class_names == ("0", "1", "2", "3")


@pytest.mark.parametrize("shape", [(40, 8, 8), (40, 8, 8, 1)])
def test_grey_arrays_are_repeated_to_rgb(shape):
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    stacked = load_dataset((x, np.arange(40) % 2)).train.stacked
    assert stacked.shape[1:] == (8, 8, 3)
    assert np.array_equal(stacked[..., 0], stacked[..., 2])


def test_npz_and_nested_tuples_and_dictionaries_are_read(tmp_path):
    x, y = arrays()
    tx, ty = arrays(8, seed=1)
    path = tmp_path / "set.npz"
    np.savez(path, x_train=x, y_train=y, x_test=tx, y_test=ty, class_names=np.array(["a", "b", "c", "d"]))
    from_file = load_dataset(path)
    assert from_file.class_names == ("a", "b", "c", "d")
    for data in (((x, y), (tx, ty)), {"train": (x, y), "test": (tx, ty)}):
        dataset = load_dataset(data)
        assert dataset.train.fingerprint == from_file.train.fingerprint
        assert np.array_equal(dataset.test.stacked, tx)


def test_a_list_of_images_of_several_sizes_is_read():
    images = [np.full((8 + i % 3, 9, 3), i, np.uint8) for i in range(30)]
    dataset = load_dataset((images, np.arange(30) % 3))
    assert dataset.train.stacked is None
    assert dataset.test.batch(np.arange(3), (4, 4)).shape == (3, 4, 4, 3)


X, Y = arrays()
FLOATS = X.astype(np.float32)


def with_nan(x):
    x = x.copy()
    x[3, 2, 1, 0] = np.nan
    return x


BAD_ARRAYS = {
    "nan": ((with_nan(FLOATS), Y), "dataset.nan"),
    "normalised": ((FLOATS / 127.5 - 1, Y), "dataset.pixel_range"),
    "between scales": ((FLOATS / 25, Y), "dataset.pixel_range"),
    "sixteen bits": ((X.astype(np.uint16) * 200, Y), "dataset.pixel_range"),
    "text pixels": ((X.astype(str), Y), "dataset.not_numeric"),
    "booleans": ((X > 3, Y), "dataset.not_numeric"),
    "objects": ((X.astype(object), Y), "dataset.object_array"),
    "channels first": ((X.transpose(0, 3, 1, 2), Y), "dataset.image_shape"),
    "four channels": ((np.concatenate([X, X[..., :1]], -1), Y), "dataset.image_shape"),
    "no images": ((X[:0], Y[:0]), "dataset.image_shape"),
    "lengths": ((X, Y[:-1]), "dataset.length_mismatch"),
    "float labels": ((X, Y + 0.5), "dataset.label_type"),
    "nan labels": ((X, np.where(Y == 0, np.nan, Y)), "dataset.label_type"),
    "text labels": ((X, Y.astype(str)), "dataset.label_type"),
    "object labels": ((X, Y.astype(object)), "dataset.label_type"),
    "negative labels": ((X, Y - 1), "dataset.label_range"),
    "two-hot labels": ((X, np.eye(4)[Y] + np.eye(4)[0]), "dataset.label_shape"),
    "cubic labels": ((X, np.zeros((40, 2, 2))), "dataset.label_shape"),
    "one class": ((X, Y * 0), "dataset.one_class"),
    "gap in classes": ((X, Y * 2), "dataset.empty_class"),
    "labels from 1": ((X, Y + 1), "dataset.empty_class"),
    "more names": ({"x_train": X, "y_train": Y, "class_names": list("abcde")}, "dataset.empty_class"),
    "fewer names": ({"x_train": X, "y_train": Y, "class_names": list("abc")}, "dataset.unknown_class"),
    "double names": ({"x_train": X, "y_train": Y, "class_names": list("abca")}, "dataset.class_names"),
    "names no texts": ({"x_train": X, "y_train": Y, "class_names": [1, 2, 3, 4]}, "dataset.class_names"),
    "unknown in test": (((X, Y), (X, Y + 1)), "dataset.unknown_class"),
    "small class": ((X, np.r_[np.full(38, 0), 1, 1]), "dataset.class_too_small"),
    "no y": ({"x_train": X}, "dataset.npz_keys"),
    "odd keys": ({"images": X, "labels": Y}, "dataset.unknown_kind"),
    "a number": (7, "dataset.unknown_kind"),
    "an array alone": (X, "dataset.unknown_kind"),
    "nothing": (None, "dataset.unknown_kind"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_refused_with_a_code_and_a_remedy(name):
    data, code = BAD_ARRAYS[name]
    with pytest.raises(InputError) as caught:
        load_dataset(data)
    assert caught.value.code == code
    assert caught.value.fix
    assert caught.value.exit_code == 2


def write_object_npz(root):
    np.savez(root / "o.npz", x_train=np.array([{}, {}], dtype=object), y_train=np.zeros(2))
    return root / "o.npz"


def write_cut_npz(root):
    np.savez(root / "c.npz", x_train=X, y_train=Y)
    (root / "c.npz").write_bytes((root / "c.npz").read_bytes()[:1000])
    return root / "c.npz"


def write(root, name, content=b"hello"):
    (root / name).write_bytes(content)
    return root / name


def write_npz(root, **named):
    np.savez(root / "n.npz", **named)
    return root / "n.npz"


BAD_PATHS = {
    "missing": (lambda root, make: root / "nowhere", "dataset.not_found"),
    "another kind": (lambda root, make: write(root, "data.parquet"), "dataset.unknown_kind"),
    "a zip": (lambda root, make: write(root, "data.zip"), "dataset.unknown_kind"),
    "empty folder": (lambda root, make: make({}), "dataset.empty_folder"),
    "images without classes": (lambda root, make: make({".": 3}), "dataset.no_class_folders"),
    "wrapped": (lambda root, make: make({"set/a": 3, "set/b": 3}), "dataset.no_class_folders"),
    "one class": (lambda root, make: make({"a": 5}), "dataset.one_class"),
    "empty class": (lambda root, make: make({"a": 5, "b": 0}), "dataset.empty_class"),
    "empty train class": (lambda root, make: make({"train/a": 5, "train/b": 0}), "dataset.empty_class"),
    "class only in test": (
        lambda root, make: make({"train/a": 5, "train/b": 5, "test/c": 2}),
        "dataset.unknown_class",
    ),
    "no train": (lambda root, make: make({"val/a": 5, "test/b": 5}), "dataset.no_train_split"),
    "two vals": (
        lambda root, make: make({"train/a": 5, "train/b": 5, "val/a": 1, "valid/a": 1}),
        "dataset.ambiguous_split",
    ),
    "empty test": (
        lambda root, make: make({"train/a": 5, "train/b": 5, "test/a": 0}),
        "dataset.empty_split",
    ),
    "object npz": (lambda root, make: write_object_npz(root), "dataset.object_array"),
    "cut npz": (lambda root, make: write_cut_npz(root), "dataset.unreadable_npz"),
    "no npz": (lambda root, make: write(root, "t.npz"), "dataset.unreadable_npz"),
    "npy as npz": (lambda root, make: write(root, "t.npz", b"\x93NUMPY\x01\x00"), "dataset.unreadable_npz"),
    "npz keys": (lambda root, make: write_npz(root, images=X, labels=Y), "dataset.npz_keys"),
}


@pytest.mark.parametrize("name", BAD_PATHS)
def test_bad_paths_are_refused_with_a_code_and_a_remedy(name, tmp_path, make_folder):
    build, code = BAD_PATHS[name]
    with pytest.raises(InputError) as caught:
        load_dataset(build(tmp_path, make_folder))
    assert caught.value.code == code
    assert caught.value.fix


def test_too_many_undecodable_images_are_an_error_that_names_some(make_folder):
    root = make_folder({"a": 20, "b": 20})
    for i in range(3):
        (root / "b" / f"{i:03}.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"3 of 40 images .*b/000\.png") as caught:
        load_dataset(root)
    assert caught.value.code == "dataset.undecodable"


def test_the_error_names_the_empty_class_and_what_lies_there(make_folder):
    root = make_folder({"cat": 5, "dog": 0})
    (root / "dog" / "one.heic").write_bytes(b"x")
    with pytest.raises(InputError, match=r"dog \(it holds 1 file of another kind: \.heic\)"):
        load_dataset(root)


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (["a", "c"], "dataset.labels_mismatch"),
        (["a"], "dataset.labels_mismatch"),
        (["a", "a", "b"], "dataset.class_names"),
        ("nowhere.txt", "dataset.labels_file"),
    ],
)
def test_labels_that_do_not_match_are_refused(make_folder, labels, code):
    with pytest.raises(InputError) as caught:
        load_dataset(make_folder({"a": 5, "b": 5}), labels=labels)
    assert caught.value.code == code


def test_labels_may_name_more_classes_than_the_data_has(make_folder):
    found = load_dataset(make_folder({"a": 5, "b": 5}), labels=["c", "b", "d", "a"])
    assert found.class_names == ("b", "a")
    assert found.output_names == ("c", "b", "d", "a")
    assert load_dataset(make_folder({"a": 5, "b": 5}), labels=["b", "a"]).output_names == ("b", "a")


def test_outputs_for_classes_that_the_data_lacks_may_share_a_name(make_folder):
    found = load_dataset(make_folder({"a": 5, "b": 5}), labels=["c", "b", "c", "a"])
    assert found.class_names == ("b", "a")
    assert found.output_names == ("c", "b", "c", "a")


def test_a_class_of_the_data_that_two_lines_name_is_refused_with_the_lines(make_folder, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nc\nb\nc\na\n")
    with pytest.raises(InputError, match=r"name a twice \(lines 1 and 5\)") as caught:
        load_dataset(make_folder({"a": 5, "b": 5}), labels=tmp_path / "labels.txt")
    assert caught.value.code == "dataset.class_names"
    assert "the line of the output that stands for it" in caught.value.fix
    with pytest.raises(InputError, match=r"name 1 3 times \(lines 1, 2 and 4\)"):
        load_dataset((X, Y), labels=["1", "1", "x", "1", "0"])


def test_numbers_count_in_the_names_given_and_classes_without_images_are_left_out():
    names = [f"class {number}" for number in range(10)]
    x, y = arrays(30, 3)
    numbers = np.array([8, 3, 5])
    dataset = load_dataset(((x, numbers[y]), (x, numbers[y])), labels=names)
    assert dataset.class_names == ("class 3", "class 5", "class 8")
    assert dataset.output_names == tuple(names)
    assert np.array_equal(dataset.test.labels, np.array([2, 0, 1])[y])
    assert any("7 of 10 named classes are not in the data" in note for note in dataset.notes)


def test_names_of_the_data_s_own_without_images_are_left_out_where_the_outputs_are_named():
    data = {"x_train": X, "y_train": Y, "class_names": list("abcde")}
    dataset = load_dataset(data, labels=list("edcba"))
    assert dataset.class_names == ("d", "c", "b", "a")
    assert dataset.output_names == tuple("edcba")


def test_numbers_of_test_data_count_in_the_names_given_too():
    names = [f"class {number}" for number in range(10)]
    dataset = load_dataset((X, 2 * Y), labels=names, test_data=(X[:8], np.repeat([6, 2], 4)))
    assert dataset.class_names == ("class 0", "class 2", "class 4", "class 6")
    assert dataset.test.labels.tolist() == [3] * 4 + [1] * 4


@pytest.mark.parametrize("numbers", [(0, 1, 2, 5), (1, 2, 3, 4), (3, 5, 8, 900)])
def test_the_way_out_of_classes_without_images_is_to_name_the_model_s(numbers):
    data = (X, np.array(numbers)[Y])
    with pytest.raises(InputError, match=r"no images|a label 900") as caught:
        load_dataset(data)
    assert "with --labels FILE the class of each output" in caught.value.fix
    names = [f"class {number}" for number in range(1000)]
    assert load_dataset(data, labels=names).class_names == tuple(names[number] for number in numbers)


def test_a_labels_file_that_is_no_text_is_refused(make_folder, tmp_path):
    with pytest.raises(InputError) as caught:
        load_dataset(make_folder({"a": 5, "b": 5}), labels=write(tmp_path, "l.txt", b"\xff\xfe\x00a"))
    assert caught.value.code == "dataset.labels_file"


def test_image_files_are_records_that_cannot_change(tmp_path):
    record = ImageFile(tmp_path, Facts(1, 1, "PNG", "L", b""), 1)
    with pytest.raises(AttributeError):
        record.height = 2


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes", "classes"),
    [
        ("cifar10_3k.npz", (1800, 200, 1000), 10),
        ("clothing_96", (3068, 341, 372), 10),
        ("imagenette", (1440, 700, 160), 10),  # the test split is made of training images
    ],
)
def test_the_real_sets_load(real_data, name, sizes, classes):
    dataset = load_dataset(real_data(name))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == sizes
    assert dataset.classes == classes


def test_a_linked_folder_in_a_class_is_read_and_a_circle_of_links_ends(make_folder):
    root = make_folder({"cat": 20, "dog": 20})
    more = make_folder({"batch": 5}, name="elsewhere")
    for path in (more / "batch").iterdir():  # other pixels than the cats'
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    (root / "cat" / "linked").symlink_to(more / "batch")
    (root / "cat" / "round").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(root)
    dataset = load_dataset(root)
    labels = np.concatenate([part.labels for part in (dataset.train, dataset.validation, dataset.test)])
    assert np.bincount(labels).tolist() == [25, 20]


def test_a_damaged_compressed_npz_is_an_input_error(tmp_path):
    images, labels = arrays()
    np.savez_compressed(tmp_path / "whole.npz", x_train=images, y_train=labels)
    whole = (tmp_path / "whole.npz").read_bytes()
    for at in range(40, len(whole) - 400, len(whole) // 60):
        (tmp_path / "a.npz").write_bytes(whole[:at] + bytes(20) + whole[at + 20 :])
        with pytest.raises(InputError):
            load_dataset(tmp_path / "a.npz")


def test_a_tilde_that_is_no_user_is_a_name_like_any_other():
    with pytest.raises(InputError) as caught:
        load_dataset("~$labels.csv")
    assert caught.value.code == "dataset.not_found"


def test_a_stray_image_beside_the_classes_of_a_split_makes_it_no_class(make_folder):
    root = make_folder({"train/cat": 20, "train/dog": 20, "val/cat": 5, "val/dog": 5})
    Image.new("RGB", (12, 16)).save(root / "train" / "preview.png")
    dataset = load_dataset(root)
    assert dataset.class_names == ("cat", "dog")
    assert len(dataset.validation) == 10
    assert any("1 image directly in train/" in note for note in dataset.notes)


def test_flat_splits_are_not_taken_for_classes(make_folder):
    with pytest.raises(InputError, match="named like splits") as caught:
        load_dataset(make_folder({"train": 20, "test": 20}))
    assert caught.value.code == "dataset.no_class_folders"


def test_photos_are_never_all_in_memory(tmp_path):
    random = np.random.default_rng(0)
    for number in range(120):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (300, 300 + number, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    train = load_dataset(tmp_path, seed=0).train
    held = 3 * int(np.prod(train.sizes, axis=1).sum())
    views = Views(train, ViewSpec(2, (32, 32), 0))
    tracemalloc.start()
    try:
        for view in range(2):
            for indices in np.array_split(np.arange(len(train)), 8):
                views.batch(view, indices)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < held / 4


@pytest.mark.parametrize(
    ("kind", "parts", "needed"),
    [
        # Splits that are missing are made of copies.
        (np.uint8, ("train",), 2 * 40),
        (np.uint8, ("train", "test"), 2 * 40 + 10),
        (np.uint8, ("train", "val", "test"), 40 + 10 + 10),
        # Each number takes four bytes, and one more as a pixel.
        (np.float32, ("train",), 5 * 40),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_that_memory_does_not_hold_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch, kind, parts, needed, save
):
    random, side = np.random.default_rng(0), 64
    images = {
        part: random.integers(0, 256, (40 if part == "train" else 10, side, side, 3)).astype(kind) for part in parts
    }
    labels = {f"y_{part}": np.arange(len(images[part])) % 2 for part in parts}
    save(tmp_path / "data.npz", **{f"x_{part}": images[part] for part in parts}, **labels)
    needed *= side * side * 3
    for free, enough in ((needed - 1, False), (needed + 2000, True), (None, True)):
        monkeypatch.setattr(array_sources, "available_memory_bytes", lambda free=free: free)
        tracemalloc.start()
        try:
            if enough:
                assert len(load_dataset(tmp_path / "data.npz").train) > 0
            else:
                with pytest.raises(InputError, match="are free") as caught:
                    load_dataset(tmp_path / "data.npz")
                assert caught.value.code == "dataset.larger_than_memory"
                assert "class folders or TFRecords" in caught.value.fix
                assert tracemalloc.get_traced_memory()[1] < needed
        finally:
            tracemalloc.stop()
