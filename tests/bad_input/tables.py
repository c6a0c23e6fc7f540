"""Tables of images and record files that can't be used."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bad_input.data import png
from bad_input.keras_files import bytes_of, part_of

NAMES = [f"{colour}/{number:02}.png" for colour in ("red", "blue") for number in range(12)]


def table(
    lines: Iterable[str] = (), header: str = "path,label", rows: Iterable[str] | None = None
) -> Callable[[Path, Any], object]:
    """A maker of a table of the photos beside it, with more lines behind."""
    usual = (f"photos/{name},{name.split('/')[0]}" for name in NAMES)
    text = "\n".join([header, *(usual if rows is None else rows), *lines]) + "\n"
    return lambda path, shop: path.write_text(text, encoding="utf-8")


def records(features: Callable[[int], dict[str, Any]]) -> Callable[[Path, Any], None]:
    """A maker of a record file of twenty examples."""

    def make(path: Path, shop: Any) -> None:
        import tensorflow as tf

        def feature(value: Any) -> Any:
            if isinstance(value, bytes):
                return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

        with tf.io.TFRecordWriter(str(path)) as writer:
            for number in range(20):
                found = {name: feature(value) for name, value in features(number).items()}
                example = tf.train.Example(features=tf.train.Features(feature=found))
                writer.write(example.SerializeToString())

    return make


def usual(number: int) -> dict[str, Any]:
    colour = ("blue", "red")[number % 2]
    return {"image/encoded": png(colour, number), "image/class/label": number % 2}


def noise(path: Path, shop: Any) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff this is no example")


TABLES: dict[str, Callable[[Path, Any], object]] = {
    "missing_photos.csv": table(["photos/red/99.png,red"]),
    "other_columns.csv": table(header="a,b", rows=["1,2", "3,4"]),
    "ragged.csv": table(["photos/red/00.png,red,more"]),
    "two_labels.csv": table(["photos/red/00.png,blue"]),
    "no_label.csv": table(["photos/red/00.png,"]),
    "empty.csv": bytes_of(b""),
    "header_only.csv": bytes_of(b"path,label\n"),
    "utf16.csv": lambda path, shop: path.write_text("path,label\nphotos/red/00.png,röd\n", encoding="utf-16"),
    "no_json.jsonl": bytes_of(b"{'path': 'photos/red/00.png', 'label': 'red'}\n"),
    "list.jsonl": bytes_of(json.dumps(["photos/red/00.png", "red"]).encode()),
    "good.tfrecord": records(usual),
    "empty.tfrecord": bytes_of(b""),
    "text.tfrecord": bytes_of(b"this is no record file, whatever its name\n"),
    "cut.tfrecord": part_of("good.tfrecord", 0.53),
    "no_examples.tfrecord": noise,
    "no_images.tfrecord": records(lambda number: {"image/class/label": number % 2}),
    "negative.tfrecord": records(lambda number: usual(number) | {"image/class/label": -1}),
    "text_images.tfrecord": records(lambda number: usual(number) | {"image/encoded": b"hello"}),
}
