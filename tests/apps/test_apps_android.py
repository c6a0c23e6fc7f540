"""The Kotlin code compiles, without warnings, against declarations of the libraries it calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import learn2compress

STUBS = sorted((Path(__file__).parent / "stubs").glob("*.kt"))
COMPILER = "kotlin-compiler@2"


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


@pytest.mark.slow
def test_kotlin_compiles(member_of_each_kind: tuple[Path, str], tmp_path: Path, kotlinc: list[str]) -> None:
    folder = learn2compress.export(*member_of_each_kind, "android", tmp_path / "app")
    sources = [*STUBS, *folder.rglob("*.kt")]
    assert len(sources) > len(STUBS)
    command = [*kotlinc, "-Werror", "-d", str(tmp_path / "classes"), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
