from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from learn2compress.inputs.alike import Alike, find_alike
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.grouping import settled_groups, taken_whole
from learn2compress.inputs.looks import look_of, looks_of


def picture(seed: int, size: int = 96) -> Image.Image:
    """Something with structure at all scales, like a photo."""
    random = np.random.default_rng(seed)
    layers = [
        Image.fromarray(random.integers(0, 256, (n, n, 3), np.uint8)).resize((size, size), 3) for n in (3, 8, 24)
    ]
    mixed = Image.blend(Image.blend(layers[0], layers[1], 0.4), layers[2], 0.2)
    return mixed.filter(ImageFilter.GaussianBlur(0.7))


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=60)
    return Image.open(buffer)


CHANGES = {
    "compressed": jpeg,
    "smaller": lambda image: image.resize((60, 60), Image.Resampling.BICUBIC).resize(image.size),
    "brighter": lambda image: image.point(lambda value: min(255, round(value * 1.06 + 3))),
    "cropped a little": lambda image: image.crop((1, 1, 95, 95)).resize(image.size),
}


def groups(images) -> list[list[int]]:
    """Groups of more than one, of images at one size."""
    pixels = np.stack([np.asarray(image) for image in images])
    near = find_alike(looks_of(pixels), lambda i: pixels[i]).near
    return [np.flatnonzero(near == name).tolist() for name in np.unique(near) if (near == name).sum() > 1]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_copy_is_found_among_other_images(change):
    images = [picture(seed) for seed in range(40)]
    assert groups([*images, change(images[7]), change(images[3])]) == [[3, 41], [7, 40]]


def test_a_copy_of_a_copy_is_in_the_same_group():
    images = [picture(seed) for seed in range(10)]
    assert groups([*images, images[2], jpeg(images[2]), jpeg(images[2])]) == [[2, 10, 11, 12]]


def test_images_without_contrast_are_alike_only_where_every_pixel_is():
    random = np.random.default_rng(0)
    plain = [Image.new("RGB", (32, 32), (200, 200, 200 + i)) for i in range(5)]
    noise = [Image.fromarray(random.integers(100, 108, (32, 32, 3), np.uint8)) for _ in range(20)]
    assert groups([*plain, *noise]) == []
    assert groups([*plain, *noise, plain[1], noise[4]]) == [[1, 25], [9, 26]]


def test_another_colour_or_brightness_makes_another_image():
    image = picture(1)
    dark = image.point(lambda value: value // 3)
    turned = Image.fromarray(np.asarray(image)[..., ::-1])
    assert groups([image, dark, turned]) == []


@pytest.mark.parametrize("size", [(9, 9), (32, 20), (5, 7), (100, 161)])
def test_the_look_is_the_mean_of_what_each_pixel_covers(size):
    pixels = np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)
    fine = pixels.repeat(9, axis=1).repeat(9, axis=2).astype(float)
    expected = fine.reshape(3, 9, size[0], 9, size[1], 3).mean(axis=(2, 4))
    assert np.abs(looks_of(pixels) - expected).max() <= 0.51
    assert np.array_equal(looks_of(pixels), looks_of(list(pixels)))
    assert np.array_equal(look_of(Image.fromarray(pixels[1])), looks_of(pixels)[1])


def test_nothing_has_no_groups():
    assert len(find_alike(looks_of([]), lambda i: np.zeros((1, 1, 3), np.uint8)).near) == 0


@st.composite
def grouped(draw):
    """Labels and groups of examples; each class has at least six groups, the largest at most a third of it."""
    labels, groups = [], []
    for label in range(draw(st.integers(2, 4))):
        for size in draw(st.lists(st.integers(1, 4), min_size=12, max_size=40)):
            group = (max(groups) + 1) if groups else 0
            labels += [label] * size
            groups += [group] * size
    order = np.random.default_rng(draw(st.integers(0, 9))).permutation(len(labels))
    return np.array(labels, np.int64)[order], np.array(groups, np.int64)[order]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(grouped(), st.integers(0, 5))
