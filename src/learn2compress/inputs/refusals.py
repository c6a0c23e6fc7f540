"""Reasons to refuse data: the first one ends the reading, or all are kept while it goes on as far as it can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from learn2compress.core.errors import InputError


@dataclass(frozen=True)
class Refusals:
    """What becomes of the reasons.

    Attributes:
        kept: whether reading goes on after one, for who wants to see what is there all the same.
        found: those that were kept.
    """

    kept: bool = False
    found: list[InputError] = field(default_factory=list)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, a reason ends the block, and more than that only where reasons are not kept."""
        try:
            yield
        except InputError as error:
            if not self.kept:
                raise
            self.found.append(error)


STRICT = Refusals()
