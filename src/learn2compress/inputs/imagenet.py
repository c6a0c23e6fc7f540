"""The thousand classes of ImageNet (ILSVRC 2012) in the order in which models give them, and finding one by a name.

The table beside this module holds a line a class: the WordNet id of its synset, and the words of it. Classes are
ordered by id. Of WordNet's licence see the NOTICE beside it.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

CLASSES = 1000
_ID = re.compile(r"n\d{8}(?!\d)")
_NO_LETTERS = re.compile(r"[\W_]+")
_SIMILAR = 0.75  # of difflib's ratio: what differs more is not what was meant


@dataclass(frozen=True)
class Synset:
    """One class: its WordNet id (`n01440764`) and its names (`tench`, `Tinca tinca`), the usual one first."""

    wnid: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.names[0]} ({self.wnid})"


@cache
def synsets() -> tuple[Synset, ...]:
    """The classes, in the order of the outputs."""
    text = (files("learn2compress.inputs") / "imagenet_classes.txt").read_text(encoding="utf-8")
    lines = (line.split(" ", 1) for line in text.splitlines())
    return tuple(Synset(wnid, tuple(words.split(", "))) for wnid, words in lines)


@cache
def _by_id() -> dict[str, int]:
    return {synset.wnid: index for index, synset in enumerate(synsets())}


@cache
def _by_name() -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """Classes by their usual name, and by any name or by all of them together; the keys are `_plain`."""
    usual: dict[str, set[int]] = {}
    others: dict[str, set[int]] = {}
    for index, synset in enumerate(synsets()):
        usual.setdefault(_plain(synset.names[0]), set()).add(index)
        for name in (*synset.names[1:], ", ".join(synset.names)):
            others.setdefault(_plain(name), set()).add(index)
    return usual, others


def _plain(name: str) -> str:
    """Without case and signs: `English_springer`, `english-springer` and `English springer` are one name."""
    return _NO_LETTERS.sub(" ", name).strip().casefold()


def is_id(name: str) -> bool:
    """Whether a name is, or begins with, a WordNet id."""
    return _ID.match(name.strip().lower()) is not None


def classes_called(name: str) -> tuple[int, ...]:
    """Indices of the classes that a name may mean: none, one, or several where it is ambiguous.

    An id at the beginning (`n01440764`, `n01440764_tench`) goes before everything, a class' usual name before the
    other names of others; case, underscores, hyphens and commas don't matter.
    """
    wnid = _ID.match(name.strip().lower())
    if wnid:
        return (_by_id()[wnid[0]],) if wnid[0] in _by_id() else ()
    plain = _plain(name)
    usual, others = _by_name()
    return tuple(sorted(usual.get(plain) or others.get(plain) or ()))


def classes_like(name: str, most: int = 3) -> list[Synset]:
    """The classes whose names are spelled most like this one, the likest first; none where all differ much."""
    usual, others = _by_name()
    near = difflib.get_close_matches(_plain(name), [*usual, *others], n=2 * most, cutoff=_SIMILAR)
    found = [index for key in near for index in sorted(usual.get(key) or others[key])]
    return [synsets()[index] for index in dict.fromkeys(found)][:most]
