"""The manifest of a family, `family.json`: what was compressed, into what, and what was measured."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from learn2compress.core.errors import InputError
from learn2compress.core.framing import CROP, Framing
from learn2compress.core.whole_files import write_whole

SCHEMA_VERSION = 1
MANIFEST = "family.json"
NOT_GIVEN = "not given"


class Record(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _inside(file: str) -> str:
    """A path that leads out of the family's folder is refused: files are read, and cards written, there."""
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(file).drive or "\\" in file or not path.parts:
        raise ValueError(f"{file!r} is no file in the family's folder")
    return file


FileInside = Annotated[str, AfterValidator(_inside)]


class Accuracy(Record):
    """Top-1 accuracy of the file, as fractions of 1, on the validation and the test split."""

    validation: Annotated[float, Field(ge=0, le=1)]
    test: Annotated[float, Field(ge=0, le=1)]
    validation_examples: Annotated[int, Field(ge=0)]
    test_examples: Annotated[int, Field(ge=0)]
    per_class_test: tuple[float | None, ...] = ()


class Latency(Record):
    """Milliseconds of one inference: single process, warm, interleaved with the other files of the family."""

    median: float
    p90: float
    threads: int = 1
    runs: int = 0


class Ratio(Record):
    """How many times smaller, faster and cheaper than the teacher as float32, or as the file that was given."""

    size: float | None = None
    latency: float | None = None
    macs: float | None = None


class Verification(Record):
    """How the file's outputs agree with the trained fake-quantized model's on real images."""

    images: int
    top1_agreement: float
    max_probability_difference: float


class FloatPart(Record):
    """Operators of an integer file that handle float32, as `POSITION:NAME`, and why they are there."""

    operators: tuple[str, ...]
    reason: str


class KeptWider(Record):
    """A tensor of an int8 member that stays in float32.

    `layers` are those that compute in float32 because of it. When this tensor alone is not rounded, `accuracy_alone`
    is the fraction of the images that is right again, and `distance_alone` the share of the distance to the unrounded
    outputs that goes.
    """

    output_of: str
    layers: tuple[str, ...]
    accuracy_alone: float
    distance_alone: float


class Mixed(Record):
    """Why parts of an int8 member stay in float32, and what that costs.

    Losses are of accuracy on the validation split, against the trained weights before any rounding. `sensitivity` has
    the `distance_alone` of every tensor that was tried.
    """

    kept: tuple[KeptWider, ...]
    most_loss: float
    int8_loss: float
    loss: float
    images: int
    sensitivity: dict[str, float]
    int8_size_bytes: int
    size_bytes: int
    int8_latency_ms: float
    latency_ms: float
    int8_peak_memory_bytes: int | None = None
    peak_memory_bytes: int | None = None


class Delegation(Record):
    """How many of a file's `operators` XNNPACK runs here, in how many `pieces`, and the names of those `outside`."""

    operators: int
    delegated: int
    pieces: int
    outside: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """`66 of 69 operators, 1 piece`."""
        return f"{self.delegated} of {self.operators} operators, {self.pieces} piece{'' if self.pieces == 1 else 's'}"


class Model(Record):
    """One file and what was measured of it. Teacher, baselines and members all carry these keys.

    `file` is relative to the family's folder; None where the teacher could not be written as a file.
    """

    name: str
    file: FileInside | None
    size_bytes: int | None = None
    zipped_bytes: int | None = None
    parameters: int | None = None
    macs: int | None = None
    accuracy: Accuracy
    latency_ms: Latency | None = None
    threads: int = 1
    peak_memory_bytes: int | None = None
    xnnpack: Delegation | None = None
    ratio_to_teacher: Ratio = Ratio()
    accuracy_drop: float = 0.0
    description: str = ""


class Member(Model):
    """A member: a model of the family.

    `precision` is a name of `core.precision.PRECISIONS` and `precision_means` says it in a sentence; `input_type`,
    `output_type` and `output` are what an app feeds and gets. `float_parts` names what an integer file does in
    float32, and `mixed` says why parts of it stay so. `float_accuracy_validation` and `float_accuracy_test` are those
    of the trained model before quantization; `zeros` is the share of zeros among its kernels' weights, where sparsity
    was asked for. `collapsed` is the sentence that says so of a member that keeps too little of the teacher's skill.
    """

    keras_file: FileInside
    width: float
    depth: int
    input_size: tuple[int, int]
    precision: str = "int8"
    precision_means: str = ""
    input_type: str = "uint8"
    output_type: str = "uint8"
    output: str = "probabilities"
    float_parts: tuple[FloatPart, ...] = ()
    mixed: Mixed | None = None
    float_accuracy_validation: float
    float_accuracy_test: float
    verification: Verification
    zeros: float = 0.0
    targets: tuple[str, ...] = ()
    on_front: bool = True
    collapsed: str = ""


