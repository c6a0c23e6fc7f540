"""Fixed augmented views: the same K variants of every training image, each determined by its seed.

The teacher labels them once; training then meets exactly the images that were labelled ("consistent teaching",
Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", 2022). Views may also be mixed
with one another (Zhang et al., "mixup", 2018): of these there is no ground truth, and the teacher is less sure.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from learn2compress.core.cores import usable_cores
from learn2compress.core.dataset import Images, ImageSplit
from learn2compress.core.framing import SQUEEZE
from learn2compress.train.copies import copies_of

# Below this size objects fill the frame: shifting keeps them whole, cropping would not.
LARGEST_SHIFTED = 64
SHIFT_SHARE = 1 / 8
# How far a view is moved in training, as a share of the range that views are drawn from.
JITTER = 0.3
LAST_BELOW_ONE = 1 - 1e-9
# Of what a mixed view is made of, the image's own share.
OWN_SHARE = (0.5, 1.0)
# That what is random about them is remembered of: the one that is shown, and the next.
VIEWS_AT_HAND = 2
CROP_AREA = (0.35, 1.0)
CROP_ASPECT = (3 / 4, 4 / 3)
# A JPEG may be decoded at a part of its size, as long as what is cut out of it has so many times the view's sides.
# That is what evaluation leaves of it, too: enough for antialiasing.
LEFT_TO_SCALE = 2


@dataclass(frozen=True)
class ViewSpec:
    """What determines the views.

    Attributes:
        count: how many views of each image.
        size: (height, width) of a view.
        seed: of the random choices.
        flip: whether views are mirrored left-right (half of them; an image's next view is the mirror of this one).
        mixed: whether half of the views, the last ones, are each mixed with that of another image. In use, images are
            whole, so that as many stay so.
    """

    count: int
    size: tuple[int, int]
    seed: int
    flip: bool = True
    mixed: bool = False

    @property
    def whole(self) -> ViewSpec:
        """The first of the views, those that are not mixed."""
        return replace(self, count=-(-self.count // 2), mixed=False) if self.mixed else self

    def is_mixed(self, view: int) -> bool:
        """Whether view number `view` is a mix of two images."""
        return view >= self.whole.count

    def in_turns(self) -> list[int]:
        """All views in the order in which they are shown: a mixed one after each whole one."""
        whole = self.whole.count
        return sorted(range(self.count), key=lambda view: (view % whole, view))


class Views:
    """The views of one split.

    In-memory images of up to 64 px at the right size are reflected at the border and shifted by up to an eighth;
    all others are cropped at random (area 35-100 %, aspect 3:4 to 4:3) and resized. Of images that are squeezed into
    the input's shape it is the squeezed image that is cropped so: what is cut out is squeezed as much as the whole.
    JPEGs on disk are decoded no larger than a view needs; which part of the image it shows does not depend on that,
    nor on whether it is cut from a copy.

    Args:
        split: the images.
        spec: what determines the views.
        cache: a folder. With it, views of large images are cut from copies that are kept there (see `copies_of`),
            made when they are needed, or all at once before by `copies.make`. None: from the images themselves.

    Attributes:
        copies: of the large images; None where there are none, or no folder for them.
    """

    def __init__(self, split: ImageSplit, spec: ViewSpec, cache: Path | None = None) -> None:
        self.split, self.spec = split, spec
        stacked = split.stacked
        self._sizes = split.sizes
        right_size = stacked is not None and stacked.shape[1:3] == spec.size
        self.shifts = right_size and max(spec.size) <= LARGEST_SHIFTED
        self.copies = None if cache is None else copies_of(split, self._needed(), cache)
        self._pool = ThreadPoolExecutor(usable_cores())
        # Of a million images those of all views would be half a gigabyte; an epoch shows one view.
        self._randoms = lru_cache(VIEWS_AT_HAND)(partial(_drawn, spec.seed, len(split)))
        self._mixes = lru_cache(VIEWS_AT_HAND)(partial(_mixed, spec.seed, len(split)))

    def __len__(self) -> int:
        return len(self.split)

    @property
    def recipe(self) -> dict[str, object]:
        """Everything that determines the views beside the images, but for how many there are and their names."""
        kind: dict[str, object] = {"shift": SHIFT_SHARE}
        if not self.shifts:
            kind = {"area": CROP_AREA, "aspect": CROP_ASPECT}
            # Others are named as ever: their labels stay of use.
            if self.split.framing == SQUEEZE:
                kind["framing"] = SQUEEZE
            if self.split.stacked is None:
                kind["left to scale"] = LEFT_TO_SCALE
            if self.copies is not None:
                kind["copies"] = self.copies.recipe
        spec = self.spec
        return {"size": spec.size, "seed": spec.seed, "flip": spec.flip, **kind}

    def name(self, view: int) -> str:
        """Tells this view from the others of the recipe, and mixed ones from what they are without mixing."""
        return f"mixed-{OWN_SHARE[0]:g}-{view}" if self.spec.is_mixed(view) else f"view-{view}"

    def batch(self, view: int, indices: NDArray[np.int64], jitter: np.random.Generator | None = None) -> Images:
        """View number `view` (0 <= view < count) of the images: uint8 (len(indices), *size, 3).

        Args:
            jitter: moves each view a little, and mirrors it at random where mirroring is allowed: so close to the
                view that its soft label still holds, and never the same twice. Of what a mixed view is made of, it
                moves both.
        """
        own = self._whole(view, indices, jitter)
        if not self.spec.is_mixed(view):
            return own
        partners, shares = self._mixes(view)
        other = self._whole(view, partners[indices], jitter)
        share = shares[indices][:, None, None, None]
        mixed: Images = np.rint(share * own + (1 - share) * other).astype(np.uint8)
        return mixed

    def _whole(self, view: int, indices: NDArray[np.int64], jitter: np.random.Generator | None) -> Images:
        """The views of these images before any mixing."""
        mirrored = self._mirrored(view)[indices]
        randoms = self._randoms(view)[indices]
        if jitter is not None:
            randoms = np.clip(randoms + jitter.uniform(-JITTER, JITTER, randoms.shape), 0, LAST_BELOW_ONE)
            if self.spec.flip:
                mirrored = mirrored ^ (jitter.random(len(indices)) < 0.5)
        if self.shifts:
            return self._shifted(indices, randoms, mirrored)

        def one(position: int) -> Images:
            return self._cropped(int(indices[position]), randoms[position], bool(mirrored[position]))

        return np.stack(list(self._pool.map(one, range(len(indices)))))

    def _mirrored(self, view: int) -> NDArray[np.bool_]:
        if not self.spec.flip:
            return np.zeros(len(self.split), bool)
        first = np.random.default_rng([self.spec.seed, 1 << 16]).random(len(self.split)) < 0.5
        return first ^ bool(view % 2)

    def _shifted(
        self, indices: NDArray[np.int64], randoms: NDArray[np.float64], mirrored: NDArray[np.bool_]
    ) -> Images:
        # One gather for the whole batch: ten times as fast as a loop over images, and faster than training. Places
        # beyond the border are reflected, not the images padded: that would hold them all again, and more.
        height, width = self.spec.size
        rows, columns = _places(randoms[:, 0], height), _places(randoms[:, 1], width)
        columns = np.where(mirrored[:, None], columns[:, ::-1], columns)
        images = self.split.stacked
        assert images is not None  # only shifted views come here
        return images[indices[:, None, None], rows[:, :, None], columns[:, None, :]]

    def _cropped(self, index: int, randoms: NDArray[np.float64], mirrored: bool) -> Images:
        height, width = map(int, self._sizes[index])
        left, top, right, bottom = self._box(height, width, randoms)
        # Of a copy too the size of the image itself tells what is cut out.
        source = self.split if self.copies is None else self.copies
        image = source.image(index, self._least_side(height, width, right - left, bottom - top))
        # Of a photo that was decoded at a part of its size, or its copy, the same region: 1 else.
        down, across = image.shape[0] / height, image.shape[1] / width
        box = (
            left * across,
            top * down,
            min(right * across, image.shape[1]),
            min(bottom * down, image.shape[0]),
        )
        picture = Image.fromarray(image).resize(self.spec.size[::-1], Image.Resampling.BILINEAR, box=box)
        result: Images = np.asarray(picture)
        return result[:, ::-1] if mirrored else result

    def _box(self, height: Any, width: Any, randoms: NDArray[np.float64]) -> tuple[Any, Any, Any, Any]:
        """(left, top, right, bottom) of a crop, in pixels of an image of this size; arrays where sizes are."""
        low, high = CROP_AREA
        area = (low + (high - low) * randoms[0]) * height * width
        aspect = np.exp(np.log(CROP_ASPECT[0]) + randoms[1] * np.log(CROP_ASPECT[1] / CROP_ASPECT[0]))
        if self.split.framing == SQUEEZE:
            aspect *= width / height
        crop_w = np.minimum(width, np.sqrt(area * aspect))
        crop_h = np.minimum(height, np.sqrt(area / aspect))
        left, top = randoms[2] * (width - crop_w), randoms[3] * (height - crop_h)
        return left, top, left + crop_w, top + crop_h

    def _needed(self) -> NDArray[np.float64]:
        """Pixels that the shorter side of each image needs for its smallest crop to have as many as a view."""
        to_spare = []
        heights, widths = self._sizes.T
        for aspect in (0, 1):  # the narrowest crop and the flattest
            left, top, right, bottom = self._box(heights, widths, np.array([0, aspect, 0, 0]))
            to_spare += [(bottom - top) / self.spec.size[0], (right - left) / self.spec.size[1]]
        needed: NDArray[np.float64] = self._sizes.min(axis=1) / np.min(to_spare, axis=0)
        return needed

    def _least_side(self, height: int, width: int, crop_w: float, crop_h: float) -> int:
        """Pixels that the shorter side of an image of this size needs for a crop of it to be scaled down well."""
        to_spare = min(crop_h / self.spec.size[0], crop_w / self.spec.size[1]) / LEFT_TO_SCALE
        return ceil(min(height, width) / to_spare)


def _places(randoms: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Which rows (or columns) of images of so many a shifted view shows, shape (images, size); reflected beyond."""
    most = int(size * SHIFT_SHARE)
    places = (randoms * (2 * most + 1)).astype(np.int64)[:, None] - most + np.arange(size)
    return size - 1 - np.abs(size - 1 - np.abs(places))


def _drawn(seed: int, images: int, view: int) -> NDArray[np.float64]:
    """Four numbers in [0, 1) for every image's view, shape (images, 4)."""
    return np.random.default_rng([seed, view]).random((images, 4))


def _mixed(seed: int, images: int, view: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each image, which other its view is mixed with, and its own share; (images,) both."""
    random = np.random.default_rng([seed, 2 << 16, view])
    # Each image is the partner of one: all are seen as often.
    return random.permutation(images), random.uniform(*OWN_SHARE, images).astype(np.float32)