def test_a_group_is_taken_whole_and_each_class_gets_about_its_share(case, seed):
    labels, groups = case
    counts = {int(c): max(1, round(0.1 * int((labels == c).sum()))) for c in np.unique(labels)}
    taken = taken_whole(labels, groups, counts, seed, 1)
    assert np.array_equal(taken, taken_whole(labels, groups, counts, seed, 1))
    rest = np.delete(np.arange(len(labels)), taken)
    assert not set(groups[taken]) & set(groups[rest])
    for label, count in counts.items():
        got = int((labels[taken] == label).sum())
        assert max(1, count - 3) <= got <= max(count, 4)
        assert (labels[rest] == label).any()


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(grouped(), st.integers(0, 5))
def test_made_splits_keep_copies_together_and_have_every_class(case, seed):
    labels, groups = case
    bases = np.random.default_rng(1).integers(0, 256, (int(groups.max()) + 1, 9, 9, 3), np.uint8)
    dataset = load_dataset((bases[groups], labels), seed=seed)
    again = load_dataset((bases[groups], labels), seed=seed)
    sides = []
    for part in ("train", "validation", "test"):
        split = getattr(dataset, part)
        assert set(split.labels) == set(labels)
        assert split.fingerprint == getattr(again, part).fingerprint
        sides.append({split.image(i).tobytes() for i in range(len(split))})
    # An image that were on two sides would be counted twice.
    assert sum(map(len, sides)) == len(np.unique(groups))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(grouped(), st.integers(0, 5))
def test_groups_across_classes_stay_whole_too(case, seed):
    labels, groups = case
    groups = groups // 2  # at class borders, and now and then: examples of two classes in one group
    random = np.random.default_rng(seed)
    labels = np.where(random.random(len(labels)) < 0.05, (labels + 1) % (labels.max() + 1), labels)
    counts = {int(c): max(1, round(0.1 * int((labels == c).sum()))) for c in np.unique(labels)}
    taken = taken_whole(labels, groups, counts, seed, 1)
    rest = np.delete(np.arange(len(labels)), taken)
    assert not set(groups[taken]) & set(groups[rest])
    assert set(labels[rest]) == set(labels)


def test_a_class_of_one_picture_is_split_all_the_same_and_it_is_said():
    red = np.full((20, 8, 8, 3), (200, 0, 0), np.uint8)
    other = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    dataset = load_dataset((np.concatenate([red, other]), np.repeat([0, 1], 20)))
    assert [np.bincount(split.labels).tolist() for split in (dataset.test, dataset.validation)] == [[2, 2], [2, 2]]
    assert any("too much alike" in note and note.endswith("0") for note in dataset.notes)


def test_a_group_of_more_than_half_a_class_falls_back_to_exact_copies():
    labels = np.repeat([0, 1], 30)
    near = np.arange(60)
    near[:20] = 0
    exact = np.arange(60)
    exact[1] = 0
    settled, given_up = settled_groups(Alike(exact, near), labels, 3)
    assert np.array_equal(settled, exact)
    assert given_up == (0,)


def shared(events):
    return [event for event in events if event.kind == "warning" and "too much" in event.message]


def test_images_that_given_splits_share_are_warned_of_with_names(make_folder, events, progress):
    root = make_folder({f"{part}/{kind}": 8 for part in ("train", "val", "test") for kind in "ab"}, size=(96, 96))
    for n, path in enumerate(sorted(root.rglob("*.png"))):
        picture(n).save(path)
    load_dataset(root, progress=progress)
    assert not shared(events)
    picture_of_train = root / "train" / "a" / "003.png"
    (root / "test" / "a" / "001.png").write_bytes(picture_of_train.read_bytes())
    jpeg(Image.open(picture_of_train)).save(root / "test" / "b" / "new.jpg", quality=70)
    dataset = load_dataset(root, progress=progress)
    (warning,) = shared(events)
    assert "2 images of the test split (11.8%) are in the train split too: 1 with the same pixels, 1 nearly" in (
        warning.message
    )
    assert "test/a/001.png and train/a/003.png" in warning.message
    assert any("in the train split too" in note for note in dataset.notes)


def test_test_data_that_repeats_training_data_is_warned_of(events, progress):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)
    labels = np.arange(40) % 2
    load_dataset((pixels, labels), test_data=(pixels[:10], labels[:10]), progress=progress)
    (warning,) = shared(events)
    assert warning.data == {"exact": 10, "near": 0}


@pytest.mark.data
def test_the_known_duplicates_of_cifar_are_found_and_little_else(real_data, events, progress):
    with np.load(real_data("cifar10_3k.npz")) as file:
        pixels = np.concatenate([file["x_train"], file["x_test"]])
    copies = np.stack([np.asarray(jpeg(Image.fromarray(image))) for image in pixels[:100]])
    split = ArraySplit(np.concatenate([pixels, copies]), np.zeros(len(pixels) + 100, np.int64))
    near = find_alike(split.looks, split.image).near
    assert (near[len(pixels) :] == near[:100]).mean() >= 0.9
    alone = find_alike(split.looks[: len(pixels)], split.image).near
    assert len(pixels) - len(np.unique(alone)) <= 5
