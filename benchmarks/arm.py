"""Do files give the same on ARM? Raw outputs under an emulated aarch64 LiteRT beside those of this x86-64.

    python benchmarks/arm.py [FAMILY | FILE.tflite ...] [--images 64] [--processors cortex-a76 ...] [--out FILE]

Without arguments: `tests/fixtures/*.tflite`, and `demo-family` where `make demo` has made it. A quarter of the images
is noise, the others are test photos of the clothing example. Differences are in steps of the output: of its scale
where it is an integer, of 1/256 where it is float32. XNNPACK, which LiteRT uses by itself, is run on each of the
processors, which differ in what it chooses its kernels by (dot products, matrix products, SVE); LiteRT's reference
kernels and its own optimized ones on the first. Ends with 1 if XNNPACK or the reference kernels differ by more than a
step, and with 3 where the machine can't be had. The optimized kernels are only shown: they round in their own ways.

The machine is made at the first run (`_arm_machine.py`) and kept beside the data sets. With SME, int8 files
come out wrong under QEMU 7.2 (Debian 12) and right under QEMU 10, where `--processors max` has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from _arm_machine import PARTS, Machine, NotToBeHadError, machine
from _harness import HERE, find_data
from rich.console import Console
from rich.table import Table

from learn2compress.core.family import Family
from learn2compress.inputs.dataset import load_dataset
from learn2compress.measure.host import environment
from learn2compress.measure.runtime import Port, open_interpreter, ports

ROOT = HERE.parent
WORKER = HERE / "_arm_outputs.py"
PROCESSORS = ("cortex-a76", "cortex-a53", "max,sme=off")
XNNPACK = "AUTO"
KERNELS = {XNNPACK: "XNNPACK", "BUILTIN_REF": "reference", "BUILTIN_WITHOUT_DEFAULT_DELEGATES": "optimized"}
JUDGED = ("XNNPACK", "reference")
MOST = 1  # step
NOT_TO_BE_HAD = 3


def files_of(given: list[Path]) -> dict[str, Path]:
    """The files by the names that they are shown by."""
    if not given:
        demo = ROOT / "demo-family"
        given = [*sorted((ROOT / "tests" / "fixtures").glob("*.tflite")), *([demo] if demo.is_dir() else [])]
    found = {}
    for path in given:
        if path.is_dir():
            family = Family.load(path)
            found |= {f"{path.name}/{member.name}": family.path(member) for member in family.members}
        else:
            found[path.stem] = path
    return found


def images_for(image_in: Port, photos: Any, number: int) -> Any:
    """Noise and photos at a file's own size."""
    size = (image_in.shape[1], image_in.shape[2])
    noise = np.random.default_rng(0).integers(0, 256, (number // 4, *size, 3), np.uint8)
    chosen = np.linspace(0, len(photos) - 1, number - len(noise)).astype(np.int64)
    return np.concatenate([noise, photos.batch(chosen, size)])


def rows_of(name: str, path: Path, photos: Any, arm: Machine, arguments: Any) -> list[dict[str, Any]]:
    image_in, out = ports(open_interpreter(path), path)
    images = images_for(image_in, photos, arguments.images)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        images_file, here, there = (Path(folder) / f"{word}.npy" for word in ("images", "here", "there"))
        np.save(images_file, images)
        for kernels, words in KERNELS.items():
            command = [sys.executable, WORKER, kernels, path, images_file, here]
            subprocess.run([str(word) for word in command], capture_output=True, check=True)
            for processor in arguments.processors if kernels == XNNPACK else arguments.processors[:1]:
                ran_on = arm.python(processor, WORKER, (kernels, path.resolve(), images_file, there)).strip()
                assert ran_on == "aarch64", ran_on
                row = {"file": name, "type": str(out.dtype), "kernels": words, "processor": processor}
                rows.append(row | difference(np.load(here), np.load(there)))
                print(json.dumps(rows[-1]), flush=True)
    return rows


def difference(here: Any, there: Any) -> dict[str, Any]:
    """How far outputs (n, classes) are from each other, in steps."""
    step = 1 if here.dtype.kind in "iu" else 1 / 256
    steps = np.abs(here.astype(np.float64) - there) / step
    return {
        "largest_steps": float(steps.max()),
        "equal": float((steps == 0).mean()),
        "same_top_1": float((here.argmax(axis=1) == there.argmax(axis=1)).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="families and .tflite files")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--processors", nargs="+", choices=PARTS, default=list(PROCESSORS))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "arm.json")
    arguments = parser.parse_args()
    try:
        arm = machine(find_data() / "arm")
    except NotToBeHadError as error:
        print(f"An emulated ARM machine can't be had here: {error}", file=sys.stderr)
        sys.exit(NOT_TO_BE_HAD)
    photos = load_dataset(ROOT / "examples" / "clothing" / "photos", seed=0).test
    files = files_of(arguments.files)
    rows = [row for name, path in files.items() for row in rows_of(name, path, photos, arm, arguments)]
    largest = max(row["largest_steps"] for row in rows if row["kernels"] in JUDGED)
    words = ["python benchmarks/arm.py", *(path.name for path in arguments.files), f"--images {arguments.images}"]
    result = {
        "benchmark": "arm",
        "command": " ".join(words),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "emulator": arm.emulator,
        "images": arguments.images,
        "largest_steps": largest,
        "asked": MOST,
        "reached": largest <= MOST,
        "environment": environment().model_dump(),
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = Table("file", "output", "kernels", "processor", "largest, steps", "equal, %", "same top-1, %")
    for row in rows:
        shares = (f"{100 * row[key]:.2f}" for key in ("equal", "same_top_1"))
        table.add_row(
            *(row[key] for key in ("file", "type", "kernels", "processor")), f"{row['largest_steps']:.3g}", *shares
        )
    Console(width=110).print(table)
    if largest > MOST:
        sys.exit(f"Outputs differ by {largest:.3g} steps; at most {MOST} is asked.")


if __name__ == "__main__":
    main()
