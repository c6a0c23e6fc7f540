"""The recipe: everything that determines a run, as a TOML file that people read, write and keep."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from learn2compress.core.errors import InputError
from learn2compress.core.framing import CROP, Framing
from learn2compress.core.paths import at_home
from learn2compress.core.plan_recipe import MemberRecipe, PlanRecipe
from learn2compress.core.precision import AUTO, INT8, OUTPUTS, split_names
from learn2compress.core.whole_files import write_whole

RECIPE = "recipe.toml"
# What a preset sets; whatever else is given goes before it.
PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"budget": "5m"},
    # The shortest that has a trial of every source of members, see plan/budget.py.
    "balanced": {"budget": "20m"},
    # Enough for some fifty epochs of CIFAR-10 on two cores.
    "best": {"budget": "90m"},
}
DEFAULT_PRESET = "balanced"
# Those that name files: relative to the recipe they stand in.
PATHS = ("model", "data", "test_data", "labels")
NAMED = "tfds:"  # what begins so is the name of a published data set, not a path

# Measures of how much a channel matters, as `train.importance` names them.
Importance = Literal["Taylor", "activation energy", "batch-norm scale", "L1 magnitude", "L2 magnitude"]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
# In a recipe a list; on a command line words with commas.
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: split_names(value) if isinstance(value, str | list | tuple) else value),
]
# One side alone is a number in TOML, and may be one of NumPy in Python.
Size = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if isinstance(value, Integral) and type(value) is not bool else value),
]
# For people; what is blank was not given.
Words = Annotated[str, StringConstraints(strip_whitespace=True)]
# What `core.options` checks, which says better what such a number means.
AnyFloat = Annotated[float, Field(allow_inf_nan=True)]


class _Section(BaseModel):
    # TOML has `inf` and `nan`, and infinity is greater than 0: nothing can be trained with either.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ViewsRecipe(_Section):
    """`[views]`: the fixed augmented views that the teacher labels; what is left out is found out.

    Attributes:
        count: how many of each image.
        mirrored: whether half of them are mirrored left-right.
        mixed: whether half of them are mixed with another image.
    """

    count: Annotated[int, Field(ge=1, le=100)] | None = None
    mirrored: bool | None = None
    mixed: bool | None = None


class TrainingRecipe(_Section):
    """`[training]`: hyperparameters that stand in for those of the source of members; see `train.settings`.

    Attributes:
        joint_steps: steps of joint training; by default as many as the budget allows.
        quantization_steps: steps of quantization-aware training, likewise.
    """

    optimizer: Literal["muon", "adam", "sgd"] | None = None
    dtype: Literal["float32", "mixed_bfloat16"] | None = None
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    peak: Positive | None = None
    decay: NotNegative | None = None
    quantization_peak: Positive | None = None
    temperature: Positive | None = None
    hard: Annotated[float, Field(ge=0, le=1)] | None = None
    momentum: Share | None = None
    warmup: Annotated[float, Field(ge=0, lt=1)] | None = None
    narrow_share: Annotated[float, Field(gt=0, le=1)] | None = None
    quantization_share: Share | None = None
    teacher_rate: NotNegative | None = None
    teacher_loss: NotNegative | None = None
    joint_steps: Count | None = None
    quantization_steps: Count | None = None

    def hyperparameters(self) -> dict[str, Any]:
        """Those that are given, without the numbers of steps."""
        return self.model_dump(exclude_none=True, exclude={"joint_steps", "quantization_steps"})


class Recipe(_Section):
    """A run as it is asked for; see `learn2compress.compress` for what each field means.

    `model`, `data`, `test_data` and `labels` are empty where what was given is no path, and `input_name` and
    `output_name` where they are to be found out. Each of `display_labels` is `LOCALE=FILE`.
    """

    preset: Literal["fast", "balanced", "best"] = "balanced"
    model: str = ""
    data: str = ""
    test_data: str = ""
    labels: str = ""
    students: int = 3
    targets: tuple[str, ...] = ()
    budget: str | AnyFloat = PRESETS[DEFAULT_PRESET]["budget"]
    route: str = "auto"
    teacher: Literal["fixed", "joint"] = "fixed"
    preprocess: str = "auto"
    input_size: Size = "auto"
    framing: Framing = CROP
    input_name: str = ""
    output_name: str = ""
    sparsity: AnyFloat = 0.0
    precision: Names = (INT8,)
    input_type: str = AUTO
    output_type: str = AUTO
    output: str = OUTPUTS[0]
    mixed: str = "auto"
    mixed_loss: Share = 0.01
    importance: Importance = "Taylor"
    seed: int = 0
    backend: Literal["tensorflow", "jax"] = "tensorflow"
    teacher_licence: Words = ""
    data_licence: Words = ""
    display_labels: tuple[str, ...] = ()
    views: ViewsRecipe = ViewsRecipe()
    training: TrainingRecipe = TrainingRecipe()
    plan: PlanRecipe = PlanRecipe()

    @staticmethod
    def compose(
        file: str | Path | None = None, settings: Sequence[str] = (), given: Mapping[str, Any] | None = None
    ) -> Recipe:
        """Puts a run together; later ones go before earlier ones: the file, what is given, the settings.

        A preset sets what is left: the file's what the file does not say, one that is given what was not given.

        Args:
            file: a TOML recipe.
            settings: `KEY=VALUE`, as in `training.peak=0.02`.
            given: by the names of the fields; None where an option was not given.

        Raises:
            InputError: `recipe.*`.
        """
        values = read(at_home(file)) if file is not None else {}
        named = {key: value for key, value in (given or {}).items() if value is not None}
        wanted: dict[str, Any] = {}
        for setting in settings:
            _set(wanted, setting)
        preset = wanted.get("preset", named.get("preset"))
        values |= {**PRESETS.get(str(preset), {}), **named}
        for setting in settings:
            _set(values, setting)
        for key in PATHS:
            if isinstance(values.get(key), str) and values[key]:
                values[key] = absolute(Path(), values[key])
        _place_display_labels(values, Path())
        preset = values.get("preset", DEFAULT_PRESET)
        values = {**PRESETS.get(preset if isinstance(preset, str) else "", {}), **values}
        try:
            return Recipe.model_validate(values)
        except ValidationError as error:
            raise _explained(error, str(file) if file is not None else "") from error

    def differences(self, other: Recipe) -> list[str]:
        """For each key that differs, `KEY: here, there`."""
        here, there = dict(_flat(self.model_dump())), dict(_flat(other.model_dump()))
        return [f"{key}: {here[key]!r} here, {there[key]!r} there" for key in here if here[key] != there[key]]

    def write(self, path: Path, comment: str) -> None:
        """Writes the recipe, whole or not at all; what is not set is left out.

        Args:
            comment: goes on top, line by line.
        """
        values = {key: value for key, value in self.model_dump(exclude_none=True).items() if value not in ("", {})}
        lines = "".join(f"# {line}\n" for line in comment.splitlines())
        write_whole(path, (lines + tomli_w.dumps(values)).encode())


def read(path: Path) -> dict[str, Any]:
    """The values in a recipe, unchecked; paths made absolute.

    Raises:
        InputError: `recipe.not_found` or `recipe.malformed`.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            "recipe.not_found",
            f"The recipe {path} can't be read ({error.strerror or error}).",
            "give the path of a TOML file, such as the recipe.toml that a run writes.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            "recipe.malformed",
            f"The recipe {path} is no TOML: {error}.",
            "write one KEY = VALUE a line, texts in quotes; the recipe.toml that a run writes shows how.",
        ) from error
    for key in PATHS:
        if isinstance(values.get(key), str) and values[key]:
            values[key] = absolute(path.parent, values[key])
    _place_display_labels(values, path.parent)
    return values


