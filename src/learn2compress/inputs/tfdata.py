"""Reading a `tf.data.Dataset` of (image, label) into memory."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from learn2compress.core.dataset import Images
from learn2compress.core.errors import InputError
from learn2compress.core.units import show_bytes
from learn2compress.inputs.pixels import image_array, pixel_scale, to_rgb
from learn2compress.inputs.wording import shortened

MEMORY_LIMIT_BYTES = 3 * 10**9
_CHUNK = 64  # images; so many together tell whether values are 0..1 or 0..255
_EXPECTED = "expected are elements (image, label) or {'image': ..., 'label': ...}, batched or not"


def is_tf_dataset(value: Any) -> bool:
    """Whether it is a `tf.data.Dataset`; TensorFlow is not imported for the question."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(value, tensorflow.data.Dataset)


def tf_class_names(dataset: Any) -> tuple[str, ...] | None:
    """The class names that `keras.utils.image_dataset_from_directory` hangs on its dataset; else None."""
    names = getattr(dataset, "class_names", None)
    return tuple(map(str, names)) if names else None


def read_tf_dataset(name: str, dataset: Any) -> tuple[Images | list[Images], Any]:
    """Runs through the dataset once.

    The examples come back sorted by their content: a dataset that shuffles gives another order each time, and
    cached results are kept by the example's index.

    Args:
        name: what to call it in errors.
        dataset: of (image, label), batched or not.

    Returns:
        Images as uint8 RGB, one array (examples, height, width, 3) where they have one size, else a list; and
        labels as the dataset gave them, shape (examples,) or (examples, classes).

    Raises:
        InputError: `dataset.tf_elements`, `dataset.tf_infinite`, `dataset.tf_empty`, `dataset.tf_failed`,
            `dataset.too_large`, and what `inputs.pixels` raises.
    """
    if int(dataset.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise InputError(
            "dataset.tf_infinite",
            f"The tf.data.Dataset given for {name} never ends.",
            "leave out `.repeat()`.",
        )
    images: list[Images] = []
    labels: list[Any] = []
    scale: float | None = None
    size_bytes = 0
    for chunk, chunk_labels in _chunks(name, dataset):
        # Converted as they come: as float32 they would take four times the memory.
        arrays = [image_array(name, image) for image in chunk]
        scale = pixel_scale(name, arrays, scale)
        for array in arrays:
            images.extend(to_rgb(array, scale))
            size_bytes += array[..., :1].size * 3
        labels.extend(chunk_labels)
        if size_bytes > MEMORY_LIMIT_BYTES:
            raise InputError(
                "dataset.too_large",
                f"The tf.data.Dataset given for {name} takes more than {show_bytes(MEMORY_LIMIT_BYTES)}.",
                "give the folder of images instead; those are read when they are needed.",
            )
    if not images:
        raise InputError("dataset.tf_empty", f"The tf.data.Dataset given for {name} is empty.", "check its filters.")
    order = sorted(range(len(images)), key=lambda i: (_digest(images[i]), np.asarray(labels[i]).tobytes()))
    ordered = [images[i] for i in order]
    same_size = len({image.shape for image in ordered}) == 1
    return (np.stack(ordered) if same_size else ordered), np.stack([labels[i] for i in order])


def _chunks(name: str, dataset: Any) -> Iterator[tuple[list[Any], list[Any]]]:
    """Batches (n, height, width, channels) of together at least `_CHUNK` images, and their labels."""
    images: list[Any] = []
    labels: list[Any] = []
    elements = dataset.as_numpy_iterator()
    while True:
        try:
            element = next(elements, None)
        except Exception as error:
            raise InputError(
                "dataset.tf_failed",
                f"Reading the tf.data.Dataset given for {name} failed: {shortened(error)}",
                "iterate over it once yourself to see where it fails.",
            ) from error
        if element is not None:
            image, label = _pair(name, element)
            batched = image.ndim == 4
            if batched and np.shape(label)[:1] != image.shape[:1]:
                raise InputError(
                    "dataset.length_mismatch",
                    f"{name} has a batch of {len(image)} images with labels of shape {np.shape(label)}.",
                    "give exactly one label per image, in the same order.",
                )
            images.append(image if batched else image[None])
            labels.extend(label if batched else [label])
        if images and (element is None or len(labels) >= _CHUNK):
            yield images, labels
            images, labels = [], []
        if element is None:
            return


def _pair(name: str, element: Any) -> tuple[Any, Any]:
    if isinstance(element, dict) and "image" in element and "label" in element:
        image, label = element["image"], element["label"]
    elif isinstance(element, tuple) and len(element) >= 2:
        image, label = element[0], element[1]
    else:
        kind = f"a dictionary of {sorted(element)}" if isinstance(element, dict) else f"a {type(element).__name__}"
        raise InputError("dataset.tf_elements", f"{name} yields {kind}; {_EXPECTED}.", "map it to (image, label).")
    if not isinstance(image, np.ndarray) or image.ndim not in (3, 4):
        shape = np.shape(image)
        raise InputError(
            "dataset.tf_elements",
            f"{name} yields images of shape {shape}; {_EXPECTED}, an image being (height, width, 3).",
            "map it to (image, label).",
        )
    return image, label


def _digest(image: Images) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
