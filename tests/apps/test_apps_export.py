"""Folders that apps are built from: complete, or not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import learn2compress
from learn2compress.cli import main
from learn2compress.core.errors import InputError
from learn2compress.core.family import Family
from learn2compress.export.metadata import add_metadata

TARGETS = {
    "android": {
        "README.md",
        "app/build.gradle.kts",
        "app/src/main/assets/labels.txt",
        "app/src/main/assets/small.tflite",
        "app/src/main/java/com/example/classifier/Classifier.kt",
        "app/src/main/java/com/example/classifier/MlKitClassifier.kt",
        "app/src/main/java/com/example/classifier/Photo.kt",
    },
    "ios": {"Classifier.swift", "Photo.swift", "Podfile", "README.md", "labels.txt", "small.tflite"},
    "web": {"README.md", "classifier.js", "index.html", "labels.txt", "package.json", "small.tflite"},
    "python": {"README.md", "classify.py", "labels.txt", "requirements.txt", "small.tflite"},
    "micro": {
        "README.md",
        "classifier.cc",
        "classifier.h",
        "labels.txt",
        "model_data.cc",
        "model_data.h",
        "small.tflite",
    },
}


def files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("target", sorted(TARGETS.keys() - {"micro"}))
def test_each_folder_has_the_members_file_unchanged_its_labels_and_code(
    clothing: Path, tmp_path: Path, target: str
) -> None:
    out = learn2compress.export(clothing, "small", target, tmp_path / "new" / "app")
    found = files(out)
    assert set(found) == TARGETS[target]
    model = next(path for name, path in found.items() if name.endswith("small.tflite"))
    assert model.read_bytes() == (clothing / "models" / "small.tflite").read_bytes()
    labels = next(path for name, path in found.items() if name.endswith("labels.txt"))
    assert labels.read_text().splitlines()[:3] == ["dress", "hat", "longsleeve"]
    assert "79.8 % of 372 test images" in (out / "README.md").read_text()
    assert "1.23 ms" in (out / "README.md").read_text()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["app"]


def test_the_folder_for_a_microcontroller_is_complete(micro: Path) -> None:
    assert set(files(micro)) == TARGETS["micro"]


def test_the_command_says_what_it_wrote(clothing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["export", str(clothing), "--member", "small", "--to", "python", "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["folder"] == str(tmp_path / "small-python")
    assert set(document["files"]) == TARGETS["python"]
    done = CliRunner().invoke(main, ["export", str(clothing), "--member", "small", "--to", "ios"])
    assert "small-ios" in done.stdout
    assert "Classifier.swift" in done.stdout


@pytest.mark.parametrize(
    ("member", "target", "code"),
    [("large", "web", "member.unknown"), ("small", "windows", "export.target")],
)
def test_what_is_not_there_is_refused_and_nothing_is_written(
    clothing: Path, tmp_path: Path, member: str, target: str, code: str
) -> None:
    arguments = [
        "export",
        str(clothing),
        "--member",
        member,
        "--to",
        target,
        "--out",
        str(tmp_path / "app"),
        "--json",
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == code
    assert error["fix"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_stays_as_it_is(clothing: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError) as caught:
        learn2compress.export(clothing, "small", "ios", tmp_path)
    assert caught.value.code == "out.not_empty"
    with pytest.raises(InputError) as caught:
        learn2compress.export(clothing, "small", "ios", tmp_path / "mine.txt" / "app")
    assert caught.value.code == "out.not_a_folder"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_family_without_members_says_how_to_get_one(clothing: Path, tmp_path: Path) -> None:
    Family.load(clothing).model_copy(update={"members": ()}).write(tmp_path)
    with pytest.raises(InputError) as caught:
        learn2compress.export(tmp_path, "small", "python", tmp_path / "app")
    assert caught.value.code == "family.no_members"
    assert "has no members" in caught.value.what
    assert "l2c compress" in caught.value.fix


def test_a_family_without_the_members_file_is_refused(clothing: Path, tmp_path: Path) -> None:
    (tmp_path / "family.json").write_bytes((clothing / "family.json").read_bytes())
    with pytest.raises(InputError) as caught:
        learn2compress.export(tmp_path, "small", "ios", tmp_path / "app")
    assert caught.value.code == "tflite.missing"
    assert not (tmp_path / "app").exists()


def test_an_int8_member_has_no_code_for_what_takes_none(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        learn2compress.export(tiny, "int8", "web", tmp_path / "web")
    assert caught.value.code == "export.type"
    out = learn2compress.export(tiny, "int8", "android", tmp_path / "android")
    assert not [name for name in files(out) if "MlKit" in name]
    assert "input of uint8 or float32" in (out / "README.md").read_text()


def test_labels_in_other_languages_lie_beside_the_first(clothing: Path, tmp_path: Path) -> None:
    path = tmp_path / "family" / "models" / "small.tflite"
    path.parent.mkdir(parents=True)
    (tmp_path / "family" / "family.json").write_bytes((clothing / "family.json").read_bytes())
    labels = (
        (learn2compress.export(clothing, "small", "ios", tmp_path / "first") / "labels.txt")
        .read_text()
        .split("\n")[:-1]
    )
    german = [f"{label} auf Deutsch" for label in labels]
    # A locale is part of a file's name: one that is none is left out.
    names = {"de": german, "../../de": german}
    about = {"name": "n", "description": "", "version": "1", "author": "", "license": ""}
    model = (clothing / "models" / "small.tflite").read_bytes()
    path.write_bytes(add_metadata(model, labels=labels, display_labels=names, **about))
    out = learn2compress.export(tmp_path / "family", "small", "ios", tmp_path / "app" / "ios")
    assert (out / "labels.txt").read_text().splitlines() == labels
    assert (out / "labels_de.txt").read_text().splitlines() == german
    assert "labels_de.txt" in (out / "README.md").read_text()
    assert set(files(tmp_path / "app")) == {f"ios/{name}" for name in (*TARGETS["ios"], "labels_de.txt")}


def test_a_float_input_that_is_normalised_by_channel_is_refused(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "family" / "models" / "float32.tflite"
    path.parent.mkdir(parents=True)
    (tmp_path / "family" / "family.json").write_bytes((tiny / "family.json").read_bytes())
    about = {"name": "n", "description": "", "version": "1", "author": "", "license": "", "labels": ["a", "b", "c"]}
    model = (tiny / "models" / "float32.tflite").read_bytes()
    path.write_bytes(add_metadata(model, input_mean=[1.0, 2.0, 3.0], input_std=[1.0, 1.0, 1.0], **about))
    with pytest.raises(InputError, match="by channel") as caught:
        learn2compress.export(tmp_path / "family", "float32", "python", tmp_path / "app")
    assert caught.value.code == "export.not_a_classifier"


@pytest.mark.parametrize("member", ["float32", "uint8"])
def test_ml_kit_gets_no_logits_and_the_readme_says_why(logits: Path, tmp_path: Path, member: str) -> None:
    out = learn2compress.export(logits, member, "android", tmp_path / "app")
    assert not [name for name in files(out) if "MlKit" in name]
    assert "mlkit" not in (out / "app" / "build.gradle.kts").read_text()
    readme = (out / "README.md").read_text()
    assert "There is no code for ML Kit here" in readme
    assert "- scores that are probabilities, as ML Kit applies no softmax" in readme
    assert "(found: logits)" in readme
    assert readme.count("(found:") == 1


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_readme_says_what_becomes_of_logits(clothing: Path, logits: Path, tmp_path: Path, target: str) -> None:
    said = "gives a logit for each class; the code here makes probabilities of them by softmax"
    out = learn2compress.export(logits, "uint8", target, tmp_path / "logits")
    assert said in (out / "README.md").read_text()
    out = learn2compress.export(clothing, "small", target, tmp_path / "probabilities")
    assert "logit" not in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("family", "member", "named"),
    [("clothing", "small", True), ("tiny", "int8", False), ("logits", "float32", False)],
)
def test_mediapipe_is_named_only_for_files_that_it_takes(
    family: str, member: str, named: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    out = learn2compress.export(request.getfixturevalue(family), member, "ios", tmp_path / "app")
    readme = (out / "README.md").read_text()
    assert ("MediaPipe" in readme) == named
    assert "no Swift package of its own" in readme


@pytest.mark.parametrize("member", ["float32", "int8"])
@pytest.mark.parametrize("target", ["android", "ios"])
@pytest.mark.parametrize("family", ["tiny", "logits"])
def test_brackets_close_and_no_blank_is_left(
    family: str, member: str, target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    out = learn2compress.export(request.getfixturevalue(family), member, target, tmp_path / "app")
    for name, path in files(out).items():
        if name.endswith((".kt", ".kts", ".swift")):
            code = path.read_text()
            assert "{{" not in code
            assert "{%" not in code
            for opening, closing in ("{}", "()", "[]"):
                assert code.count(opening) == code.count(closing), name


def test_the_package_keeps_the_name_export_for_the_function() -> None:
    from learn2compress.apps.folder import export as function
    from learn2compress.export.metadata import read_metadata

    assert callable(read_metadata)
    assert learn2compress.export is function


def test_a_file_that_lost_its_end_is_refused(clothing: Path, tmp_path: Path) -> None:
    """The model is whole; what was appended to it, the labels, is not."""
    family = shutil.copytree(clothing, tmp_path / "family")
    file = family / "models" / "small.tflite"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError) as caught:
        learn2compress.export(family, "small", "python", tmp_path / "app")
    assert caught.value.code == "tflite.metadata"
    assert not (tmp_path / "app").exists()


@pytest.mark.usefixtures("bound_by_permissions")
@pytest.mark.parametrize(
    ("command", "mode", "code"),
    [
        ("report family", 0o500, "file.unreachable"),
        ("report family", 0, "file.unreachable"),
        ("export family --member small --to python --out family/closed", 0o500, "out.not_writable"),
    ],
)
def test_folders_that_are_closed_end_in_an_error_that_says_so(
    clothing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, mode: int, code: str
) -> None:
    family = shutil.copytree(clothing, tmp_path / "family")
    monkeypatch.chdir(tmp_path)
    family.chmod(mode)
    found = CliRunner().invoke(main, [*command.split(), "--json"])
    family.chmod(0o700)
    assert found.exit_code == 2, found.output
    assert json.loads(found.stdout)["error"]["code"] == code
    assert "family" in found.stderr


def test_ml_kit_and_mediapipe_get_photos_cropped_as_they_were_measured(
    clothing: Path, tiny: Path, tmp_path: Path
) -> None:
    """Left to themselves both would stretch a photo into the model's shape."""
    android = files(learn2compress.export(clothing, "small", "android", tmp_path / "android"))
    code = next(path for name, path in android.items() if name.endswith("MlKitClassifier.kt")).read_text()
    assert "Photo.fitted(photo, rotationDegrees)\n" in code
    assert "InputImage.fromBitmap(fitted, 0)" in code
    assert "ExifInterface" in android["README.md"].read_text()
    # Of 12 x 10 pixels, of which ML Kit would take no picture.
    android = files(learn2compress.export(tiny, "float32", "android", tmp_path / "tiny"))
    code = next(path for name, path in android.items() if name.endswith("MlKitClassifier.kt")).read_text()
    assert "Photo.fitted(photo, rotationDegrees, times = 4)" in code
    ios = learn2compress.export(clothing, "small", "ios", tmp_path / "ios")
    assert "MPImage(uiImage: Photo.fitted(photo))" in (ios / "README.md").read_text()


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_each_folder_says_how_photos_are_framed(clothing: Path, squeezed: Path, tmp_path: Path, target: str) -> None:
    said = {"cropped": "fills that size and cropped to its centre", "squeezed": "squeezed into that size"}
    for family, own, other in ((clothing, "cropped", "squeezed"), (squeezed, "squeezed", "cropped")):
        out = learn2compress.export(family, "small", target, tmp_path / own)
        readme = (out / "README.md").read_text()
        assert said[own] in readme
        assert said[other] not in readme