def absolute(folder: Path, value: str) -> str:
    """The path that `value` is from `folder` on; a name such as `tfds:cifar10` stays as it is."""
    return value if value.startswith(NAMED) else str((folder / at_home(value)).absolute())


def _place_display_labels(values: dict[str, Any], folder: Path) -> None:
    """Makes the files of `LOCALE=FILE` absolute; what is not of that form is left for the check."""
    given = values.get("display_labels")
    if isinstance(given, list | tuple) and all(isinstance(text, str) for text in given):
        parts = [text.partition("=") for text in given]
        values["display_labels"] = [
            f"{locale}={(folder / at_home(file)).absolute()}" if file else locale + equals
            for locale, equals, file in parts
        ]


def check_given(inputs: Mapping[str, Any]) -> None:
    """Refuses to begin without a model or without data.

    Raises:
        InputError: `option.model` or `option.data`.
    """
    for key, words in (("model", "model"), ("data", "data (--data)")):
        if inputs[key] is None or (isinstance(inputs[key], str) and not inputs[key]):
            raise InputError(
                f"option.{key}",
                f"No {words} is given, and no recipe names any.",
                "write l2c compress MODEL --data DATA --out FOLDER, or give a --recipe that names both.",
            )


def keys() -> list[str]:
    """Every key that a recipe may have, those of sections with a dot."""
    return [key for key, _ in _flat(Recipe().model_dump())]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _set(values: dict[str, Any], setting: str) -> None:
    """Puts one `KEY=VALUE` in."""
    key, equals, text = (part.strip() for part in setting.partition("="))
    if not equals or not key or not text:
        raise InputError(
            "recipe.setting",
            f"--set {setting!r} is not of the form KEY=VALUE.",
            "write for example --set training.peak=0.02.",
        )
    if key not in keys():
        raise _unknown(key, "--set", keys())
    *sections, last = key.split(".")
    for section in sections:
        inner = values.get(section, {})
        values[section] = dict(inner) if isinstance(inner, dict) else {}
        values = values[section]
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text  # a word without quotes, as one types it in a shell


def _unknown(key: str, where: str, known: Sequence[str]) -> InputError:
    # A key may be looked for without its section.
    short = {name.rpartition(".")[2]: name for name in known}
    near = difflib.get_close_matches(key, [*known, *short], n=1, cutoff=0.5)
    advice = f"did you mean {short.get(near[0], near[0])}?" if near else f"use one of {', '.join(known)}."
    return InputError("recipe.unknown_key", f"{where} has the key {key!r}, which is not known.", advice)


def _explained(error: ValidationError, file: str) -> InputError:
    """One of the mistakes, in words: a key that is not known, which may be why another is missing; else the first."""
    mistakes = error.errors()
    mistake = next((one for one in mistakes if one["type"] == "extra_forbidden"), mistakes[0])
    # A union's branches are named behind the key, as in budget.str.
    path = [str(part) for part in mistake["loc"]]
    key = ".".join(path)
    where = f"The recipe {file}" if file else "The recipe"
    if mistake["type"] == "extra_forbidden":
        if path[:-2] == ["plan", "members"]:
            of_member = f"{where}, member {int(path[-2]) + 1} of [[plan.members]],"
            return _unknown(path[-1], of_member, tuple(MemberRecipe.model_fields))
        return _unknown(key, where, keys())
    while path and ".".join(path) not in keys():
        path.pop()
    name = ".".join(path) or key
    return InputError(
        "recipe.value",
        f"{name} = {mistake['input']!r} can't be: {mistake['msg'][0].lower()}{mistake['msg'][1:]}.",
        f"correct {name}{f' in {file}' if file else ''}.",
    )
