"""What differs from task to task, a row for each (there is one so far); nobody else asks "which task?"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from learn2compress.core.dataset import Dataset
from learn2compress.core.options import Options
from learn2compress.core.recipe import Recipe
from learn2compress.export.metadata import add_metadata
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.teacher import Teacher
from learn2compress.sources.protocol import MemberSource, Recall
from learn2compress.sources.routes import member_sources


@dataclass(frozen=True)
class Task:
    """One kind of work.

    Attributes:
        name: as it stands in the manifest.
        load_dataset: see `inputs.dataset.load_dataset`.
        sources: where the members can come from, see `sources.routes.member_sources`; the first is what to take where
            there is no time to try them.
        add_metadata: see `export.metadata.add_metadata`.
    """

    name: str
    load_dataset: Callable[..., Dataset]
    sources: Callable[[Teacher, Dataset, Options, Recall | None], list[MemberSource]]
    add_metadata: Callable[..., bytes]


IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    load_dataset=load_dataset,
    sources=member_sources,
    add_metadata=add_metadata,
)


def task_of(recipe: Recipe) -> Task:
    """The task of a run by this recipe, which is chosen nowhere else."""
    return IMAGE_CLASSIFICATION
