"""Every family of keras.applications in int8: float, two post-training quantizers, and quantization-aware training.

    python benchmarks/quantization.py [--models MobileNetV2 ...] [--samples 9600] [--tuned 50] [--images 3000]

The smallest model of each family, with fresh weights (published ones can't be had here), learns to tell CIFAR-10's
animals from its vehicles, which so short a training is enough for: `--samples` images in steps of 32 (a third of them
where images must be larger than 64 pixels). Then it is taught by itself for `--tuned` steps more: without rounding,
which the post-training quantizers start from, and with it. Accuracy is that of the files; the distance is half the
absolute difference from the float file's probabilities, and includes, for the trained one, where training led it.
ai-edge-quantizer runs in an environment of its own, made at the first run. Each model takes minutes: its row is
written when it is there, and rows of models that are not asked for stay.
"""

from __future__ import annotations

import learn2compress  # noqa: F401  # isort: skip  (before Keras: it sets what TensorFlow reads once)

import argparse
import json
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from _harness import HERE, find_data, interpreter_with
from rich.console import Console
from rich.table import Table

from learn2compress.core.precision import FileFormat
from learn2compress.core.progress import SILENT
from learn2compress.export.convert import from_pixels, to_float32, to_int8, to_post_training_int8
from learn2compress.graph.lower import lowered
from learn2compress.graph.trunk import build_whole
from learn2compress.inputs.arrays import ArraySplit
from learn2compress.inputs.dataset import load_dataset
from learn2compress.inputs.teacher import load_teacher
from learn2compress.measure.accuracy import tflite_probabilities
from learn2compress.measure.delegation import delegation
from learn2compress.measure.host import environment
from learn2compress.stages.files import ready_to_write
from learn2compress.stages.float_parts import float_parts
from learn2compress.train.batches import LabelledViews
from learn2compress.train.fake_quant import float_by_nature
from learn2compress.train.quantize import folded, quantization_aware_training, quantization_ready, with_probabilities
from learn2compress.train.settings import SETTINGS
from learn2compress.train.soft_labels import soft_labels
from learn2compress.train.trainable import plain, trainable, with_pixels
from learn2compress.train.views import Views, ViewSpec

# The smallest of each family, and the smallest image where 32 pixels are too few.
MODELS = {
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "DenseNet121": 32,
    "ConvNeXtTiny": 32,
    "VGG16": 32,
    "NASNetMobile": 64,
    "Xception": 71,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
}
# Without batch norm, larger steps lead nowhere.
RATES = {"VGG16": 1e-4, "ConvNeXtTiny": 5e-4}
VEHICLES = ("airplane", "automobile", "ship", "truck")
BATCH = 32
RESULT = HERE / "results" / "quantization.json"
FULL_SIZE, LARGE_SHARE = 64, 1 / 3
CALIBRATED = 100
EDGE_QUANTIZER = "ai-edge-quantizer==0.10.0"
WORDS = {
    "float": "float32",
    "converter": "post-training int8, converter",
    "edge": "post-training int8, ai-edge-quantizer",
    "ours": "int8, quantization-aware",
}


def animals_and_vehicles(folder: Path) -> Any:
    """CIFAR-10 with two classes."""
    with np.load(find_data() / "cifar10.npz") as arrays:
        found = dict(arrays)
    vehicle = np.isin(found["class_names"], VEHICLES).astype(np.uint8)
    for split in ("y_train", "y_test"):
        found[split] = vehicle[found[split]]
    found["class_names"] = np.array(["animal", "vehicle"])
    np.savez(folder / "two.npz", **found)
    return load_dataset(folder / "two.npz")


def member_of(name: str, size: int, classes: int) -> Any:
    """The model with fresh weights as a member: `(pixels - 128) / 128` to logits."""
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=classes)
    return build_whole(lowered(model), name, np.full(3, 1 / 128), np.full(3, -1.0), False)


