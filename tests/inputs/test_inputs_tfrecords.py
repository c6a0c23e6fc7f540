from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from learn2compress.core.errors import InputError
from learn2compress.inputs.dataset import load_dataset

COUNT = 40
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 12, 10, 3), np.uint8)
LABELS = np.arange(COUNT) % 2


@pytest.fixture(scope="session")
def tf(keras):
    import tensorflow

    return tensorflow


@pytest.fixture
def write(tf):
    def write(path: Path, records: list[dict[str, object]], gzip: bool = False) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path), "GZIP" if gzip else None) as writer:
            for record in records:
                features = {key: feature(tf, value) for key, value in record.items()}
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
        return path

    return write


def feature(tf, value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def png(pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def slim(i: int) -> dict[str, object]:
    return {"image/encoded": png(PIXELS[i]), "image/class/label": int(LABELS[i]), "image/height": 12}


def raw(i: int) -> dict[str, object]:
    return {"image_raw": PIXELS[i].tobytes(), "label": int(LABELS[i]), "height": 12, "width": 10, "depth": 3}


def grey(i: int) -> dict[str, object]:
    return {"image": PIXELS[i, :, :, 0].tobytes(), "label": int(LABELS[i]), "rows": 12, "cols": 10}


def text(i: int) -> dict[str, object]:
    return {"image": png(PIXELS[i]), "label": [b"dog", b"cat"][LABELS[i]]}


def both(i: int) -> dict[str, object]:
    return {**slim(i), "image/class/text": [b"dog", b"cat"][LABELS[i]]}


FORMS = {
    "slim": (slim, PIXELS, ("0", "1"), (0, 1)),
    "raw": (raw, PIXELS, ("0", "1"), (0, 1)),
    "grey": (grey, PIXELS[..., :1].repeat(3, axis=-1), ("0", "1"), (0, 1)),
    "text": (text, PIXELS, ("cat", "dog"), (1, 0)),
    "both": (both, PIXELS, ("dog", "cat"), (0, 1)),
}


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", FORMS)
def test_records_of_every_form_give_their_images_and_labels(tmp_path, write, form, gzip):
    record, pixels, names, order = FORMS[form]
    dataset = load_dataset(write(tmp_path / "pets.tfrecord", [record(i) for i in range(COUNT)], gzip))
    assert dataset.class_names == names
    seen = []
    for split in (dataset.train, dataset.validation, dataset.test):
        fitted = split.batch(np.arange(len(split)), (12, 10))
        for i in range(len(split)):
            number = int(split.told(i).split()[-1]) - 1
            assert np.array_equal(split.image(i), pixels[number])
            assert np.array_equal(fitted[i], pixels[number])
            assert split.labels[i] == order[LABELS[number]]
            seen.append(number)
    assert sorted(seen) == list(range(COUNT))


@pytest.mark.parametrize(
    "names",
    [
        ("p-train.tfrecord-00000-of-00002", "p-train.tfrecord-00001-of-00002", "p-test.tfrecord-00000-of-00001"),
        ("train/a.tfrecords", "train/b.tfrecords", "test/a.tfrecords"),
        ("train_1.tfrec", "train_2.tfrec", "TEST_1.tfrec"),
    ],
)  # fmt: skip
def test_files_named_after_splits_become_splits(tmp_path, write, names):
    for name, rows in zip(names, (range(12), range(12, 30), range(30, 40)), strict=True):
        write(tmp_path / "records" / name, [slim(i) for i in rows])
    dataset = load_dataset(tmp_path / "records")
    assert (len(dataset.train) + len(dataset.validation), len(dataset.test)) == (30, 10)
    assert np.array_equal(dataset.test.image(0), PIXELS[30])


def test_a_pattern_names_files_and_one_split_alone_is_data_without_splits(tmp_path, write):
    for part, rows in (("train", range(30)), ("test", range(30, 40))):
        write(tmp_path / f"{part}-00000-of-00001", [slim(i) for i in rows])
    assert len(load_dataset(tmp_path / "t*-of-00001").test) == 10
    only = load_dataset(tmp_path / "train-*")
    assert len(only.train) + len(only.validation) + len(only.test) == 30


def test_a_file_of_labels_beside_the_records_names_the_classes(tmp_path, write):
    path = write(tmp_path / "a.tfrecord", [slim(i) for i in range(COUNT)])
    (tmp_path / "labels.txt").write_text("0:dog\n1:cat\n")
    assert load_dataset(path).class_names == ("dog", "cat")


def test_images_are_read_from_the_file_and_not_held(tmp_path, write):
    path = write(tmp_path / "a.tfrecord", [slim(i) for i in range(COUNT)])
    train = load_dataset(path).train
    path.unlink()
    with pytest.raises(InputError, match=r"a\.tfrecord record") as caught:
        train.image(0)
    assert caught.value.code == "dataset.image_lost"


def damaged(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 255]) + content[1001:]


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("harm", [damaged, lambda content: content[:-100], lambda content: content[:2000]])
def test_a_damaged_or_cut_off_file_is_refused(tmp_path, write, harm, gzip):
    path = write(tmp_path / "a.tfrecord", [slim(i) for i in range(COUNT)], gzip)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(InputError, match=r"a\.tfrecord is cut off or damaged at record \d+") as caught:
        load_dataset(path)
    assert caught.value.code == "dataset.tfrecord_damaged"


BAD = {
    "no image": ({"picture": b"x", "label": 1}, "dataset.tfrecord_example", "label, picture"),
    "no label": ({"image": png(PIXELS[0])}, "dataset.tfrecord_example", "no label"),
    "no shape": ({"image": b"1234", "label": 1}, "dataset.tfrecord_example", "height"),
    "other shape": ({"image": b"1234", "label": 1, "height": 3, "width": 3}, "dataset.tfrecord_example", "4 bytes"),
    "negative": ({"image": png(PIXELS[0]), "label": -1}, "dataset.tfrecord_example", "-1"),
    "text once": ({"image": png(PIXELS[0]), "label": b"cat"}, "dataset.tfrecord_labels", "number"),
    "gap": ({"image": png(PIXELS[0]), "label": 3}, "dataset.empty_class", "2"),
}


@pytest.mark.parametrize(("record", "code", "said"), BAD.values(), ids=BAD.keys())
def test_a_record_that_can_not_be_used_is_refused_with_a_reason(tmp_path, write, record, code, said):
    with pytest.raises(InputError) as caught:
        load_dataset(write(tmp_path / "a.tfrecord", [*(slim(i) for i in range(COUNT)), record]))
    assert caught.value.code == code
    assert said in caught.value.what
    assert caught.value.fix


def test_files_that_hold_something_else_are_refused(tmp_path, tf):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(b"\xff\xff\xff")
    (tmp_path / "b.tfrecord").write_bytes(b"")
    for name, code in (("a", "dataset.tfrecord_example"), ("b", "dataset.tfrecord_empty")):
        with pytest.raises(InputError) as caught:
            load_dataset(tmp_path / f"{name}.tfrecord")
        assert caught.value.code == code


def test_a_broken_image_is_skipped_and_named(tmp_path, write, events, progress):
    cut = {"image": png(PIXELS[0])[:-300], "label": 0}
    dataset = load_dataset(write(tmp_path / "a.tfrecord", [*(slim(i) for i in range(COUNT)), cut]), progress=progress)
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == COUNT
    (warning,) = [event for event in events if event.kind == "warning"]
    assert "a.tfrecord record 41" in warning.message


@pytest.mark.parametrize("other", ["eval", "holdout"])
def test_a_file_of_its_own_name_beside_a_split_is_not_trained_on(write, tmp_path, other):
    write(tmp_path / "train-00000.tfrecord", [slim(i) for i in range(30)])
    write(tmp_path / f"{other}-00000.tfrecord", [slim(i) for i in range(30, 40)])
    with pytest.raises(InputError, match=other) as caught:
        load_dataset(tmp_path)
    assert caught.value.code == "dataset.tfrecord_split"


def test_training_files_without_images_are_refused(write, tmp_path):
    write(tmp_path / "train.tfrecord", [])
    write(tmp_path / "test.tfrecord", [slim(i) for i in range(10)])
    with pytest.raises(InputError) as caught:
        load_dataset(tmp_path)
    assert caught.value.code == "dataset.no_train_split"
