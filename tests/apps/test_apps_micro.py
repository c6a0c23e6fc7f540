"""The microcontroller's folder: the array is the file, the code compiles, its interpreter runs the file as it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import learn2compress
from learn2compress.apps.micro import check_types, resolver_call
from learn2compress.core.app_kinds import APP_KINDS
from learn2compress.core.errors import InputError
from learn2compress.measure.arena import planned_arena_bytes
from learn2compress.measure.flatbuffer import Op, TensorInfo
from learn2compress.measure.micro import available, measured_arena_bytes, micro_outputs, open_micro
from learn2compress.measure.runtime import ports

ROOT = Path(__file__).parents[2]
MEMBER = ROOT / "tests" / "fixtures" / "clothing_small.tflite"
PHOTOS = sorted((ROOT / "examples" / "clothing" / "photos" / "test").glob("*/*.jpg"))[::25]
STUBS = Path(__file__).parent / "stubs"
MAIN = """
#include <cstdint>
#include <cstdio>
#include "model_data.h"
int main() {
  static_assert(sizeof(kModelData) == BYTES, "the array is as long as the file");
  if (reinterpret_cast<uintptr_t>(kModelData) % 16 != 0 || kModelDataLength != BYTES) return 1;
  return fwrite(kModelData, 1, kModelDataLength, stdout) == BYTES ? 0 : 2;
}
"""
# Defines what the stubs declare: an interpreter whose output is what it is told.
FAKE = """
#include <cstdio>
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
namespace tflite {
const Model* GetModel(const void*) { return nullptr; }
template <unsigned int n> TfLiteStatus MicroMutableOpResolver<n>::AddConv2D() { return kTfLiteOk; }
template <unsigned int n> TfLiteStatus MicroMutableOpResolver<n>::AddFullyConnected() { return kTfLiteOk; }
template <unsigned int n> TfLiteStatus MicroMutableOpResolver<n>::AddMean() { return kTfLiteOk; }
template <unsigned int n> TfLiteStatus MicroMutableOpResolver<n>::AddSoftmax() { return kTfLiteOk; }
MicroInterpreter::MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t*, size_t) {}
TfLiteStatus MicroInterpreter::AllocateTensors() { return kTfLiteOk; }
TfLiteStatus MicroInterpreter::Invoke() { return kTfLiteOk; }
TfLiteTensor* MicroInterpreter::input(size_t) {
  static float pixels[10 * 12 * 3];
  static TfLiteTensor tensor = {{pixels}, {0.0f, 0}};
  return &tensor;
}
TfLiteTensor* MicroInterpreter::output(size_t) {
  static TYPE stored[] = {STORED};
  static TfLiteTensor tensor;
  tensor.data.FIELD = stored;
  tensor.params = {0.5f, -100};
  return &tensor;
}
}  // namespace tflite
#include "classifier.cc"
int main() {
  static uint8_t rgb[kHeight * kWidth * 3];
  float probabilities[kClasses];
  if (Classify(rgb, probabilities) || !SetUpClassifier() || !Classify(rgb, probabilities)) return 1;
  for (float value : probabilities) printf("%.9g\\n", value);
}
"""
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ here")
needs_micro = pytest.mark.skipif(
    sys.platform != "linux" or not available(),
    reason="tflite-micro is not installed (it has wheels for Linux on x86-64 only)",
)


@needs_compiler
def test_the_array_is_the_file_byte_by_byte_and_aligned(micro: Path, tmp_path: Path) -> None:
    expected = MEMBER.read_bytes()
    (tmp_path / "main.cc").write_text(MAIN.replace("BYTES", str(len(expected))))
    program = tmp_path / "program"
    command = [
        "g++",
        "-Wall",
        "-Werror",
        "-std=c++17",
        f"-I{micro}",
        str(tmp_path / "main.cc"),
        str(micro / "model_data.cc"),
    ]
    subprocess.run([*command, "-o", str(program)], check=True)
    assert subprocess.run([str(program)], capture_output=True, check=True).stdout == expected


@needs_compiler
def test_the_code_compiles_against_the_interpreters_declarations(
    member_of_each_kind: tuple[Path, str], tmp_path: Path
) -> None:
    out = learn2compress.export(*member_of_each_kind, "micro", tmp_path / "app")
    command = ["g++", "-Wall", "-Wextra", "-Werror", "-std=c++17", "-fsyntax-only", f"-I{STUBS}", f"-I{out}"]
    (tmp_path / "app.cc").write_text(APP_KINDS["micro"].call)
    subprocess.run([*command, str(out / "classifier.cc"), str(tmp_path / "app.cc")], check=True)


@needs_compiler
@pytest.mark.parametrize("family", ["tiny", "logits"])
@pytest.mark.parametrize(("member", "stored"), [("float32", (1000.0, 1000.5, 1001.5)), ("int8", (124, 125, 127))])
def test_the_code_makes_probabilities_of_logits_only(
    family: str, member: str, stored: tuple[float, ...], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    out = learn2compress.export(request.getfixturevalue(family), member, "micro", tmp_path / "app")
    blanks = {
        "TYPE": "float" if member == "float32" else "int8_t",
        "FIELD": "f" if member == "float32" else "int8",
        "STORED": ", ".join(map(str, stored)),
    }
    code = FAKE
    for blank, text in blanks.items():
        code = code.replace(blank, text)
    (tmp_path / "main.cc").write_text(code)
    command = ["g++", "-std=c++17", f"-I{STUBS}", f"-I{out}", str(tmp_path / "main.cc"), str(out / "model_data.cc")]
    subprocess.run([*command, "-o", str(tmp_path / "program")], check=True)
    done = subprocess.run([str(tmp_path / "program")], capture_output=True, text=True, check=True)
    # 1000 and 112: neither has an exponential in float32.
    scores = np.array(stored) if member == "float32" else (np.array(stored) + 100) * 0.5
    powers = np.exp(scores - scores.max())
    expected = powers / powers.sum() if family == "logits" else scores
    np.testing.assert_allclose([float(line) for line in done.stdout.split()], expected, rtol=1e-6)


@needs_micro
def test_it_computes_in_the_microcontrollers_interpreter_what_litert_computes() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    images = np.stack([np.asarray(Image.open(photo).convert("RGB")) for photo in PHOTOS])
    found = micro_outputs(MEMBER, images)
    # Its kernels are LiteRT's reference kernels; XNNPACK's, which phones run, round a little differently.
    for kernels, quanta in ((OpResolverType.BUILTIN_REF, 1), (OpResolverType.AUTO, 8)):
        interpreter = Interpreter(str(MEMBER), experimental_op_resolver_type=kernels)
        interpreter.allocate_tensors()
        image_in, out = ports(interpreter, MEMBER)
        for image, scores in zip(images, found, strict=True):
            interpreter.set_tensor(image_in.index, image[None])
            interpreter.invoke()
            difference = interpreter.get_tensor(out.index)[0].astype(int) - scores
            assert np.abs(difference).max() <= quanta
    labels = [photo.parent.name for photo in PHOTOS]
    names = sorted({path.parent.name for path in PHOTOS[0].parents[1].glob("*/*.jpg")})
    assert np.mean([names[scores.argmax()] == label for scores, label in zip(found, labels, strict=True)]) > 0.6


@needs_micro
def test_the_arena_is_the_least_that_the_file_runs_in() -> None:
    least = measured_arena_bytes(MEMBER)
    open_micro(MEMBER, least)
    with pytest.raises(InputError) as caught:
        open_micro(MEMBER, least - 64)
    assert caught.value.code == "micro.refused"
    assert least <= planned_arena_bytes(MEMBER) < 1.1 * least


@needs_micro
def test_the_code_states_a_measured_arena(micro: Path) -> None:
    code, readme = (micro / "classifier.cc").read_text(), (micro / "README.md").read_text()
    least = measured_arena_bytes(MEMBER)
    assert least <= int(re.search(r"kArenaSize = (\d+)", code)[1]) < least + 1024  # type: ignore[index]
    assert f"{least} bytes, the least it ran in" in readme
    added = set(re.findall(r"resolver\.(\w+)\(\)", code))
    assert added == {
        "AddAdd",
        "AddConv2D",
        "AddDepthwiseConv2D",
        "AddFullyConnected",
        "AddMean",
        "AddQuantize",
        "AddSoftmax",
    }
    assert f"MicroMutableOpResolver<{len(added)}>" in code


def test_without_the_extra_the_arena_is_said_to_be_an_estimate(
    clothing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tflite_micro", None)  # as where it is not installed
    out = learn2compress.export(clothing, "small", "micro", tmp_path / "app")
    assert f"{planned_arena_bytes(MEMBER)} bytes, estimated" in (out / "README.md").read_text()
    assert "An estimate" in (out / "classifier.cc").read_text()
    with pytest.raises(InputError, match=r"learn2compress\[micro\]") as caught:
        measured_arena_bytes(MEMBER)
    assert caught.value.code == "micro.missing"


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("MAX_POOL_2D", "AddMaxPool2D"),
        ("AVERAGE_POOL_2D", "AddAveragePool2D"),
        ("HARD_SWISH", "AddHardSwish"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("PADV2", "AddPadV2"),
        ("RELU6", "AddRelu6"),
        ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
    ],
)
def test_operations_are_added_by_the_resolvers_own_names(operator: str, method: str) -> None:
    assert resolver_call(operator, "small") == method


def test_an_operation_that_the_interpreter_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="FlexErf") as caught:
        resolver_call("FlexErf", "small")
    assert caught.value.code == "micro.operator"


@pytest.mark.parametrize(
    ("dtype", "weights", "words"), [("FLOAT16", None, "float16"), ("FLOAT32", "INT8", "dynamic")]
)
def test_weights_that_micro_has_no_kernels_for_are_refused_without_the_extra_too(
    dtype: str, weights: str | None, words: str
) -> None:
    one = TensorInfo("a", (1,), dtype)
    op = Op("CONV_2D", False, (one, TensorInfo("w", (1,), weights)), (one,)) if weights else None
    with pytest.raises(InputError, match=words) as caught:
        check_types(op or Op("DEQUANTIZE", False, (one,), (one,)), "small")
    assert caught.value.code == "micro.types"