class DatasetSummary(Record):
    """What the data was, and how images of another shape were brought to the input's: by `crop` or `squeeze`.

    `test_fingerprint` is that of the test split, by which it is known again; empty in older manifests.
    """

    source: str
    class_names: tuple[str, ...]
    train_examples: int
    validation_examples: int
    test_examples: int
    image_size: tuple[int, int]
    framing: Framing = CROP
    notes: tuple[str, ...] = ()
    test_fingerprint: str = ""


class Environment(Record):
    """Where the figures were taken. No host name: the figures matter, not whose machine it was."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    packages: dict[str, str]


class Family(Record):
    """What a run made. Written to `family.json`; `load` reads it back."""

    schema_version: int = SCHEMA_VERSION
    created: str
    version: str
    task: str
    command: str
    seed: int
    budget_seconds: float
    elapsed_seconds: float
    stage_seconds: dict[str, float]
    route: str
    teacher: Model
    baselines: tuple[Model, ...]
    members: tuple[Member, ...]
    dataset: DatasetSummary
    environment: Environment
    plan: dict[str, Any]
    targets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    teacher_licence: str = NOT_GIVEN
    data_licence: str = NOT_GIVEN
    folder: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _as_many_shares_as_classes(self) -> Family:
        """What is told class by class names each class of the data, or none."""
        classes = len(self.dataset.class_names)
        for model in (self.teacher, *self.baselines, *self.members):
            shares = len(model.accuracy.per_class_test)
            if shares not in (0, classes):
                raise ValueError(f"{model.name} has the accuracy of {shares} classes, but the data has {classes}")
        return self

    def path(self, model: Model) -> Path:
        """Where the model's file lies."""
        if model.file is None:
            raise InputError("family.no_file", f"{model.name} has no file.", "choose a member of the family.")
        return self.folder / model.file

    def best(
        self,
        *,
        size_bytes: float | None = None,
        latency_ms: float | None = None,
        macs: float | None = None,
        peak_memory_bytes: float | None = None,
    ) -> Choice:
        """The most accurate member (on validation) within all the bounds given.

        Raises:
            InputError: `family.none_within` when no member is within the bounds.
        """
        bounds = {
            "size_bytes": size_bytes,
            "macs": macs,
            "peak_memory_bytes": peak_memory_bytes,
            "latency_ms": latency_ms,
        }
        fitting = []
        for member in self.members:
            median = member.latency_ms.median if member.latency_ms else None
            values = {name: median if name == "latency_ms" else getattr(member, name) for name in bounds}
            # What was not measured is within no bound.
            if all(bound is None or ((v := values[n]) is not None and v <= bound) for n, bound in bounds.items()):
                fitting.append(member)
        if not fitting:
            smallest = min(self.members, key=lambda m: m.size_bytes or 0)
            raise InputError(
                "family.none_within",
                "No member of the family is within these bounds.",
                f"loosen them; the smallest member, {smallest.name}, has {smallest.size_bytes} bytes.",
            )
        chosen = max(fitting, key=lambda m: m.accuracy.validation)
        return Choice(member=chosen, path=self.path(chosen))

    def write(self, folder: Path) -> Path:
        """Writes `family.json` into `folder`, whole or not at all."""
        path = folder / MANIFEST
        write_whole(path, (self.model_dump_json(indent=1) + "\n").encode())
        return path

    @staticmethod
    def load(folder: str | Path) -> Family:
        """Reads the family that lies in `folder`.

        Raises:
            InputError: `family.missing`, `family.unreadable` or `family.newer`.
        """
        path = Path(folder) / MANIFEST
        if not path.is_file():
            raise InputError(
                "family.missing",
                f"{folder} holds no family: there is no {MANIFEST} in it.",
                "give the folder that `l2c compress --out` wrote.",
            )
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair can be read, but not written
            if isinstance(document, dict) and document.get("schema_version", 0) > SCHEMA_VERSION:
                raise InputError(
                    "family.newer",
                    f"{path} was written by a newer learn2compress.",
                    "upgrade with `pip install --upgrade learn2compress`.",
                )
            return Family.model_validate({**document, "folder": Path(folder)})
        except ValidationError as error:
            mistake = error.errors()[0]
            said = ": ".join(filter(None, (".".join(map(str, mistake["loc"])), mistake["msg"].lower())))
            raise InputError(
                "family.unreadable",
                f"{path} is no valid manifest: {said}.",
                "run `l2c compress` again.",
            ) from error
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(
                "family.unreadable", f"{path} is no valid manifest: {error}.", "run `l2c compress` again."
            ) from error


class Choice(Record):
    """A member picked from a family, with the path of its file."""

    member: Member
    path: Path
