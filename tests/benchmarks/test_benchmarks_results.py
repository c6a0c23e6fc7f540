"""Results say where they are from, and one part of a result leaves the others as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"


def test_under_each_table_stand_its_host_and_how_long_was_trained() -> None:
    done = subprocess.run([sys.executable, FOLDER / "table.py"], capture_output=True, text=True, check=True)
    tables = re.split(r"\n(?=\S.*\(`l2c compress)", done.stdout.strip())
    assert len(tables) >= 6
    for table in tables:
        *_, row, empty, told = table.strip().split("\n")
        assert row.startswith("| **")
        assert empty == ""
        assert re.fullmatch(r"\S.*, \d+ cores; .* epochs jointly.*; \d{4}-\d\d-\d\d\.", told)


def test_what_is_told_of_a_family_is_what_its_result_holds(script: Callable[[str], Any]) -> None:
    result = {
        "environment": {"processor": "Chip with AVX2", "cores": 2},
        "created": "2026-11-27T03:14:38+00:00",
        "plan": {"joint training": {"epochs": 21.74}, "quantization-aware training": {"epochs": 2.19}},
    }
    told = script("table").told
    assert told(result) == ("Chip with AVX2, 2 cores; 21.7 epochs jointly and 2.19 quantization-aware; 2026-11-27.")
    result["plan"] = {"joint training": {"epochs": 3, "dtype": "float32"}, "quantization-aware training": "none"}
    assert told(result) == "Chip with AVX2, 2 cores; 3 epochs jointly, in float32; 2026-11-27."


def test_a_processor_without_its_instructions_is_told_to_be_so(script: Callable[[str], Any]) -> None:
    words = script("_harness").host_words
    assert words({"processor": "AMD EPYC", "cores": 2}) == "AMD EPYC (instructions not recorded), 2 cores"
    assert words({"processor": "AMD EPYC with AVX2", "cores": 4}) == "AMD EPYC with AVX2, 4 cores"


def test_a_part_of_a_result_replaces_only_itself(
    script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = script("_harness")
    monkeypatch.setattr(harness, "HERE", tmp_path)
    (tmp_path / "results").mkdir()
    for key, number in (("one", 1), ("two", 2), ("one", 3)):
        found = harness.write_part("times", "hosts", key, {"number": number})
    assert found == {"one": {"number": 3}, "two": {"number": 2}}
    kept = json.loads((tmp_path / "results" / "times.json").read_text())
    assert kept == {"benchmark": "times", "hosts": found}


def test_make_bench_runs_every_benchmark_with_options_that_it_has() -> None:
    _, _, recipe = (ROOT / "Makefile").read_text().partition("\nbench:")
    called = re.findall(r"benchmarks/(\w+\.py)(.*)", recipe.partition("\n\n")[0])
    benchmarks = {path.name for path in FOLDER.glob("[a-z]*.py")}
    assert sorted(name for name, _ in called) == sorted(benchmarks - {"table.py"})
    for name, options in called:
        text = (FOLDER / name).read_text()
        for option in re.findall(r"--[a-z-]+", options):
            assert f'"{option}"' in text, (name, option)
