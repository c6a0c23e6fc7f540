"""Finding the images of a folder and making sure that each can be decoded, before anything is trained."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from learn2compress.core.errors import InputError
from learn2compress.core.progress import Progress
from learn2compress.inputs.decode import EXTENSIONS, ImageFile, StoredImage, bombs_refused, inspect, told
from learn2compress.inputs.geometry import pool
from learn2compress.inputs.refusals import STRICT, Refusals
from learn2compress.inputs.wording import counted, listed, shortened

UNDECODABLE_LIMIT = 0.05
NARROW = 4095  # of 65,535: with no value above, grey is nearly black, or is of 12 bits or fewer
_STEP = 64  # images between two progress events


@dataclass(frozen=True)
class Listing:
    """What lies in a class folder: image paths in sorted order, and other files counted by extension."""

    images: tuple[Path, ...]
    others: Counter[str]


@dataclass(frozen=True)
class Checked:
    """What decoding every image found.

    Attributes:
        files: one record for each path; None for a file that can't be decoded.
        broken: name and reason of each of these.
        notes: what was skipped, or looks odd.
    """

    files: tuple[ImageFile | None, ...]
    broken: tuple[str, ...]
    notes: tuple[str, ...]


def hidden(name: str) -> bool:
    """Whether a file or folder is the system's own (`.DS_Store`, `__MACOSX`)."""
    return name.startswith(".") or name == "__MACOSX"


def subfolders(folder: Path) -> list[Path]:
    """Visible folders directly inside, sorted by name."""
    return sorted((p for p in folder.iterdir() if p.is_dir() and not hidden(p.name)), key=lambda p: p.name)


def list_images(folder: Path, recursive: bool = True) -> Listing:
    """The images in a folder, by extension, and in the folders below it.

    Raises:
        OSError: where one of the folders can't be read.
    """

    def closed(error: OSError) -> None:  # which `os.walk` would pass over
        raise error

    images: list[Path] = []
    others: Counter[str] = Counter()
    seen = {os.path.realpath(folder)}

    def new(path: str) -> bool:
        """Whether a folder is to be gone into: links are followed, but not round and round, nor upwards."""
        real = os.path.realpath(path)
        if real in seen or os.path.realpath(folder).startswith(os.path.join(real, "")):  # noqa: PTH118
            return False
        seen.add(real)
        return True

    for where, below, names in os.walk(folder, onerror=closed, followlinks=True):
        below[:] = [
            name
            for name in (sorted(below) if recursive else [])
            if not hidden(name) and new(os.path.join(where, name))  # noqa: PTH118
        ]
        for name in names:
            path = Path(where, name)
            if hidden(name):
                continue
            if path.suffix.lower() in EXTENSIONS:
                images.append(path)
            else:
                others[path.suffix.lower() or name] += 1
    return Listing(tuple(sorted(images, key=lambda p: p.relative_to(folder).parts)), others)


def decodable(
    root: Path,
    paths: Sequence[Path],
    progress: Progress,
    lines: Sequence[int] | None = None,
    refusals: Refusals = STRICT,
) -> Checked:
    """Decodes every image once, on a pool of threads.

    Args:
        root: the folder that paths are told relative to.
        paths: image files.
        progress: gets steps, and a warning that names the files that are skipped.
        lines: where the paths were read from a file, the line of each; told with the path.
        refusals: what becomes of too many broken files.

    Raises:
        InputError: `dataset.undecodable` when more than 5 % of the files can't be decoded.
    """
    bad: list[str] = []
    files: list[ImageFile | None] = []
    with progress.stage("check images", total=len(paths)) as stage, bombs_refused():
        for number, (path, found) in enumerate(zip(paths, pool().map(_attempt, paths), strict=True), start=1):
            if isinstance(found, ImageFile):
                files.append(found)
            else:
                files.append(None)
                where = f"line {lines[number - 1]}: " if lines else ""
                bad.append(f"{where}{told(path, root)} ({found})")
            if number % _STEP == 0 or number == len(paths):
                stage.at(number)
    notes = skipped(bad, len(paths), root, progress, refusals)
    notes += warn_of_dark_grey([file for file in files if file is not None], root, progress)
    return Checked(tuple(files), tuple(bad), notes)


def skipped(
    bad: Sequence[str], count: int, root: Path, progress: Progress, refusals: Refusals = STRICT
) -> tuple[str, ...]:
    """Says which images are skipped, or refuses where they are too many.

    Args:
        bad: name and reason of each image that can't be decoded.
        count: images looked at.
        root: where they are.
        progress: gets a warning; its data `files` has all of `bad`.
        refusals: what becomes of too many.

    Returns:
        Notes.

    Raises:
        InputError: `dataset.undecodable` when more than 5 % can't be decoded.
    """
    if not bad:
        return ()
    with refusals.held():
        _refuse_many(bad, count, root)
        verb = "is" if len(bad) == 1 else "are"
        message = f"{counted(len(bad), 'image')} can't be decoded and {verb} skipped: {listed(bad)}"
        progress.warn(message, "check images", files=list(bad))
        return (message,)
    return ()


def _refuse_many(bad: Sequence[str], count: int, root: Path) -> None:
    if len(bad) > UNDECODABLE_LIMIT * count:
        raise InputError(
            "dataset.undecodable",
            f"{len(bad)} of {counted(count, 'image')} in {root} can't be decoded: {listed(bad)}.",
            f"replace or delete them (l2c inspect --data names them all); at most {UNDECODABLE_LIMIT:.0%} are "
            "skipped.",
        )


def warn_of_dark_grey(images: Iterable[StoredImage], root: Path, progress: Progress) -> tuple[str, ...]:
    """Warns of 16-bit grey that comes out nearly black, as values of 8 or 12 bits in files of 16 do.

    They are not made brighter: an image that is dark beside others must stay so.

    Args:
        images: those that can be decoded.
        root: what they are told relative to.
        progress: gets a warning.

    Returns:
        Notes.
    """
    deep = [(image, image.facts.brightest) for image in images if image.facts.brightest is not None]
    dark = [f"{image.told(root)} (up to {most:,})" for image, most in deep if most <= NARROW]
    if not dark:
        return ()
    message = (
        f"{len(dark)} of {counted(len(deep), 'image')} in 16-bit grey {'has' if len(dark) == 1 else 'have'} no value "
        f"above {NARROW:,} of 65,535, which is nearly black: {listed(dark)}. Where the values are of 12 bits, "
        "multiply them by 16; where they are of 8, save the images as such"
    )
    progress.warn(message, "check images")
    return (message,)


def _attempt(path: Path) -> ImageFile | str:
    try:
        return inspect(path)
    except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged bytes; the file is reported by name
        return reason(error, path)


def reason(error: Exception, path: Path) -> str:
    """Why an image can't be decoded, in a few words."""
    if type(error).__name__.startswith("DecompressionBomb"):
        return "it has too many pixels"
    return shortened(error, 80).replace(str(path), path.name)
