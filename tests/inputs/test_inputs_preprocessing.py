from __future__ import annotations

import numpy as np
import pytest

from learn2compress.core.errors import InputError
from learn2compress.inputs.preprocessing import NAMED, candidates, parse_preprocess
from learn2compress.inputs.preprocessing_search import choose_preprocessing, rescaling_layer

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("raw", PIXELS.astype(np.float32)),
        ("unit", PIXELS / 255),
        ("signed", PIXELS / 127.5 - 1),
        ("torch", (PIXELS / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
        ("caffe", PIXELS[..., ::-1] - np.array([103.939, 116.779, 123.68])),
        ("lite", (PIXELS - 127.0) / 128),
        ("raw-bgr", PIXELS[..., ::-1]),
        ("unit-bgr", PIXELS[..., ::-1] / 255),
        ("signed-bgr", PIXELS[..., ::-1] / 127.5 - 1),
        ("caffe-rgb", PIXELS - np.array([123.68, 116.779, 103.939])),
        ("mnist", (PIXELS / 255 - 0.1307) / 0.3081),
        ("100,50", (PIXELS - 100.0) / 50),
        ("1,2,3,4,5,6", (PIXELS - np.array([1.0, 2, 3])) / [4, 5, 6]),
    ],
)
def test_each_convention_is_what_its_models_were_trained_with(name, expected):
    preprocess = parse_preprocess(name)
    assert preprocess is not None
    applied = preprocess.apply(PIXELS)
    assert applied.dtype == np.float32
    np.testing.assert_allclose(applied, expected, rtol=1e-4, atol=1e-4)


def test_a_grey_model_gets_one_channel():
    grey = NAMED["unit"].apply(PIXELS, channels=1)
    assert grey.shape == (3, 5, 4, 1)
    np.testing.assert_allclose(grey[..., 0], PIXELS @ np.array([0.299, 0.587, 0.114]) / 255, atol=0.003)


@pytest.mark.parametrize("text", ["none", "", "1", "1,0", "1,-2", "a,b", "1,2,3", "nan,1", "1,inf"])
def test_an_unknown_preprocessing_is_refused(text):
    with pytest.raises(InputError) as caught:
        parse_preprocess(text)
    assert caught.value.code == "preprocess.unknown"


@pytest.mark.parametrize("count", [3, 40, 256])
@pytest.mark.parametrize("winner", candidates(3))
def test_the_most_accurate_candidate_wins_and_is_told(winner, count, events, progress):
    labels = np.arange(count) % 3

    def outputs(candidate, indices):
        right = labels[indices] if candidate.name == winner else (labels[indices] + 1) % 3
        return np.eye(3)[right]

    assert choose_preprocessing(outputs, labels, 3, progress).preprocess.name == winner
    notes = [event.message for event in events if event.kind == "note"]
    assert len(notes) == 1
    assert winner in notes[0]


def test_raw_wins_ties_and_outputs_that_are_no_numbers_count_as_wrong(progress):
    labels = np.zeros(8, np.int64)

    def outputs(candidate, indices):
        return np.full((len(indices), 2), np.nan if candidate.name == "unit" else 0.0)

    assert choose_preprocessing(outputs, labels, 3, progress).preprocess.name == "raw"


def test_what_lies_a_whisker_from_the_winner_is_no_runner_up_and_the_usual_name_wins(events, progress):
    labels = np.arange(200) % 3

    def outputs(candidate, indices):
        good = candidate.name in ("signed", "lite")
        # `lite` is right on all; `signed`, the usual, errs once: no reason to prefer the other.
        right = good & ((indices != 5) | (candidate.name == "lite"))
        return np.eye(3)[np.where(right, labels[indices], (labels[indices] + 1 + indices % 2) % 3)]

    found = choose_preprocessing(outputs, labels, 3, progress)
    assert found.preprocess.name == "signed"
    assert found.accuracies["lite"] == 1.0
    (note,) = [event.message for event in events if event.kind == "note"]
    assert "next is lite" not in note
    assert "close" not in note


def test_an_unusual_convention_wins_only_where_chance_can_t_explain_it(progress):
    labels = np.arange(200) % 2

    def outputs(candidate, indices, errors):
        wrong = (indices % 20 < errors) if candidate.name == "unit" else indices % 20 == 19
        wrong |= candidate.name not in ("unit", "unit-bgr")
        return np.eye(2)[np.where(wrong, 1 - labels[indices], labels[indices])]

    slightly = choose_preprocessing(lambda c, i: outputs(c, i, errors=2), labels, 3, progress)
    clearly = choose_preprocessing(lambda c, i: outputs(c, i, errors=4), labels, 3, progress)
    assert slightly.accuracies["unit-bgr"] > slightly.accuracies["unit"]
    assert slightly.preprocess.name == "unit"
    assert clearly.preprocess.name == "unit-bgr"


@pytest.mark.parametrize("nested", [False, True])
def test_a_model_that_rescales_by_itself_wants_raw_pixels_and_the_note_says_so(keras, progress, events, nested):
    layers = keras.layers
    front = [layers.Rescaling(1 / 255, name="own_scale")]
    inside = keras.Sequential([layers.Input((4, 4, 3)), *front]) if nested else front[0]
    model = keras.Sequential([layers.Input((4, 4, 3)), inside, layers.Conv2D(2, 1), layers.GlobalAveragePooling2D()])
    assert rescaling_layer(model) == "own_scale"
    late = keras.Sequential([layers.Input((4, 4, 3)), layers.Conv2D(2, 1), layers.Rescaling(2.0)])
    assert not rescaling_layer(late)
    assert not rescaling_layer(None)

    labels = np.arange(60) % 2
    found = choose_preprocessing(lambda c, i: np.eye(2)[labels[i]], labels, 3, progress, rescales="own_scale")
    assert found.preprocess.name == "raw"
    (note,) = [event.message for event in events if event.kind == "note"]
    assert "rescales pixels itself, in its layer own_scale" in note
    assert "close" not in note


def test_images_of_few_classes_are_asked_for_only_where_those_of_many_say_nothing(events, progress):
    labels, few = np.arange(256) % 200, np.repeat(np.arange(0, 64, 2), 8)
    asked = []

    def only(winner, said):
        return lambda c, indices: np.eye(200)[said[indices]] if c.name == winner else np.zeros((len(indices), 200))

    def of_few_classes():
        asked.append(len(few))
        return only("unit", (few + 3) % 200), few

    in_order = choose_preprocessing(only("torch", labels), labels, 3, progress, of_few_classes=of_few_classes)
    assert in_order.preprocess.name == "torch"
    assert not asked
    moved = only("unit", (labels + 3) % 200)
    found = choose_preprocessing(moved, labels, 3, progress, of_few_classes=of_few_classes)
    assert found.preprocess.name == "unit"
    assert asked == [256]
    assert (found.predicted == (labels + 3) % 200).all()
    note = events[-1].message if events[-1].kind == "note" else ""
    assert "unit (100.0% right on 256 training images, under another order of the labels" in note
    assert choose_preprocessing(moved, labels, 3, progress).preprocess.name == "raw"
