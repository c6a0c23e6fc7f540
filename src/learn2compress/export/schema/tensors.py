"""Metadata of the two tensors of an image classifier: the pixels it takes and the scores it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from learn2compress.core.errors import ConversionError
from learn2compress.export.schema import metadata_schema as schema
from learn2compress.export.schema.packing import utf8

LABELS_FILE = "labels.txt"
FLOAT32, UINT8, INT8 = 0, 3, 9  # TensorType in LiteRT's schema
# What pixel 0 and pixel 255 are stored as in an integer input, and probability 0 and 1 in an integer output.
STORED_RANGE = {UINT8: (0.0, 255.0), INT8: (-128.0, 127.0)}


def image_and_scores(root: Any) -> tuple[Any, Any]:
    """The one image input and the one output of a `ModelT`, as `TensorT`.

    Raises:
        ConversionError: `metadata.ports`.
    """
    graph = root.subgraphs[0]
    found = (len(root.subgraphs), len(graph.inputs), len(graph.outputs))
    if found != (1, 1, 1):
        raise ConversionError(
            "metadata.ports",
            "The file has {} graphs, {} inputs and {} outputs; apps take one of each.".format(*found),
            "convert a classifier: one image in, one vector of probabilities out.",
        )
    image_in, out = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    shape = [int(n) for n in image_in.shape]
    if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or image_in.type not in (FLOAT32, UINT8, INT8):
        raise ConversionError(
            "metadata.ports",
            f"The input has shape {shape} and type {image_in.type}; apps feed an RGB image.",
            "convert with a batch of 1 and uint8, int8 or float32 input.",
        )
    return image_in, out


def normalization(
    image_in: Any, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[list[float], list[float]]:
    """The (mean, std) to write, so that an app that normalises and quantizes stores the right values.

    By the schema (`NormalizationOptions`) a quantized model has its float original's normalisation, and an
    app quantizes what comes of it. For pixels to arrive as they are the two must cancel; by default they do.

    Raises:
        ConversionError: `metadata.normalization`.
    """
    scale, zero_point = _quantization(image_in)
    lowest, highest = STORED_RANGE.get(image_in.type, (0.0, 0.0))
    if mean is None and std is None and image_in.type != FLOAT32:
        # Pixel p is stored as p + lowest, which stands for (p + lowest - zero_point) * scale.
        return [zero_point - lowest], [round(1 / scale, 3)]
    means, stds = [float(v) for v in mean or ()], [float(v) for v in std or ()]
    if len(means) != len(stds) or len(means) not in (1, 3) or 0 in stds or not np.isfinite(means + stds).all():
        raise ConversionError(
            "metadata.normalization",
            f"The normalisation mean {means}, std {stds} is not one pair of finite numbers, or three.",
            "pass input_mean and input_std, std not 0; a float32 input needs both.",
        )
    for m, s in zip(means, stds, strict=True) if image_in.type != FLOAT32 else ():
        ends = [(pixel - m) / s / scale + zero_point for pixel in (0, 255)]
        if abs(ends[0] - lowest) >= 1 or abs(ends[1] - highest) >= 1:
            raise ConversionError(
                "metadata.normalization",
                f"With mean {m:g}, std {s:g} an input of scale {scale:g}, zero point {zero_point:g} gets "
                f"{ends[0]:.1f} to {ends[1]:.1f} for pixels 0 to 255, not {lowest:g} to {highest:g}.",
                "leave input_mean and input_std out: an integer input then gets its pixels as they are.",
            )
    return means, stds


def image_metadata(tensor: Any, name: str, mean: list[float], std: list[float]) -> Any:
    """An RGB image with its normalisation and the range of what is fed, as `TensorMetadataT`."""
    if tensor.type == FLOAT32:
        pairs = list(zip(mean, std, strict=True))
        stats = schema.StatsT(min=[(0 - m) / s for m, s in pairs], max=[(255 - m) / s for m, s in pairs])
    else:
        lowest, highest = STORED_RANGE[tensor.type]
        stats = schema.StatsT(min=[lowest], max=[highest])
    return schema.TensorMetadataT(
        name=utf8(name),
        description=f"RGB image of {int(tensor.shape[2])} x {int(tensor.shape[1])} pixels.",
        content=schema.ContentT(
            contentPropertiesType=schema.ContentProperties.ImageProperties,
            contentProperties=schema.ImagePropertiesT(colorSpace=schema.ColorSpaceType.RGB),
        ),
        processUnits=[
            schema.ProcessUnitT(
                optionsType=schema.ProcessUnitOptions.NormalizationOptions,
                options=schema.NormalizationOptionsT(mean=mean, std=std),
            )
        ],
        stats=stats,
    )


def display_file(locale: str) -> str:
    """Name of the file with the labels of a language."""
    return f"labels_{locale}.txt"


def scores_metadata(tensor: Any, name: str, locales: Sequence[str] = (), *, logits: bool = False) -> Any:
    """Class scores whose names are in the labels file, and one more for each other language, as `TensorMetadataT`.

    Float logits have no range to tell.
    """
    lowest, highest = STORED_RANGE.get(tensor.type, (0.0, 1.0))
    bounded = not logits or tensor.type in STORED_RANGE
    return schema.TensorMetadataT(
        name=utf8(name),  # MediaPipe reads it without asking whether it is there
        description="Logit of each class: softmax makes probabilities of them."
        if logits
        else "Probability of each class.",
        content=schema.ContentT(
            contentPropertiesType=schema.ContentProperties.FeatureProperties,
            contentProperties=schema.FeaturePropertiesT(),
        ),
        stats=schema.StatsT(min=[lowest], max=[highest]) if bounded else None,
        associatedFiles=[
            schema.AssociatedFileT(
                name=LABELS_FILE,
                description="Names of the classes, one a line, in the order of the outputs.",
                type=schema.AssociatedFileType.TENSOR_AXIS_LABELS,
            ),
            *(
                schema.AssociatedFileT(
                    name=display_file(locale),
                    description=f"Names of the classes in the language {locale}, in the same order.",
                    type=schema.AssociatedFileType.TENSOR_AXIS_LABELS,
                    locale=locale,
                )
                for locale in locales
            ),
        ],
    )


def _quantization(tensor: Any) -> tuple[float, float]:
    """(scale, zero point). An integer tensor that has none holds the pixels themselves."""
    values = tensor.quantization
    if values is None or values.scale is None or len(values.scale) != 1:
        return 1.0, STORED_RANGE.get(tensor.type, (0.0, 0.0))[0]
    return float(values.scale[0]), float(values.zeroPoint[0]) if values.zeroPoint is not None else 0.0
