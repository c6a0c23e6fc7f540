"""What an app has to know of a member's file: read from the file itself, not assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from learn2compress.core.errors import InputError
from learn2compress.core.framing import CROP, FRAMED, Framing
from learn2compress.export.metadata import metadata_of
from learn2compress.inputs.display_names import LOCALE
from learn2compress.measure.graph import describe, gives_logits

TYPES = ("UINT8", "INT8", "FLOAT32")


@dataclass(frozen=True)
class AppModel:
    """A member as an app sees it.

    Attributes:
        name: of the member.
        path: of its file.
        height, width: of the input, in pixels.
        input_type, output_type: `UINT8`, `INT8` or `FLOAT32`.
        input_mean, input_std: a float input takes (pixel - mean) / std; an integer input takes the pixel itself.
        output_scale, output_zero_point: score = scale * (stored - zero point); (1, 0) for a float output.
        logits: whether softmax has yet to make probabilities of the scores.
        labels: one a class, in the order of the outputs.
        display_labels: locale -> labels in that language.
        operators: operations of the graph, each once, in the order of their names.
        size_bytes: of the file.
        framing: how a photo of another shape is brought to the input's: `crop` or `squeeze`.
        figures: what the family says was measured, one line each.
    """

    name: str
    path: Path
    height: int
    width: int
    input_type: str
    output_type: str
    input_mean: float
    input_std: float
    output_scale: float
    output_zero_point: int
    logits: bool
    labels: tuple[str, ...]
    operators: tuple[str, ...]
    size_bytes: int
    figures: tuple[str, ...] = ()
    display_labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    framing: Framing = CROP

    @property
    def file(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def stem(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.labels)

    @property
    def framed(self) -> str:
        """What becomes of a photo, in words."""
        return FRAMED[self.framing]

    @property
    def fits_mediapipe(self) -> bool:
        """Whether MediaPipe Tasks takes the file: it feeds uint8 or float32 and shows what comes out as it is."""
        return not self.logits and "INT8" not in (self.input_type, self.output_type)


def read_app_model(
    path: Path, name: str, labels: tuple[str, ...], figures: tuple[str, ...] = (), logits: bool = False
) -> AppModel:
    """Reads what an app must know from a member's file.

    Args:
        labels: of the classes, where the file has none in its metadata.
        logits: whether it is known to give these; else its last operation tells.

    Raises:
        InputError: `tflite.*`, or `export.not_a_classifier`; so too where a float input is normalised by channel.
    """
    described = describe(path)
    if len(described.inputs) != 1 or len(described.outputs) != 1:
        raise _no_classifier(path, f"{len(described.inputs)} inputs and {len(described.outputs)} outputs")
    (image_in,), (out,) = described.inputs, described.outputs
    if len(image_in.shape) != 4 or image_in.shape[0] != 1 or image_in.shape[3] != 3 or image_in.dtype not in TYPES:
        raise _no_classifier(path, f"an input of shape {image_in.shape} and type {image_in.dtype}")
    metadata = metadata_of(path)
    labels = metadata.labels if metadata and metadata.labels else labels
    if prod(out.shape) != len(labels) or out.dtype not in TYPES:
        raise _no_classifier(path, f"an output of shape {out.shape} and type {out.dtype} for {len(labels)} labels")
    means, stds = (metadata.input_mean, metadata.input_std) if metadata and metadata.input_std else ((0.0,), (1.0,))
    if image_in.dtype == "FLOAT32" and (len(set(means)) > 1 or len(set(stds)) > 1):
        raise _no_classifier(path, f"an input normalised by channel (mean {means}, standard deviation {stds})")
    return AppModel(
        name=name,
        path=path,
        height=image_in.shape[1],
        width=image_in.shape[2],
        input_type=image_in.dtype,
        output_type=out.dtype,
        input_mean=means[0],
        input_std=stds[0],
        output_scale=out.scale if out.scale is not None else 1.0,
        output_zero_point=out.zero_point or 0,
        logits=logits or gives_logits(path),
        labels=labels,
        operators=tuple(sorted(described.ops)),
        size_bytes=path.stat().st_size,
        figures=figures,
        framing=metadata.framing if metadata else CROP,
        # Their locales become names of files.
        display_labels={
            locale: names
            for locale, names in (metadata.display_labels if metadata else {}).items()
            if LOCALE.fullmatch(locale) and len(names) == len(labels)
        },
    )


def _no_classifier(path: Path, found: str) -> InputError:
    return InputError(
        "export.not_a_classifier",
        f"{path} has {found}; app code is written for one RGB image in and one vector of scores out.",
        "export a member of a family that `l2c compress` wrote.",
    )
