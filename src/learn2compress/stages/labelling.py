"""What the teacher says of the views, and how many of them no earlier run had asked it about."""

from __future__ import annotations

from dataclasses import dataclass

from learn2compress.core.cache import cache_folder
from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.dataset import Dataset, Predictor
from learn2compress.core.progress import Progress
from learn2compress.train.soft_labels import SoftLabels, soft_labels
from learn2compress.train.views import Views, ViewSpec

_KEY = "views labelled"


@dataclass(frozen=True)
class Labelling:
    """The teacher's labels of the training images of a run."""

    run: Checkpoints
    labeller: Predictor
    dataset: Dataset
    progress: Progress

    def of(self, spec: ViewSpec) -> tuple[Views, SoftLabels]:
        """The views and their labels, computed where the cache does not hold them.

        Raises:
            InputError: see `soft_labels`.
        """
        views = Views(self.dataset.train, spec)
        soft, computed = soft_labels(self.labeller, views, self.dataset.classes, cache_folder(), self.progress)
        self.run.note(_KEY, self.run.recall(_KEY, int) + computed)
        return views, soft

    def cached(self, spec: ViewSpec) -> int:
        """How many of the views an earlier run had labelled."""
        return max(0, spec.count - self.run.recall(_KEY, int))
