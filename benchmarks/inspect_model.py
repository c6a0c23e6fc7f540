"""How long `l2c inspect MODEL` takes beyond the import of TensorFlow and Keras, for models of `keras.applications`.

    python benchmarks/inspect_model.py [--rounds 3] [--models ResNet50 MobileNetV2 EfficientNetB0]

Asked for: less than 5 s for ResNet-50. Both are timed as processes of their own, in turns; the fastest counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _harness import COMMAND, write_result
from rich.console import Console
from rich.table import Table

MOST_SECONDS = {"ResNet50": 5.0}
# What the package itself sets before it imports them.
IMPORTS = [sys.executable, "-c", "import learn2compress, tensorflow, keras"]
SAVED = """import sys, learn2compress, keras
name, path = sys.argv[1:]
getattr(keras.applications, name)(weights=None).save(path)"""


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Prints the table and writes `results/inspect_model.json`."""
    parser = argparse.ArgumentParser(description="l2c inspect")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["ResNet50", "MobileNetV2", "EfficientNetB0"])
    arguments = parser.parse_args()
    table = Table("model", "import, s", "l2c inspect, s", "beyond the import, s", "asked")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models:
            path = Path(folder) / f"{name}.keras"
            subprocess.run([sys.executable, "-c", SAVED, name, path], check=True, stderr=subprocess.DEVNULL)
            commands = {"import": IMPORTS, "inspect": [*COMMAND, "inspect", str(path)]}
            found: dict[str, list[float]] = {key: [] for key in commands}
            for _ in range(arguments.rounds):
                for key, command in commands.items():
                    found[key].append(seconds_of(command))
            imported, inspected = min(found["import"]), min(found["inspect"])
            most = MOST_SECONDS.get(name)
            beyond = inspected - imported
            reached = None if most is None else beyond < most
            rows.append(
                {"model": name, "import": imported, "inspect": inspected, "beyond": beyond, "reached": reached}
            )
            asked = "" if most is None else f"< {most:g} s"
            table.add_row(name, f"{imported:.1f}", f"{inspected:.1f}", f"{beyond:.1f}", asked)
    models = " ".join(arguments.models)
    command = f"python benchmarks/inspect_model.py --rounds {arguments.rounds} --models {models}"
    write_result("inspect_model", command, rows=rows)
    Console().print(table)


if __name__ == "__main__":
    main()
