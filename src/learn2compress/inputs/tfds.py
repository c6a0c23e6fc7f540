"""Published data sets by name, as `tfds:cifar10`: tensorflow-datasets fetches and unpacks them, once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.core.recipe import NAMED
from learn2compress.core.silence import silenced
from learn2compress.inputs.splits import Source
from learn2compress.inputs.tfrecords import read_records, record_files
from learn2compress.inputs.wording import listed, shortened

_RETRIES = 3


def read_tfds(given: str, progress: Progress) -> Source:
    """Has the data set prepared where tensorflow-datasets keeps it (`TFDS_DATA_DIR`), and reads its records.

    Args:
        given: `tfds:NAME`, `tfds:NAME:VERSION` or `tfds:NAME/CONFIG:VERSION`.
        progress: gets a stage for fetching, and those of reading records.

    Raises:
        InputError: `dataset.tfds_missing` without the extra, `dataset.tfds_unknown`, `dataset.tfds_failed` (no
            network, above all), `dataset.tfds_no_classes`, and what reading records raises.
    """
    name = given.removeprefix(NAMED)
    tfds = _package()
    try:
        builder = tfds.builder(name)
    except Exception as error:
        raise InputError(
            "dataset.tfds_unknown",
            f"tensorflow-datasets has no {name} ({shortened(error, 120)}).",
            "give a name from its catalogue, as in tfds:cifar10 or tfds:beans:0.1.0.",
        ) from error
    names = _class_names(name, builder.info.features)
    with progress.stage(f"fetch {name}"):
        try:
            with silenced(), _impatient():
                builder.download_and_prepare()
        except Exception as error:
            raise InputError(
                "dataset.tfds_failed",
                f"{given} can't be fetched ({shortened(error)}).",
                "check the network and the free space, or set TFDS_DATA_DIR to a folder that has it prepared.",
            ) from error
    folder = Path(str(builder.data_path))
    files = record_files(folder)
    if not files:
        raise InputError(
            "dataset.tfds_failed",
            f"{given} is prepared in {folder}, but not as TFRecord files.",
            "remove that folder; it is then prepared again.",
        )
    return read_records(folder, files, given, progress, names)


def _class_names(name: str, features: Any) -> list[str]:
    """The class names, if it is a set of images with one class each, under the names that records are read by."""
    kinds = {key: type(feature).__name__ for key, feature in features.items()}
    if kinds.get("image") != "Image" or kinds.get("label") != "ClassLabel":
        raise InputError(
            "dataset.tfds_no_classes",
            f"tfds:{name} is no set of images with one class each: it has "
            f"{listed([f'{key} ({kind})' for key, kind in kinds.items()], 8)}.",
            "give one that has an image and a label.",
        )
    return list(features["label"].names)


@contextmanager
def _impatient() -> Iterator[None]:
    """Inside, a connection that fails is tried again for seconds, not for minutes."""
    from tensorflow_datasets.core.download import downloader

    patience = getattr(downloader, "MAX_RETRIES", _RETRIES)
    downloader.MAX_RETRIES = min(patience, _RETRIES)
    try:
        yield
    finally:
        downloader.MAX_RETRIES = patience


def _package() -> Any:
    try:
        with silenced():
            import tensorflow_datasets
    except ImportError as error:
        raise InputError(
            "dataset.tfds_missing",
            "Data sets by name (tfds:...) need tensorflow-datasets, which is not installed.",
            "pip install 'learn2compress[tfds]'",
        ) from error
    logging.getLogger("absl").setLevel(logging.ERROR)
    return tensorflow_datasets
