"""The table of `l2c measure` says what was measured, on a narrow terminal too."""

from __future__ import annotations

import io

from rich.console import Console

from learn2compress.report.tables.files import accuracy_lines, files_tables

ROW = {
    "file": "/somewhere/large-float16.tflite",
    "size_bytes": 1_870_000,
    "zipped_bytes": 1_710_000,
    "macs": 48_700_000,
    "parameters": 917_000,
    "latency_ms": {"median": 1.6712, "p90": 5.561},
    "peak_memory_bytes": 7_480_000,
    "xnnpack": {"operators": 123, "delegated": 121, "pieces": 3, "outside": ["CUMSUM", "GELU"]},
}


def shown(found: object, lines: object) -> str:
    console = Console(file=io.StringIO(), width=80)
    for part in lines(found):  # type: ignore[operator]
        console.print(part)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_a_row_has_all_figures_on_80_columns() -> None:
    text = shown([ROW], files_tables)
    row = next(line for line in text.splitlines() if "MB" in line)
    for figure in ("large-float16", "1.87 MB", "1.71 MB", "48.7 M", "1.67", "5.56", "7.48 MB", "121/123 in 3"):
        assert figure in row
    assert "…" not in text


def test_accuracy_is_told_of_all_and_of_each_class() -> None:
    found: dict[str, object] = {"accuracy": 0.876, "examples": 372, "split": "test", "preprocessing": "raw"}
    found |= {"framing": "crop", "per_class": {"hat": 0.5, "scarf": None, "shoe": 0.25}, "notes": []}
    lines = shown(found, accuracy_lines).splitlines()
    assert lines[0] == "87.60 % of 372 images (test)"
    assert lines[1].split() == ["50.0", "%", "hat"]
    assert lines[2].split() == ["25.0", "%", "shoe"]
    assert lines[3:] == ["No images of 1 of 3 classes: scarf"]
    squeezed = shown({**found, "framing": "squeeze"}, accuracy_lines).splitlines()[0]
    assert squeezed == "87.60 % of 372 images (test), squeezed into the input's shape"


def test_of_many_classes_without_images_some_are_named_and_notes_come_last() -> None:
    shares = {f"class {number}": None for number in range(30)}
    found = {"accuracy": 1.0, "examples": 1, "split": "all", "preprocessing": "raw", "framing": "crop"}
    text = shown({**found, "per_class": {"hat": 1.0, **shares}, "notes": ["one", "two"]}, accuracy_lines)
    assert "No images of 30 of 31 classes: class 0, class 1," in text
    assert "and 20 more" in " ".join(text.split())
    assert text.splitlines()[-2:] == ["Note: one", "Note: two"]
