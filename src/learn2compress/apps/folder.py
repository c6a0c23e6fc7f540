"""Writes the folder for one kind of app: the member, its labels, the code that runs it, and how to use it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from learn2compress.apps.contents import AppModel, read_app_model
from learn2compress.apps.micro import micro_files
from learn2compress.apps.rendering import rendered
from learn2compress.core.app_kinds import APP_KINDS
from learn2compress.core.errors import InputError
from learn2compress.core.family import Family, Member
from learn2compress.core.folder import not_writable
from learn2compress.core.paths import at_home
from learn2compress.core.units import milliseconds, percent
from learn2compress.export.conformance import Finding, ml_kit_findings
from learn2compress.stages.failures import failure_in_words

Files = dict[str, str]
# Of a picture, in pixels: ML Kit refuses smaller ones, whatever the model takes.
ML_KIT_LEAST_SIDE = 32


@dataclass(frozen=True)
class AppTarget:
    """What is written for one kind of app.

    Attributes:
        assets: where in the folder the member and its labels lie.
        files: function of the member -> path in the folder -> text.
    """

    assets: str
    files: Callable[[AppModel], Files]


def _android(model: AppModel) -> Files:
    source = "app/src/main/java/com/example/classifier"
    refused = [finding for finding in (*ml_kit_findings(model.path), _probabilities(model)) if not finding.kept]
    ml_kit = {} if refused else {f"{source}/MlKitClassifier.kt": "MlKitClassifier.kt.j2"}
    return rendered(
        "android",
        model,
        {
            **ml_kit,
            f"{source}/Classifier.kt": "Classifier.kt.j2",
            f"{source}/Photo.kt": "Photo.kt.j2",
            "app/build.gradle.kts": "build.gradle.kts.j2",
            "README.md": "README.md.j2",
        },
        refused=refused,
        least_side=ML_KIT_LEAST_SIDE,
    )


def _probabilities(model: AppModel) -> Finding:
    """Not in ML Kit's published list, but what its threshold, 0 to 1, takes for granted."""
    words = "scores that are probabilities, as ML Kit applies no softmax and hands them on as confidences"
    return Finding(words, not model.logits, "logits" if model.logits else "probabilities")


def _ios(model: AppModel) -> Files:
    names = ("Classifier.swift", "Photo.swift", "Podfile", "README.md")
    return rendered("ios", model, {name: f"{name}.j2" for name in names})


def _web(model: AppModel) -> Files:
    names = ("index.html", "classifier.js", "package.json", "README.md")
    return rendered("web", model, {name: f"{name}.j2" for name in names})


def _python(model: AppModel) -> Files:
    names = ("classify.py", "requirements.txt", "README.md")
    return rendered("python", model, {name: f"{name}.j2" for name in names})


TARGETS = {
    "android": AppTarget("app/src/main/assets", _android),
    "ios": AppTarget("", _ios),
    "web": AppTarget("", _web),
    "python": AppTarget("", _python),
    "micro": AppTarget("", micro_files),
}


def export(folder: str | Path, member: str, to: str, out: str | Path | None = None) -> Path:
    """Writes a folder that an app of one kind is built from, with a member of a family; returns its path.

    Args:
        folder: of the family, as `compress` wrote it.
        member: name of one of its members.
        to: `android`, `ios`, `web`, `python` or `micro`.
        out: folder to write, new or empty; by default `MEMBER-TO` where one stands.

    Raises:
        InputError: `export.target`, `export.type`, `member.unknown`, `family.*`, `out.*`, `disk.full`, `tflite.*`,
            `micro.*`; nothing was written.
    """
    if to not in TARGETS:
        raise InputError("export.target", f"There is no code for {to!r}.", f"use one of {', '.join(TARGETS)}.")
    family = Family.load(folder)
    chosen = _member(family, member)
    target, types = TARGETS[to], APP_KINDS[to].types
    labels, figures = family.dataset.class_names, _figures(family, chosen)
    model = read_app_model(family.path(chosen), chosen.name, labels, figures, chosen.output == "logits")
    if wrong := {model.input_type.lower(), model.output_type.lower()} - types:
        raise InputError(
            "export.type",
            f"{chosen.name} has a tensor of {wrong.pop()} at its ends, which {to} does not take.",
            f"export a member whose ends are {' or '.join(sorted(types))}.",
        )
    place = _place(out if out is not None else f"{chosen.name}-{to}")
    files = target.files(model)
    _write(place, files, model, target.assets)
    return place


def _member(family: Family, name: str) -> Member:
    for member in family.members:
        if member.name == name:
            return member
    if not family.members:
        raise InputError(
            "family.no_members",
            f"The family in {family.folder} has no members.",
            "run `l2c compress` again, into another --out: a run that ends well has written one at least.",
        )
    raise InputError(
        "member.unknown",
        f"The family has no member {name!r}.",
        f"name one of {', '.join(m.name for m in family.members)}.",
    )


def _figures(family: Family, member: Member) -> tuple[str, ...]:
    accuracy = member.accuracy
    lines = [f"right on {percent(accuracy.test)} of {accuracy.test_examples:,} test images"]
    if member.latency_ms is not None:
        lines.append(
            f"{milliseconds(member.latency_ms.median)} ms for an image on {family.environment.processor}, "
            f"{member.latency_ms.threads} thread{'s' if member.latency_ms.threads != 1 else ''}"
        )
    return tuple(lines)


def _place(out: str | Path) -> Path:
    place = at_home(out).absolute()
    try:
        # A link that leads nowhere is there too: no folder can be made in its place.
        nearest = next(p for p in (place, *place.parents) if os.path.lexists(p))
        filled = place.is_dir() and any(place.iterdir())
    except OSError as error:
        raise not_writable(place, error.strerror) from error
    if not nearest.is_dir():
        kind = "a file" if nearest.exists() else "a link that leads nowhere"
        raise InputError("out.not_a_folder", f"{nearest} is {kind}, not a folder.", "give another --out.")
    if filled:
        raise InputError(
            "out.not_empty", f"The folder {place} is not empty.", "give a new or an empty folder for --out."
        )
    return place


def _write(place: Path, files: Files, model: AppModel, assets: str) -> None:
    """All files or none: they are put together out of sight, and moved to their place at the end."""
    there = place.exists()
    made = [path for path in place.parents if not path.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place if there else place.parent
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=beside) as temporary:
            staging = Path(temporary) / "files"
            _fill(staging, files, model, assets)
            if there:  # the folder itself stays: someone may stand in it, or a disk be mounted there
                for path in list(staging.iterdir()):
                    path.replace(place / path.name)
            else:
                staging.replace(place)
    except OSError as error:
        raise failure_in_words(error, place=place) or not_writable(place, error.strerror) from error
    finally:
        for path in made:
            with suppress(OSError):  # something is in it
                path.rmdir()


def _fill(folder: Path, files: Files, model: AppModel, assets: str) -> None:
    (folder / assets).mkdir(parents=True)
    shutil.copyfile(model.path, folder / assets / model.file)
    lists = {"labels.txt": model.labels}
    lists |= {f"labels_{locale}.txt": names for locale, names in model.display_labels.items()}
    for name, labels in lists.items():
        (folder / assets / name).write_text("\n".join(labels) + "\n", encoding="utf-8")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