def trained(member: Any, dataset: Any, size: int, steps: int, rate: float) -> Any:
    """Trained from scratch, each step on other images, some of them mirrored."""
    model = trainable(member, "float32", 0.9)
    schedule = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=rate, warmup_steps=steps // 5)
    model.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum_over_batch_size"),
        jit_compile=False,
    )
    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = np.sort(rng.choice(len(dataset.train), BATCH, replace=False))
        images = dataset.train.batch(chosen, (size, size))
        images = np.where(rng.random((BATCH, 1, 1, 1)) < 0.5, images[:, :, ::-1], images)
        model.train_on_batch((images.astype(np.float32) - 128) / 128, dataset.train.labels[chosen])
    return plain(model)


def tuned(start: Any, batches: LabelledViews, steps: int) -> Any:
    """Taught by what it was, with the rounding that is in it."""
    quantization_aware_training(
        [start], batches, SILENT, settings=SETTINGS["prunings"], seconds=0, plan_steps=lambda *_: steps
    )
    return start


def with_signature(model: Any, size: int, folder: Path) -> bytes:
    """The float32 file of a model from pixels to probabilities, with a signature: ai-edge-quantizer asks for one."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    image = tf.TensorSpec((1, size, size, 3), tf.float32, name="image")
    whole = tf.function(lambda image: model(image, training=False)).get_concrete_function(image)
    # Variables of Keras 3 come out of a saved model without their values, silently.
    frozen = convert_variables_to_constants_v2(whole)
    module = tf.Module()
    call = tf.function(lambda image: {"probabilities": frozen(image)[0]}, input_signature=[image])
    tf.saved_model.save(module, str(folder / "saved"), signatures={"serving_default": call.get_concrete_function()})
    content: bytes = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved")).convert()
    return content


def files_of(name: str, size: int, dataset: Any, arguments: Any, python: Path | None, folder: Path) -> Any:
    """The files of a model, by the word for what they are; beside them the reasons for what is float in ours."""
    keras.utils.set_random_seed(0)
    steps = int(arguments.samples / BATCH * (1 if size <= FULL_SIZE else LARGE_SHARE))
    member = trained(member_of(name, size, dataset.classes), dataset, size, steps, RATES.get(name, 1e-3))
    with_pixels(member, name.lower()).save(folder / "teacher.keras")
    teacher = load_teacher(folder / "teacher.keras", dataset=dataset, preprocess="raw")
    some = ArraySplit(
        dataset.train.stacked[: BATCH * arguments.tuned], dataset.train.labels[: BATCH * arguments.tuned]
    )
    views = Views(some, ViewSpec(1, (size, size), 0, True))
    soft, _ = soft_labels(teacher, views, dataset.classes, folder / "soft", SILENT)
    batches = LabelledViews(views, soft, BATCH, 0)
    graph = tuned(folded(member), batches, arguments.tuned)
    twin = tuned(quantization_ready(member), batches, arguments.tuned)
    samples = dataset.train.batch(np.arange(CALIBRATED), (size, size))
    call = from_pixels(with_probabilities(graph, name.lower(), rounded=False))
    contents = {
        "float": to_float32(call, (size, size)),
        "converter": to_post_training_int8(call, (size, size), samples),
        "ours": to_int8(ready_to_write(twin, FileFormat(), name.lower()), (size, size)),
    }
    paths = {word: folder / f"{word}.tflite" for word in WORDS}
    for word, content in contents.items():
        paths[word].write_bytes(content)
    if python:
        np.save(folder / "samples.npy", samples.astype(np.float32))
        (folder / "signed.tflite").write_bytes(with_signature(with_pixels(graph, name.lower()), size, folder))
        script = HERE / "_edge_quantizer.py"
        command = [python, script, folder / "signed.tflite", folder / "samples.npy", paths["edge"]]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr.strip().splitlines()[-1:], flush=True)
    return {word: path for word, path in paths.items() if path.exists()}, float_by_nature(graph)


def row_of(name: str, size: int, dataset: Any, arguments: Any, python: Path | None) -> dict[str, Any]:
    started = time.perf_counter()
    keras.backend.clear_session()
    chosen = np.arange(min(arguments.images, len(dataset.test)))
    labels = dataset.test.labels[chosen]
    with tempfile.TemporaryDirectory() as folder:
        paths, reasons = files_of(name, size, dataset, arguments, python, Path(folder))
        found = {word: tflite_probabilities(path, dataset.test, chosen) for word, path in paths.items()}
        parts, unexplained = float_parts(paths["ours"], FileFormat(), reasons)
        assert not unexplained, unexplained
        row = {
            "model": name,
            "size": size,
            "files": {
                word: {
                    "bytes": path.stat().st_size,
                    "accuracy": float((found[word].argmax(axis=1) == labels).mean()),
                    "distance": float(np.abs(found[word] - found["float"]).sum(axis=1).mean() / 2),
                }
                for word, path in paths.items()
            },
            "xnnpack": {
                word: delegation(path).model_dump(mode="json") for word, path in paths.items() if word != "float"
            },
            "float_parts": [{"reason": part.reason, "operators": len(part.operators)} for part in parts],
            "seconds": time.perf_counter() - started,
        }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--samples", type=int, default=9600)
    parser.add_argument("--tuned", type=int, default=50)
    parser.add_argument("--images", type=int, default=3000, help="of the test split")
    parser.add_argument(
        "--markdown", action="store_true", help="only print the rows that are there, for docs/precision.md"
    )
    arguments = parser.parse_args()
    if arguments.markdown:
        print(markdown(json.loads(RESULT.read_text(encoding="utf-8"))["rows"]))
        return
    python = interpreter_with("edge-quantizer", EDGE_QUANTIZER)
    if python is None:
        print(f"{EDGE_QUANTIZER} can't be installed: its column stays empty")
    with tempfile.TemporaryDirectory() as folder:
        dataset = animals_and_vehicles(Path(folder))
        for name in arguments.models:
            write(row_of(name, MODELS[name], dataset, arguments, python), arguments)
    show(json.loads(RESULT.read_text(encoding="utf-8"))["rows"])


def write(row: dict[str, Any], arguments: Any) -> None:
    before = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
    rows = {other["model"]: other for other in before} | {row["model"]: row}
    result = {
        "benchmark": "quantization",
        "command": "python benchmarks/quantization.py",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "samples": arguments.samples,
        "tuned": arguments.tuned,
        "test_images": arguments.images,
        "environment": environment().model_dump(),
        "rows": [rows[name] for name in MODELS if name in rows],
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table in the documentation: accuracies, what XNNPACK takes of our file, and what is in float32."""
    lines = ["| model | " + " | ".join(f"{words}, %" for words in WORDS.values()) + " | XNNPACK takes | in float32 |"]
    lines.append("| --- " * (len(WORDS) + 3) + "|")
    for row in rows:
        cells = [f"{100 * row['files'][word]['accuracy']:.1f}" if word in row["files"] else "" for word in WORDS]
        taken = row["xnnpack"]["ours"]
        pieces = "1 piece" if taken["pieces"] == 1 else f"{taken['pieces']} pieces"
        cells.append(f"{taken['delegated']} of {taken['operators']} operators, {pieces}")
        cells.append("; ".join(part["reason"] for part in row["float_parts"]) or "nothing")
        lines.append(f"| {' | '.join([row['model'], *cells])} |")
    return "\n".join(lines)


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("model", *(f"{words}, %" for words in WORDS.values()), "in float32")
    for row in rows:
        cells = [f"{100 * row['files'][word]['accuracy']:.1f}" if word in row["files"] else "" for word in WORDS]
        table.add_row(row["model"], *cells, "; ".join(part["reason"] for part in row["float_parts"]) or "nothing")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
