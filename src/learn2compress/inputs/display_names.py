"""Class names in other languages, as an app shows them: `LOCALE=FILE`, one name a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from learn2compress.core.errors import InputError
from learn2compress.core.paths import at_home

LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")  # as in BCP 47: de, pt-BR, zh-Hans


def split_display_labels(given: Sequence[str]) -> dict[str, Path]:
    """Locale -> file, of texts such as `de=labels-de.txt`.

    Raises:
        InputError: `option.display_labels`.
    """
    files: dict[str, Path] = {}
    for text in given:
        locale, equals, file = text.partition("=")
        if not equals or not file or not LOCALE.fullmatch(locale):
            raise InputError(
                "option.display_labels",
                f"--display-labels {text!r} is not of the form LOCALE=FILE.",
                "write for example --display-labels de=labels-de.txt; a locale is a code such as de or pt-BR.",
            )
        if locale in files:
            raise InputError(
                "option.display_labels", f"--display-labels names {locale} twice.", "give one file for each language."
            )
        files[locale] = at_home(file)
    return files


def read_display_names(given: Sequence[str], class_names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Locale -> names, in the order of the class names.

    Raises:
        InputError: `option.display_labels`, or `labels.display` where a file has not one name a class.
    """
    return {locale: _names(locale, file, class_names) for locale, file in split_display_labels(given).items()}


def _names(locale: str, file: Path, class_names: Sequence[str]) -> tuple[str, ...]:
    try:
        names = tuple(file.read_text(encoding="utf-8-sig").strip("\r\n").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "labels.display",
            f"The labels in {locale}, {file}, can't be read ({error}).",
            "give a UTF-8 text file with one name a line.",
        ) from error
    if len(names) != len(class_names) or not all(name.strip() for name in names):
        raise InputError(
            "labels.display",
            f"{file} has {sum(bool(name.strip()) for name in names)} names for {len(class_names)} classes "
            f"({', '.join(class_names[:3])}{', …' if len(class_names) > 3 else ''}).",
            "write one name a line, in the order of the classes: that of the folders by name, or of --labels.",
        )
    return names
