from __future__ import annotations

import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from learn2compress.core.family import Family
from learn2compress.core.framing import FRAMINGS, Framing
from learn2compress.inputs.geometry import fitted
from learn2compress.report.snippets import snippets


def test_every_language_is_there_with_the_members_file_and_size(family: Family) -> None:
    made = snippets(family.members[1])
    assert {s.language for s in made} == {"Kotlin", "Swift", "Python"}
    for snippet in made:
        assert "medium.tflite" in snippet.code
        assert "96" in snippet.code
        assert "@" not in snippet.code
        assert snippet.install


@pytest.mark.parametrize("opening", ["{}", "()", "[]"])
def test_brackets_close(family: Family, opening: str) -> None:
    for snippet in snippets(family.members[0]):
        assert snippet.code.count(opening[0]) == snippet.code.count(opening[1]), snippet.library


class FakeInterpreter:
    """Answers as a full-int8 file with uint8 input and output does."""

    fed: np.ndarray

    def __init__(self, path: str, num_threads: int) -> None:
        assert path == "models/large.tflite"

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"index": 0, "shape": np.array([1, 96, 96, 3]), "dtype": np.uint8}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"index": 9, "quantization": (1 / 256, 0)}]

    def set_tensor(self, index: int, value: np.ndarray) -> None:
        FakeInterpreter.fed = value

    def invoke(self) -> None: ...

    def get_tensor(self, index: int) -> np.ndarray:
        return np.array([[6, 218, 32]], np.uint8)


def test_python_snippet_runs_and_prints_the_labels(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "large.tflite"
    model.write_bytes(b"flatbuffer")
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("labels.txt", "hat\nshoes\nskirt")
    Image.new("RGB", (200, 100), (10, 20, 30)).save(tmp_path / "photo.jpg")
    module = types.ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = FakeInterpreter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ai_edge_litert", types.ModuleType("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    monkeypatch.chdir(tmp_path)
    code = next(s.code for s in snippets(family.members[0]) if s.language == "Python")
    exec(compile(code, "snippet", "exec"), {})
    assert FakeInterpreter.fed.shape == (1, 96, 96, 3)
    assert FakeInterpreter.fed.dtype == np.uint8
    assert capsys.readouterr().out.split() == ["shoes", "0.852", "skirt", "0.125", "hat", "0.023"]


@pytest.mark.parametrize("output", ["probabilities", "logits"])
@pytest.mark.parametrize(
    ("input_type", "output_type"), [("float32", "float32"), ("int8", "int8"), ("float32", "uint8")]
)
def test_code_follows_the_types(family: Family, input_type: str, output_type: str, output: str) -> None:
    member = family.members[0].model_copy(
        update={"input_type": input_type, "output_type": output_type, "output": output}
    )
    made = snippets(member)
    libraries = {snippet.library for snippet in made}
    # MediaPipe feeds no int8, and shows what comes out as if it were a probability.
    assert ("MediaPipe Tasks" in libraries) == (output == "probabilities" and input_type != "int8")
    for snippet in made:
        assert "@" not in snippet.code
        for opening, closing in ("{}", "()", "[]"):
            assert snippet.code.count(opening) == snippet.code.count(closing), snippet.library


@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_python_code_of_a_float_file_runs(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    class FloatInterpreter(FakeInterpreter):
        def get_output_details(self) -> list[dict[str, Any]]:
            return [{"index": 9, "quantization": (0.0, 0)}]

        def get_tensor(self, index: int) -> np.ndarray:
            scores = np.array([[0.1, 0.7, 0.2]], np.float32)
            return np.log(scores) + 3 if output == "logits" else scores

    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "large.tflite"
    model.write_bytes(b"flatbuffer")
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("labels.txt", "hat\nshoes\nskirt")
    Image.new("RGB", (200, 100), (10, 20, 30)).save(tmp_path / "photo.jpg")
    module = types.ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = FloatInterpreter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ai_edge_litert", types.ModuleType("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    monkeypatch.chdir(tmp_path)
    member = family.members[0].model_copy(
        update={"input_type": "float32", "output_type": "float32", "output": output}
    )
    code = next(s.code for s in snippets(member) if s.language == "Python")
    exec(compile(code, "snippet", "exec"), {})
    assert FakeInterpreter.fed.dtype == np.float32
    assert FakeInterpreter.fed.max() == 30
    assert capsys.readouterr().out.split() == ["shoes", "0.700", "skirt", "0.200", "hat", "0.100"]


@pytest.mark.parametrize("framing", ["crop", "squeeze"])
def test_code_frames_photos_as_the_accuracy_was_measured(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, framing: Framing
) -> None:
    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "large.tflite"
    model.write_bytes(b"flatbuffer")
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("labels.txt", "hat\nshoes\nskirt")
    ramp = np.broadcast_to(np.linspace(0, 255, 300).astype(np.uint8)[None, :, None], (100, 300, 3))
    Image.fromarray(ramp).save(tmp_path / "photo.jpg")
    module = types.ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = FakeInterpreter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ai_edge_litert", types.ModuleType("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    monkeypatch.chdir(tmp_path)
    made = snippets(family.members[0], framing)
    exec(compile(next(s.code for s in made if s.language == "Python"), "snippet", "exec"), {})
    expected = fitted(Image.open(tmp_path / "photo.jpg"), (96, 96), framing).astype(int)
    assert np.abs(FakeInterpreter.fed[0] - expected).max() <= 1
    # The ramp's ends are seen where all of it is.
    assert (np.ptp(expected) > 200) == (framing == "squeeze")
    for snippet in made:
        assert "@" not in snippet.code
        if snippet.language != "Python":
            squeezes = "Squeezes the photo into the model's size" in snippet.code
            assert squeezes == (framing == "squeeze")
            for opening, closing in ("{}", "()", "[]"):
                assert snippet.code.count(opening) == snippet.code.count(closing), snippet.library


def test_kotlin_code_scales_large_photos_by_halves(family: Family) -> None:
    for framing in FRAMINGS:
        for snippet in snippets(family.members[0], framing):
            if snippet.language == "Kotlin":
                assert "while (fitted.width >= 2 * width" in snippet.code
                assert "ThumbnailUtils" not in snippet.code
