"""Batches of views with their soft labels: which images a training step sees, determined by the seed."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn2compress.train.losses import NO_LABEL
from learn2compress.train.soft_labels import SoftLabels
from learn2compress.train.trainable import resized
from learn2compress.train.views import Views

PREFETCHED = 4
REMEMBERED_BYTES = 700_000_000


class LabelledViews:
    """Batches `(pixels, (labels, soft labels))`; each epoch shows one view of all images, the next epoch the next.

    Args:
        mixed: whether the views that are mixed are shown too; their labels are `NO_LABEL`.
    """

    def __init__(self, views: Views, soft: SoftLabels, batch_size: int, seed: int, mixed: bool = True) -> None:
        self.views, self.soft, self.seed, self.mixed = views, soft, seed, mixed
        self._shown = (views.spec if mixed else views.spec.whole).in_turns()
        self.batch_size = min(batch_size, len(views))
        self._shuffled: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        """Steps in an epoch; what is left over is met in other epochs, which are shuffled anew."""
        return len(self.views) // self.batch_size

    def batch(self, step: int) -> tuple[Any, tuple[Any, Any]]:
        """The batch of a step, counted from 0 over all epochs: determined by the seed."""
        epoch, number = divmod(step, len(self))
        order = self._order(epoch)
        # Sorted, so that reading from disk goes forward; the batch itself has no order.
        indices = np.sort(order[number * self.batch_size : (number + 1) * self.batch_size])
        view = self._shown[epoch % len(self._shown)]
        labels = self.views.split.labels[indices].astype(np.int64)
        if self.views.spec.is_mixed(view):
            labels[:] = NO_LABEL
        # The few fixed views alone would be learnt by heart: on CIFAR-10, three of them left 97 % in training and
        # 87 % in testing.
        jitter = np.random.default_rng([self.seed, 1, step])
        return self.views.batch(view, indices, jitter), (labels, self.soft.batch(view, indices))

    def whole(self) -> LabelledViews:
        """Batches of the views that are not mixed; these themselves where none is."""
        if not (self.mixed and self.views.spec.mixed):
            return self
        return LabelledViews(self.views, self.soft, self.batch_size, self.seed, mixed=False)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The images of the data set in the order of an epoch; that of the last one asked for is kept."""
        # Read once and written whole: another thread may be asking for another epoch.
        shuffled = self._shuffled
        if shuffled is None or shuffled[0] != epoch:
            shuffled = epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.views))
            self._shuffled = shuffled
        return shuffled[1]

    def of_size(self, size: tuple[int, int]) -> LabelledViews:
        """The same batches with images resized to (height, width)."""
        return _ResizedViews(self, size)

    def remembered(self) -> LabelledViews:
        """The same batches; the first ones are made once and kept in memory."""
        return _RememberedViews(self)

    def prefetched(self, first: int = 0) -> Generator[tuple[Any, tuple[Any, Any]]]:
        """Endless batches from that of step `first` on, made ahead in another thread."""
        with ThreadPoolExecutor(1) as pool:
            step = first + PREFETCHED
            waiting: list[Future[Any]] = [pool.submit(self.batch, number) for number in range(first, step)]
            try:
                while True:
                    batch = waiting.pop(0).result()
                    waiting.append(pool.submit(self.batch, step))
                    step += 1
                    yield batch
            finally:
                for future in waiting:
                    future.cancel()


class _ChangedViews(LabelledViews):
    """Batches of others, changed."""

    def __init__(self, batches: LabelledViews) -> None:
        super().__init__(batches.views, batches.soft, batches.batch_size, batches.seed, batches.mixed)
        self._batches = batches


class _ResizedViews(_ChangedViews):
    def __init__(self, batches: LabelledViews, size: tuple[int, int]) -> None:
        super().__init__(batches)
        self._size = size

    def batch(self, step: int) -> tuple[Any, tuple[Any, Any]]:
        pixels, labels = self._batches.batch(step)
        if pixels.shape[1:3] == self._size:
            return pixels, labels
        return np.asarray(resized(pixels.astype(np.float32), self._size)), labels


class _RememberedViews(_ChangedViews):
    def __init__(self, batches: LabelledViews) -> None:
        super().__init__(batches)
        self._known: dict[int, tuple[Any, tuple[Any, Any]]] = {}
        self._free = REMEMBERED_BYTES

    def batch(self, step: int) -> tuple[Any, tuple[Any, Any]]:
        if step in self._known:
            return self._known[step]
        made = self._batches.batch(step)
        if made[0].nbytes <= self._free:
            self._free -= made[0].nbytes
            self._known[step] = made
        return made
