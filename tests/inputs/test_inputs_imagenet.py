"""Teachers of ImageNet's classes on data that has some of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from learn2compress.cli import main
from learn2compress.core.errors import InputError
from learn2compress.inputs.checks import check_teacher_fits
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.imagenet import classes_called, classes_like, synsets
from learn2compress.inputs.teacher import load_teacher


def test_the_table_holds_the_thousand_classes_in_the_order_of_their_ids():
    ids = [synset.wnid for synset in synsets()]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    # Places that everyone who has used such a model knows.
    known = {0: "tench", 207: "golden retriever", 281: "tabby", 859: "toaster", 980: "volcano", 999: "toilet tissue"}
    assert {index: synsets()[index].names[0] for index in known} == known


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("n01440764", 0),
        ("n01440764_tench", 0),
        ("N02102040", 217),
        ("tench", 0),
        ("Tench, Tinca tinca", 0),
        ("tinca_tinca", 0),
        ("English springer", 217),
        ("english_springer", 217),
        ("ENGLISH-SPRINGER", 217),
        ("cassette player", 482),
        ("chainsaw", 491),
        ("jack-o'-lantern", 607),
        ("jack_o_lantern", 607),
        ("harp", 594),  # the instrument's own name; to the harp seal it is another name
    ],
)
def test_a_class_is_found_by_its_id_and_by_its_names_in_any_spelling(name, index):
    assert classes_called(name) == (index,)


def test_a_name_that_means_two_classes_names_both_and_one_that_means_none_the_nearest():
    assert classes_called("crane") == (134, 517)
    assert classes_called("n99999999") == ()
    assert classes_called("casette player") == ()
    assert str(classes_like("casette player")[0]) == "cassette player (n02979186)"
    assert classes_like("zzzzzz") == []


NAMES = ("French horn", "tench", "golf_ball")
INDICES = (566, 0, 574)


def coloured(names):
    """Images of three classes that differ in which channel is bright, in an .npz-like dictionary."""
    random = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = random.integers(0, 120, (120, 8, 8, 3))
    x[np.arange(120), :, :, y] += 100
    return {"x_train": x.astype(np.uint8), "y_train": y, "class_names": list(names)}


@pytest.fixture(scope="module")
def thousand(keras):
    """A model of 1,000 or 1,001 outputs that knows French horn, tench and golf ball by their colours."""

    def build(background=0):
        inputs = keras.layers.Input((8, 8, 3))
        mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 20)(inputs))
        model = keras.Model(inputs, keras.layers.Dense(1000 + background, activation="softmax")(mean))
        kernel = np.zeros((3, 1000 + background), np.float32)
        for channel, index in enumerate(INDICES):
            kernel[:, index + background] = np.eye(3)[channel] - 1 / 3
        model.layers[-1].set_weights([kernel, np.zeros(1000 + background, np.float32)])
        return model

    return build


@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize("names", [NAMES, ("n03394916", "n01440764", "n03445777")], ids=["names", "ids"])
def test_the_data_s_classes_are_found_among_the_thousand(thousand, events, progress, background, names):
    data = load_dataset(coloured(names))
    teacher = load_teacher(thousand(background), dataset=data, progress=progress)
    assert teacher.classes == 3
    assert teacher.preprocess.name == "raw"
    assert (teacher.predict(data.test.stacked).argmax(1) == data.test.labels).all()
    assert teacher.keras_model.output_shape == (None, 3)
    told = " ".join(event.message for event in events)
    for name, index in zip(names, INDICES, strict=True):
        assert f"{name} = output {index + background}" in told
    assert ("names" if names is NAMES else "WordNet ids") in told


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("French horn", "tench", "golf bal"), "golf ball"),
        (("French horn", "tench", "crane"), "n03126707"),
        (("French horn", "tench", "Tinca tinca"), "both are"),
    ],
    ids=["unknown", "ambiguous", "the same"],
)
def test_names_that_are_not_clear_are_refused_with_the_nearest(thousand, names, said):
    with pytest.raises(InputError, match=said) as caught:
        load_teacher(thousand(), dataset=load_dataset(coloured(names)))
    assert caught.value.code == "teacher.class_names"
    assert "WordNet" in caught.value.fix


def test_data_of_other_things_is_refused_by_the_number_of_classes(thousand):
    with pytest.raises(InputError, match="1000 classes") as caught:
        load_teacher(thousand(), dataset=load_dataset(coloured(("good", "bad", "ugly"))))
    assert caught.value.code == "teacher.class_count"


def test_the_usual_list_of_names_may_be_given_though_it_has_two_names_twice(thousand):
    usual = [synset.names[0] for synset in synsets()]
    assert {name for name in usual if usual.count(name) > 1} == {"crane", "maillot"}
    data = load_dataset(coloured(("French horn", "tench", "golf ball")), labels=usual)
    teacher = load_teacher(thousand(), dataset=data)
    assert (teacher.predict(data.test.stacked).argmax(1) == data.test.labels).all()
    # Which of two outputs a folder is, the list must say.
    birds = coloured(("French horn", "tench", "crane"))
    with pytest.raises(InputError, match=r"crane twice \(lines 135 and 518\)") as caught:
        load_dataset(birds, labels=usual)
    assert "'crane (other)'" in caught.value.fix
    usual[517] = "crane (other)"
    assert load_dataset(birds, labels=usual).class_names == ("tench", "crane", "French horn")


def test_inspect_says_what_was_found_and_takes_labels(thousand, tmp_path):
    thousand().save(tmp_path / "model.keras")
    data = coloured(NAMES)
    np.savez(tmp_path / "data.npz", **data)
    command = ["inspect", str(tmp_path / "model.keras"), "--data", str(tmp_path / "data.npz")]
    found = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert found["validation_accuracy"] == 1.0
    assert found["preprocessing"] == "raw"
    assert found["right_by_preprocessing"]["raw"] == 1.0
    assert any("golf_ball = output 574" in sentence for sentence in found["findings"])
    assert "in its layer rescaling" in " ".join(found["findings"])
    # The user's word goes before the names': with every output named otherwise, they are elsewhere.
    (tmp_path / "labels.txt").write_text("\n".join([*NAMES, *(f"class {i}" for i in range(997))]))
    refused = CliRunner().invoke(main, [*command, "--labels", str(tmp_path / "labels.txt")])
    assert refused.exit_code == 2


@pytest.mark.data
def test_a_published_model_of_the_thousand_classes_is_understood_whole(real_data, real_teacher, events, progress):
    data = load_dataset(real_data("imagenette"))
    teacher = load_teacher(real_teacher("mobilenet_v1_0.25_224_imagenet.h5"), dataset=data, progress=progress)
    assert teacher.classes == 10
    # What it was trained with, or what on these images does as well but for one or two of 128.
    accuracies = teacher.preprocess_accuracies
    assert accuracies["signed"] >= max(accuracies.values()) - 0.02
    assert check_teacher_fits(teacher, data) > 0.85
    assert any("n02979186 = output 482" in sentence for sentence in teacher.findings)
