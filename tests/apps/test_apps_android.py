"""The Kotlin code compiles, without warnings, against declarations of the libraries it calls, and in part runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import learn2compress
from learn2compress.core.app_kinds import APP_KINDS
from learn2compress.core.framing import Framing
from learn2compress.inputs.geometry import fitted

STUBS = sorted((Path(__file__).parent / "stubs").glob("*.kt"))
COMPILER = "kotlin-compiler@2"
# The lines for an app, in one.
CALLED = """
package com.example.classifier

fun called(context: android.content.Context, bitmap: android.graphics.Bitmap, rotationDegrees: Int) {
CALL
}
"""
# Brings one photo, raw RGB, to the model's size, and writes it as such.
RUN = """
package com.example.classifier

import android.graphics.Bitmap
import java.io.File

fun main(arguments: Array<String>) {
    val (from, width, height, degrees, to) = arguments
    val rgb = File(from).readBytes()
    val colors = IntArray(rgb.size / 3) { at ->
        (0..2).fold(255) { color, channel -> (color shl 8) or (rgb[3 * at + channel].toInt() and 0xFF) }
    }
    val photo = Bitmap.createBitmap(colors, width.toInt(), height.toInt(), Bitmap.Config.ARGB_8888)
    val fitted = Photo.fitted(photo, degrees.toInt())
    val pixels = IntArray(Photo.WIDTH * Photo.HEIGHT)
    fitted.getPixels(pixels, 0, Photo.WIDTH, 0, 0, Photo.WIDTH, Photo.HEIGHT)
    File(to).writeBytes(ByteArray(pixels.size * 3) { (pixels[it / 3] shr (16 - 8 * (it % 3))).toByte() })
}
"""


@pytest.fixture(scope="module")
def kotlinc(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that compiles Kotlin: one that is installed, else the one that npm has."""
    if shutil.which("java") is None:
        pytest.skip("there is no Java here, which Kotlin's compiler runs on")
    if path := shutil.which("kotlinc"):
        return [path]
    if shutil.which("npm") is None:
        pytest.skip("there is neither a Kotlin compiler here nor npm to fetch one with")
    folder = tmp_path_factory.mktemp("kotlin")
    command = ["npm", "install", COMPILER, "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.skip(f"npm could not fetch the Kotlin compiler: {done.stderr.strip()[-200:]}")
    return ["bash", str(folder / "node_modules" / "kotlin-compiler" / "bin" / "kotlinc-jvm")]


def compiled(kotlinc: list[str], sources: list[Path], to: Path, *options: str) -> None:
    command = [*kotlinc, "-Werror", *options, "-d", str(to), *map(str, [*STUBS, *sources])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_kotlin_compiles(member_of_each_kind: tuple[Path, str], tmp_path: Path, kotlinc: list[str]) -> None:
    folder = learn2compress.export(*member_of_each_kind, "android", tmp_path / "app")
    (folder / "Called.kt").write_text(CALLED.replace("CALL", APP_KINDS["android"].call))
    sources = list(folder.rglob("*.kt"))
    assert len(sources) > 1
    compiled(kotlinc, sources, tmp_path / "classes")


def grainy(height: int, width: int) -> np.ndarray:
    """A photo of patches under grain: whoever leaves out pixels sees the grain."""
    random = np.random.default_rng(5)
    patches = random.integers(60, 196, (6, 8, 3)).repeat(height // 6, 0).repeat(width // 8, 1)
    photo: np.ndarray = (patches + random.integers(-60, 60, (height, width, 1))).astype(np.uint8)
    return photo


@pytest.mark.slow
@pytest.mark.parametrize(("family", "framing"), [("clothing", "crop"), ("squeezed", "squeeze")])
def test_kotlin_shows_the_model_what_its_accuracy_was_measured_on(
    family: str, framing: Framing, tmp_path: Path, kotlinc: list[str], request: pytest.FixtureRequest
) -> None:
    """Upright, framed in the same way, and with all pixels of a large photo in it."""
    folder = learn2compress.export(request.getfixturevalue(family), "small", "android", tmp_path / "app")
    (tmp_path / "Run.kt").write_text(RUN)
    (photo_kt,) = folder.rglob("Photo.kt")
    compiled(kotlinc, [photo_kt, tmp_path / "Run.kt"], tmp_path / "run.jar", "-include-runtime")
    upright = grainy(1536, 2048)
    expected = fitted(Image.fromarray(upright), (96, 96), framing).astype(int)
    for turns in range(4):
        lying = np.rot90(upright, turns)  # so many quarters to the left: to be turned right again
        (tmp_path / "lying").write_bytes(np.ascontiguousarray(lying).tobytes())
        sides = [str(lying.shape[1]), str(lying.shape[0])]
        command = ["java", "-cp", str(tmp_path / "run.jar"), "com.example.classifier.RunKt", str(tmp_path / "lying")]
        subprocess.run([*command, *sides, str(90 * turns), str(tmp_path / "made")], check=True)
        made = np.frombuffer((tmp_path / "made").read_bytes(), np.uint8).reshape(96, 96, 3)
        assert np.abs(made - expected).mean() < 6, turns
    left, step = (256, 16) if framing == "crop" else (0, 64 / 3)
    columns = (left + step * (np.arange(96) + 0.5)).astype(int)
    left_out = upright[8::16][:, columns].astype(int)  # one pixel for each of the model's
    assert np.abs(left_out - expected).mean() > 20
