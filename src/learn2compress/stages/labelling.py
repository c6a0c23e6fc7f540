"""What the teacher says of the views: how fast it does, and how many of them no earlier run had asked it about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from learn2compress.core.cache import cache_folder
from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.dataset import Dataset, Predictor
from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.inputs.teacher import Teacher
from learn2compress.measure.labeller import fastest_labeller
from learn2compress.stages.budget import COPIED, FEWEST_MIXED, mixed_for
from learn2compress.stages.planning import Plan
from learn2compress.train.soft_labels import SoftLabels, soft_labels
from learn2compress.train.views import Views, ViewSpec

# Images that labelling is timed on, up to so many times, unless that takes longer than so many seconds.
TIMED_VIEWS = 64
TIMED_ROUNDS, SHORTLY = 3, 0.5
_KEY = "views labelled"


@dataclass(frozen=True)
class Labelling:
    """The teacher's labels of the training images of a run."""

    run: Checkpoints
    labeller: Predictor
    dataset: Dataset
    progress: Progress

    def of(self, spec: ViewSpec) -> tuple[Views, SoftLabels]:
        """The views and their labels, computed where the cache does not hold them; so are copies of large photos.

        Raises:
            InputError: see `soft_labels` and `train.copies.Copies.make`.
        """
        views = Views(self.dataset.train, spec, cache_folder())
        if views.copies is not None:
            views.copies.make(self.progress)
        soft, computed = soft_labels(self.labeller, views, self.dataset.classes, cache_folder(), self.progress)
        self.run.note(_KEY, self.run.recall(_KEY, int) + computed)
        return views, soft

    def cached(self, spec: ViewSpec) -> int:
        """How many of the views an earlier run had labelled."""
        return max(0, spec.count - self.run.recall(_KEY, int))


def timed_labeller(
    run: Checkpoints,
    teacher: Teacher,
    baselines: Sequence[Path],
    plans: Iterable[Plan],
    dataset: Dataset,
    options: Options,
) -> tuple[Predictor, float, str]:
    """What labels the views, how many a second are made and labelled, and what it is called (see `fastest_labeller`).

    These are views of the images themselves, which are what all is measured on later; how many a second are made of
    copies of large photos, where there are any, the run remembers as `COPIED`.

    Args:
        baselines: the teacher's files, float32 first; may be empty.
        plans: tell whether half of the views are mixed, of two images each.
    """
    file = None if teacher.given_file else next(iter(baselines), None)
    labeller, _, name = fastest_labeller(teacher, file, dataset.validation)
    spec = mixed_for(plans, ViewSpec(FEWEST_MIXED, labeller.input_size, options.recipe.seed), options)
    views, copied = Views(dataset.train, spec), Views(dataset.train, spec, cache_folder())
    rate = run.recall("views per second", lambda: _views_per_second(labeller, views))
    run.recall(COPIED, lambda: 0.0 if copied.copies is None else _views_per_second(labeller, copied))
    return labeller, rate, name


def _views_per_second(labeller: Predictor, views: Views) -> float:
    """Timed on real ones: to decode a large photo takes longer than to run a small model on it."""
    spec, some = views.spec, np.linspace(0, len(views) - 1, 2 * TIMED_VIEWS).astype(np.int64)

    def label(indices: NDArray[np.int64]) -> None:
        # The first view and the last, which is mixed if any is.
        halves = views.batch(0, indices[::2]), views.batch(spec.count - 1, indices[1::2])
        labeller.predict(np.concatenate(halves))

    label(some[::2])  # loads, compiles, and decodes for good what is then held in memory
    if views.copies is not None:
        label(some[1::2])  # copies are made once
    seconds: list[float] = []
    # What a machine does beside it only ever adds to the time.
    while not seconds or (len(seconds) < TIMED_ROUNDS and sum(seconds) < SHORTLY):
        started = perf_counter()
        label(some[1::2])
        seconds.append(perf_counter() - started)
    return TIMED_VIEWS / min(seconds)
