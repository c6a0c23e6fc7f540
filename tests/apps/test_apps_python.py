"""The Python folder is run as its README says, and is right as often as `l2c evaluate` says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import learn2compress
from learn2compress.cli import main
from learn2compress.core.app_kinds import APP_KINDS
from learn2compress.evaluation import evaluate_file

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "clothing" / "photos"
MEMBER = ROOT / "tests" / "fixtures" / "clothing_small.tflite"
ALL = """
import json, sys
from pathlib import Path
from PIL import Image
from classify import Classifier
classifier = Classifier()
print(json.dumps({path: classifier.classify(Image.open(path)) for path in sys.argv[1:]}))
"""


def classify(folder: Path, *photos: Path) -> dict[str, list[tuple[str, float]]]:
    """What the folder's own code says, in a process that knows nothing of learn2compress."""
    done = subprocess.run(
        [sys.executable, "-c", ALL, *map(str, photos)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_right_as_often_as_evaluate_says(clothing: Path, tmp_path: Path) -> None:
    out = learn2compress.export(clothing, "small", "python", tmp_path / "app")
    photos = sorted((PHOTOS / "test").glob("*/*.jpg"))
    answers = classify(out, *photos)
    right = [answers[str(photo)][0][0] == photo.parent.name for photo in photos]
    said = evaluate_file(clothing / "models" / "small.tflite", PHOTOS, "test", None, 0, ())
    assert said["examples"] == len(photos)
    assert np.mean(right) == pytest.approx(said["accuracy"], abs=1e-9)


def test_the_script_prints_the_most_probable_labels(clothing: Path, tmp_path: Path) -> None:
    out = learn2compress.export(clothing, "small", "python", tmp_path / "app")
    photo = next((PHOTOS / "test" / "shoes").glob("*.jpg"))
    done = subprocess.run(
        [sys.executable, str(out / "classify.py"), str(photo)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    path, *found = done.stdout.strip().split("\t")
    assert path == str(photo)
    assert len(found) == 3
    assert found[0].startswith("shoes ")


def test_the_lines_for_an_app_name_the_most_probable_label(clothing: Path, tmp_path: Path) -> None:
    out = learn2compress.export(clothing, "small", "python", tmp_path / "app")
    photo = next((PHOTOS / "test" / "shoes").glob("*.jpg"))
    shutil.copy(photo, out / "photo.jpg")
    (out / "mine.py").write_text(APP_KINDS["python"].call)
    done = subprocess.run([sys.executable, "mine.py"], cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, probability = done.stdout.split()
    assert [label, float(probability)] == classify(out, photo)[str(photo)][0]


def test_deep_grey_photos_of_any_size_get_the_pixels_that_were_measured(clothing: Path, tmp_path: Path) -> None:
    """Sixteen bits would be clipped to white, and another way of resizing would be another picture."""
    from learn2compress.inputs.decode import decode
    from learn2compress.inputs.geometry import fitted

    out = learn2compress.export(clothing, "small", "python", tmp_path / "app")
    pixels = np.random.default_rng(2).integers(0, 65536, (14, 20)).repeat(12, 0).repeat(9, 1).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    Image.fromarray(pixels // 256).save(tmp_path / "dark.png")  # dark whatever its own brightest value is
    shutil.copy(next((PHOTOS / "test" / "shoes").glob("*.jpg")), tmp_path / "small.jpg")
    code = (
        "import sys; from classify import rgb; from PIL import Image, ImageOps; import numpy as np\n"
        "for path in sys.argv[1:]:\n"
        "    fitted = ImageOps.fit(rgb(Image.open(path)), (60, 60), Image.Resampling.BICUBIC)\n"
        "    np.save(path + '.npy', np.asarray(fitted))"
    )
    photos = [tmp_path / "deep.png", tmp_path / "small.jpg", tmp_path / "dark.png"]
    subprocess.run([sys.executable, "-c", code, *map(str, photos)], cwd=out, check=True)
    assert "Image.Resampling.BICUBIC" in (out / "classify.py").read_text()
    for photo in photos:
        found = np.load(f"{photo}.npy").astype(int)
        assert found.max() <= 1 if photo.stem == "dark" else 60 < found.mean() < 200
        assert np.abs(found - fitted(decode(photo), (60, 60))).max() <= 1


@pytest.mark.parametrize("member", ["float32", "int8"])
def test_members_with_other_types_get_what_they_take(tiny: Path, tmp_path: Path, member: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    out = learn2compress.export(tiny, member, "python", tmp_path / "app")
    pixels = np.random.default_rng(1).integers(0, 256, (10, 12, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    found = dict(classify(out, tmp_path / "photo.png")[str(tmp_path / "photo.png")])

    interpreter = Interpreter(str(tiny / "models" / f"{member}.tflite"))
    interpreter.allocate_tensors()
    detail: Any = interpreter.get_input_details()[0]
    stored = (pixels - 127.5) / 127.5 if member == "float32" else pixels.astype(int) - 128
    interpreter.set_tensor(detail["index"], stored.astype(detail["dtype"])[None])
    interpreter.invoke()
    detail = interpreter.get_output_details()[0]
    scores = interpreter.get_tensor(detail["index"])[0].astype(np.float32)
    scale, zero_point = detail["quantization"]
    expected = scores if member == "float32" else (scores - zero_point) * scale
    labels = ["no", 'a "quoted" \\ name', "großer Hut"]
    np.testing.assert_allclose([found[label] for label in labels], expected, atol=1e-6)


@pytest.mark.parametrize("member", ["float32", "int8", "uint8"])
def test_what_a_member_gives_as_logits_comes_out_as_probabilities(logits: Path, tmp_path: Path, member: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    out = learn2compress.export(logits, member, "python", tmp_path / "app")
    interpreter = Interpreter(str(logits / "models" / f"{member}.tflite"))
    interpreter.allocate_tensors()
    image_in: Any = interpreter.get_input_details()[0]
    scores_out: Any = interpreter.get_output_details()[0]
    _, height, width, _ = image_in["shape"]
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    found = dict(classify(out, tmp_path / "photo.png")[str(tmp_path / "photo.png")])

    stored = {"float32": (pixels - 127.5) / 127.5, "int8": pixels.astype(int) - 128, "uint8": pixels}[member]
    interpreter.set_tensor(image_in["index"], stored.astype(image_in["dtype"])[None])
    interpreter.invoke()
    scores = interpreter.get_tensor(scores_out["index"])[0].astype(np.float64)
    scale, zero_point = scores_out["quantization"]
    powers = np.exp((scores - zero_point) * scale if scale else scores)
    labels = (out / "labels.txt").read_text(encoding="utf-8").splitlines()
    np.testing.assert_allclose([found[label] for label in labels], powers / powers.sum(), atol=1e-5)


def test_evaluate_feeds_floats_as_the_metadata_say_or_as_it_is_told(tiny: Path, tmp_path: Path) -> None:
    from learn2compress.export.metadata import add_metadata

    rng = np.random.default_rng(3)
    images, labels = rng.integers(0, 256, (60, 10, 12, 3), np.uint8), np.arange(60) % 3
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_test=images[:30], y_test=labels[:30])
    file = tmp_path / "signed.tflite"

    def evaluated(preprocess: str = "auto") -> dict[str, Any]:
        return evaluate_file(file, tmp_path / "data.npz", "all", None, 0, (), preprocess)

    plain = (tiny / "models" / "float32.tflite").read_bytes()
    given = {"name": "n", "labels": ("0", "1", "2"), "description": "d", "version": "1", "author": "a"}
    given |= {"license": "l", "input_mean": (120.0,), "input_std": (64.0,)}
    file.write_bytes(add_metadata(plain, **given))
    by_metadata = evaluated()
    assert by_metadata["preprocessing"].startswith("120,120,120,64,64,64")
    assert by_metadata["per_class"] == evaluated("120,64")["per_class"]
    assert evaluated("raw")["preprocessing"] == "raw"


@pytest.fixture(scope="module")
def stretched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of the example, drawn out to three times their width: their middle shows little of the clothing."""
    folder = tmp_path_factory.mktemp("stretched")
    for kind in sorted((PHOTOS / "test").iterdir()):
        (folder / kind.name).mkdir()
        for photo in sorted(kind.glob("*.jpg"))[:8]:
            wide = Image.open(photo).convert("RGB").resize((288, 96), Image.Resampling.BICUBIC)
            wide.save(folder / kind.name / f"{photo.stem}.png")
    return folder


def test_a_file_is_evaluated_with_the_framing_that_it_names_and_so_does_its_code(
    squeezed: Path, stretched: Path, tmp_path: Path
) -> None:
    file = squeezed / "models" / "small.tflite"
    said = evaluate_file(file, stretched, "all", None, 0, ())
    assert said["framing"] == "squeeze"
    assert said["accuracy"] > 0.7
    cropped = evaluate_file(file, stretched, "all", None, 0, (), framing="crop")
    assert cropped["framing"] == "crop"
    assert cropped["accuracy"] < said["accuracy"] - 0.2
    # What says nothing of its framing was made before there was any but one.
    assert evaluate_file(MEMBER, stretched, "all", None, 0, ())["accuracy"] == cropped["accuracy"]

    out = learn2compress.export(squeezed, "small", "python", tmp_path / "app")
    photos = sorted(stretched.glob("*/*.png"))
    answers = classify(out, *photos)
    right = [answers[str(photo)][0][0] == photo.parent.name for photo in photos]
    assert np.mean(right) == pytest.approx(said["accuracy"], abs=1e-9)


def test_the_command_takes_another_framing_than_the_file_names(squeezed: Path, stretched: Path) -> None:
    arguments = ["evaluate", str(squeezed / "models" / "small.tflite"), "--data", str(stretched), "--json"]
    found = [CliRunner().invoke(main, [*arguments, *more]) for more in ([], ["--framing", "crop"])]
    assert [json.loads(one.stdout)["framing"] for one in found] == ["squeeze", "crop"]
    refused = CliRunner().invoke(main, [*arguments, "--framing", "letterbox"])
    assert refused.exit_code == 2
    assert "squeeze" in json.loads(refused.stdout)["error"]["message"]
