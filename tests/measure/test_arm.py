"""A member gives the same on ARM, as far as an emulated one can tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBER = ROOT / "tests" / "fixtures" / "clothing_small.tflite"
NOT_TO_BE_HAD = 3


@pytest.mark.slow
def test_outputs_on_an_emulated_arm_are_those_here_within_a_step(tmp_path: Path) -> None:
    found = tmp_path / "arm.json"
    command = [sys.executable, ROOT / "benchmarks" / "arm.py", MEMBER, "--images", "8", "--out", found]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode == NOT_TO_BE_HAD:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    rows = json.loads(found.read_text())["rows"]
    assert {row["kernels"] for row in rows} == {"XNNPACK", "reference", "optimized"}
    assert all(row["largest_steps"] <= 1 for row in rows if row["kernels"] != "optimized")
