"""Every bad input ends in exit code 2 and advice; nothing in it is run, and nothing is left behind.

A row is one line: what is wrong, the command, the error's code, and what the message and the advice must say. The
files that a command names are made by the functions of `tests/bad_input/`; to add one, write its maker into a table
there, and a row here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bad_input import MAKERS, Shop
from bad_input.keras_files import MARKER
from click.testing import CliRunner

from learn2compress.cli import main

LIMIT_SECONDS = 20
HOOK = Path(__file__).parent / "bad_input" / "hook"


class Row(NamedTuple):
    """What is wrong, the command, the error's code, and regular expressions of its message and of its advice."""

    name: str
    command: str
    code: str
    says: str
    fix: str


def options(text: str, code: str, says: str, fix: str) -> Row:
    """Wrong options of `compress`, with a model and data that are fine."""
    return Row(text, f"compress good.keras --data photos --out family {text}", code, says, fix)


def model(file: str, code: str, says: str, fix: str) -> Row:
    """A model that can't be compressed; the data is fine."""
    return Row(f"model {file}", f"compress {file} --data photos --out family", code, says, fix)


def data(path: str, code: str, says: str, fix: str) -> Row:
    """Data that can't be used; the model is fine."""
    return Row(f"data {path}", f"compress good.keras --data {path} --out family", code, says, fix)


def out(path: str, code: str, says: str, fix: str) -> Row:
    """A place that no family can be written to."""
    return Row(f"out {path}", f"compress good.keras --data photos --out {path}", code, says, fix)


def command(text: str, code: str, says: str, fix: str) -> Row:
    """Any command."""
    return Row(text, text, code, says, fix)


OPTIONS = [
    options("--budget soon", "units.malformed", "'soon'", "20m"),
    options("--budget 5s", "option.budget", "5 seconds", "at least 30s"),
    options("--budget=-20m", "units.malformed", "'-20m'", "20m"),
    options("--budget 0", "units.malformed", "'0'", "20m"),
    options("--budget ''", "units.malformed", "''", "20m"),
    options("--budget 1e999h", "units.malformed", "'1e'", "20m"),
    options("--target quick", "target.malformed", "'quick'", "size<=100KB"),
    options("--target 'speed<=1'", "target.unknown_metric", "'speed'", "latency"),
    options("--target 'size<100KB'", "target.direction", "'<'", "size<=100KB"),
    options("--target 'size<=5ms'", "units.malformed", "'5ms'", "KB"),
    options("--target 'latency<=5KB'", "units.malformed", "'5KB'", "ms"),
    options("--target 'accuracy>=nan'", "units.malformed", "'nan'", "0.92"),
    options("--target 'size<=-100KB'", "units.malformed", "-100KB", "100KB"),
    options("--target 'size<=0'", "target.unsatisfiable", "'size<=0'", "size<=100KB"),
    options("--target 'accuracy>=1.5'", "target.unsatisfiable", "between 0 and 1", "0.92"),
    options("--target 'accuracy>=0.9' --target 'accuracy<=0.8'", "target.direction", "'<='", "accuracy>="),
    options("--set training.peek=0.1", "recipe.unknown_key", "'training.peek'", r"mean training\.peak"),
    options("--set peak", "recipe.setting", "'peak'", "KEY=VALUE|training.peak="),
    options("--set training.peak=high", "recipe.value", r"training\.peak = 'high'", r"correct training\.peak"),
    options("--set training.batch_size=0", "recipe.value", "greater than or equal to 1", "training.batch_size"),
    options("--preset turbo", "recipe.value", "'turbo'.*'fast'", "preset"),
    options("--students 0", "option.students", "0", "--students 3"),
    options("--students=-1", "option.students", "-1", "--students 3"),
    options("--students 1000", "option.students", "1000", "--students 3"),
    options("--students many", "usage", "'many'", "l2c compress --help"),
    options("--precision int9", "option.precision", "'int9'", "mean int8"),
    options("--precision ''", "option.precision", "''", "int8, int8-float"),
    options("--precision int8,float16,int8", "option.precision", "int8, float16, int8.*once", "int8,float16"),
    options("--input-type int4", "option.input_type", "'int4'", "uint8, int8, float32"),
    options("--precision float16 --input-type uint8", "option.input_type", "float16 has float32", "--precision int8"),
    options("--output-type double", "option.output_type", "'double'", "uint8, int8, float32"),
    options("--precision int8,dynamic --output-type int8", "option.output_type", "dynamic has", "--output-type out"),
    options("--output pictures", "option.output", "'pictures'", "probabilities, logits"),
    options("--mixed maybe", "option.mixed", "'maybe'", "auto, off"),
    options("--display-labels de", "option.display_labels", "'de'", "de=labels-de.txt"),
    options("--display-labels German=few.txt", "option.display_labels", r"'German=.*few\.txt'", "code such as de"),
    options(
        "--display-labels de=others.txt --display-labels de=few.txt", "option.display_labels", "de twice", "one file"
    ),
    options("--display-labels de=nowhere.txt", "labels.display", r"nowhere\.txt", "one name a line"),
    options("--display-labels de=binary.txt", "labels.display", r"binary\.txt", "UTF-8"),
    options("--display-labels de=few.txt", "labels.display", "1 names for 2 classes", "order of the classes"),
    options("--input-size big", "option.input_size", "'big'", "192x256"),
    options("--input-size 0", "option.input_size", "'0'", "192x256"),
    options("--input-size 8x8x3", "option.input_size", "'8x8x3'", "192x256"),
    options("--input-size 16", "teacher.input_size", "8x8, not of 16x16", "leave out --input-size"),
    options("--model-input nothing", "teacher.no_such_input", "'nothing'", "--model-input"),
    options("--model-output nothing", "teacher.no_such_output", "'nothing'.*scores", "--model-output"),
    options("--backend torch", "recipe.value", "'torch'.*'jax'", "backend"),
    options("--backend jax --teacher joint", "option.backend", "jax", "leave out one"),
    options("--sparsity 1.5", "option.sparsity", "1.5", "--sparsity 0.5"),
    options("--sparsity nan", "option.sparsity", "nan", "--sparsity 0.5"),
    options("--seed=-1", "option.seed", "-1", "--seed 0"),
    options(f"--seed {10**30}", "option.seed", "0{30}", "--seed 0"),
    options("--preprocess sideways", "preprocess.unknown", "'sideways'.*caffe", "127.5,127.5"),
    options("--preprocess 1,2,3", "preprocess.unknown", "'1,2,3'", "127.5,127.5"),
    options("--preprocess 127,0", "preprocess.unknown", "'127,0'", "127.5,127.5"),
    options("--from scratch", "option.route", "'scratch'", "fresh"),
    options("--teacher loose", "recipe.value", "'loose'.*'joint'", "teacher"),
    options("--colour blue", "usage", "--colour", "l2c compress --help"),
    options("--recipe nowhere.toml", "recipe.not_found", "nowhere.toml", "recipe.toml"),
    options("--recipe photos", "recipe.not_found", "photos", "recipe.toml"),
    options("--recipe syntax.toml", "recipe.malformed", "syntax.toml.*line 1", "KEY = VALUE"),
    options("--recipe binary.toml", "recipe.malformed", "binary.toml", "KEY = VALUE"),
    options("--recipe deep.toml", "recipe.malformed", "deep.toml", "KEY = VALUE"),
    options("--recipe unknown_key.toml", "recipe.unknown_key", "'studnets'", "mean students"),
    options("--recipe unknown_section.toml", "recipe.unknown_key", "'trainning'", "mean training"),
    options("--recipe wrong_type.toml", "recipe.value", "students = 'many'", "correct students in .*wrong_type.toml"),
    options("--recipe wrong_section.toml", "recipe.value", "training = 3", "wrong_section.toml"),
    options("--recipe endless.toml", "option.budget", "endless", "at least 30s"),
    options("--recipe no_number.toml", "option.sparsity", "nan", "--sparsity 0.5"),
    options("--recipe bad_target.toml", "target.direction", "'<'", "size<=100KB"),
    options("--labels nowhere.txt", "dataset.labels_file", "nowhere.txt", "one class name a line"),
    options("--labels photos", "dataset.labels_file", "photos", "one class name a line"),
    options("--labels empty.txt", "dataset.class_names", "empty.txt", "name"),
    options("--labels binary.txt", "dataset.labels_file", "UTF-8", "one class name a line"),
    options("--labels twice.txt", "dataset.class_names", "red twice", "name of its own"),
    options("--labels few.txt", "dataset.labels_mismatch", "lack blue", "each of the 2 classes"),
    options("--labels others.txt", "dataset.labels_mismatch", "lack blue, red.*cat, dog", "spelled as in the data"),
    options("--labels many.txt", "teacher.class_count", "2 classes.*name 3", "--labels"),
    options("--test-data nowhere", "dataset.not_found", "nowhere", "folder"),
    options("--test-data stranger", "dataset.unknown_class", "green", "training images"),
    command("compress --data photos --out family", "option.model", "No model", "l2c compress MODEL"),
    command("compress good.keras --out family", "option.data", "No data", "--data DATA"),
    command("compress good.keras --data photos", "usage", "--out", "l2c compress --help"),
    command("compress --recipe list.toml --out family", "recipe.value", "model", "list.toml"),
    command("compress --resume --out family", "run.nothing_to_resume", "family", "l2c compress MODEL"),
    command("squeeze good.keras", "usage", "'squeeze'", "l2c --help"),
]

MODELS = [
    # No models.
    model("nowhere.keras", "teacher.not_found", "nowhere.keras", "path"),
    model("https://example.com/model.keras", "teacher.not_found", "example.com", "download"),
    model("text.keras", "teacher.not_a_model", "text.keras", r"model\.save"),
    model("empty.keras", "teacher.not_a_model", "empty.keras is empty", r"model\.save"),
    model("pickle.keras", "teacher.not_a_model", "pickle.keras", r"model\.save"),
    model("photos", "teacher.not_a_model", "photos is a folder", "file"),
    model("saved_model", "teacher.damaged_file", "saved_model.* no graph", "export the model again"),
    model("folder.keras", "teacher.not_a_model", "is a folder", "file"),
    model("loop.keras", "teacher.unreadable", "loop.keras", "permissions|link"),
    model("other_zip.keras", "teacher.not_a_model", "archive", r"model\.save"),
    model("good.tflite", "teacher.class_count", "10 classes apart, but the data has 2", "data that the model was"),
    model("weights.weights.h5", "teacher.weights_only", "weights", "load the weights"),
    # Damaged ones.
    model("cut.keras", "teacher.damaged_file", "cut.keras", "again"),
    model("cut.h5", "teacher.damaged_file", "cut.h5", "again"),
    model("broken_json.keras", "teacher.damaged_file", "broken_json.keras", "again"),
    model("deep_json.keras", "teacher.damaged_file", "deep_json.keras", "again"),
    model("list_json.keras", "teacher.damaged_file", "list_json.keras", "again"),
    model("no_weights.keras", "teacher.not_a_model", "no_weights.keras", r"model\.save"),
    model("garbled_weights.keras", "teacher.load_failed", "garbled_weights.keras", "save it again"),
    model("unknown_layer.keras", "teacher.load_failed", "Convolution9D", "Keras version"),
    model("wrong_argument.keras", "teacher.load_failed", "wrong_argument.keras", "Keras version"),
    # Code.
    model("lambda.keras", "teacher.carries_code", "Lambda", "live model"),
    model("lambda.h5", "teacher.carries_code", "Lambda", "live model"),
    model("system.keras", "teacher.custom_objects", r"os\.system", "live model"),
    model("exec.keras", "teacher.custom_objects", r"builtins\.exec|exec", "live model"),
    model("builtin.keras", "teacher.custom_objects", "eval", "live model"),
    model("popen.keras", "teacher.custom_objects", r"subprocess\.Popen", "live model"),
    model("import.keras", "teacher.custom_objects", r"evil_module\.Conv2D", "live model"),
    model("registered.keras", "teacher.custom_objects", "Own", "live model"),
    model("keras_internal.keras", "teacher.custom_objects", "get_file", "live model"),
    model("saved_model_layer.keras", "teacher.carries_code", "TFSMLayer", "live model"),
    model("reads_file.keras", "teacher.reads_files", "/etc/passwd", "model.save"),
    model("pickled_weights.keras", "teacher.load_failed", "pickled_weights.keras", "save it again"),
    # Archives.
    model("path_trick.keras", "teacher.unsafe_archive", r"\.\./executed", r"model\.save"),
    model("absolute_path.keras", "teacher.unsafe_archive", "/executed", r"model\.save"),
    model("config_bomb.keras", "teacher.zip_bomb", "100 MB", r"model\.save"),
    model("weights_bomb.keras", "teacher.zip_bomb", "300 MB", r"model\.save"),
    model("asset_bomb.keras", "teacher.zip_bomb", "300 MB", r"model\.save"),
    model("huge_layer.keras", "teacher.damaged_file", "weights", "again"),
    # Models of another kind.
    model("two_inputs.keras", "teacher.many_inputs", "2 inputs", r"keras\.Model"),
    model("two_outputs.keras", "teacher.many_outputs", "2 outputs", r"keras\.Model"),
    command(
        "compress regression.keras --data three_classes --out family",
        "teacher.binary_output",
        "single score.*3 classes",
        "Dense.3, activation=.softmax",
    ),
    model("sequences.keras", "teacher.not_an_image", "sequences", "another model"),
    model("tables.keras", "teacher.not_an_image", "vectors", "another model"),
    model("four_channels.keras", "teacher.not_an_image", "4 channels", "3 channels"),
    model("channels_first.keras", "teacher.channels_first", "channels first", "channels_last"),
    model("one_pixel.keras", "teacher.input_size", "1", "at least"),
    model("giant_input.keras", "teacher.input_size", "60,?000", "at most"),
    model("segmentation.keras", "teacher.not_a_classifier", "shape", "GlobalAveragePooling2D"),
    model("subclassed.keras", "teacher.custom_objects", "Own", "live model"),
    model("three_classes.keras", "teacher.class_count", "3 classes.*has 2", "--labels"),
    model("guesser.keras", "teacher.at_chance", "no better than guessing", "--preprocess"),
    model("nan_weights.keras", "teacher.nan", "NaN", "get_weights"),
    model("nan_outputs.keras", "teacher.nan", "NaN", "get_weights"),
    # Graphs of other frameworks.
    model("empty.onnx", "teacher.not_a_model", "empty.onnx is empty", "ONNX|function"),
    model("text.onnx", "teacher.not_a_model", "text.onnx", "ONNX|function"),
    model("cut.onnx", "teacher.damaged_file", "cut.onnx", "export the model again"),
    model(
        "outside.onnx", "teacher.carries_code", r"\.\./etc/passwd, outside its folder", "in the file itself or beside"
    ),
    model("missing.onnx", "teacher.damaged_file", r"weights\.bin, which is not there", "again"),
    model("unknown_operation.onnx", "teacher.load_failed", "Teleport", "standard operations"),
    model("two_outputs.onnx", "teacher.many_outputs", "2 outputs.*scores0", "--model-output scores1"),
    model("four_channels.onnx", "teacher.not_an_image", "4, 8, 8", "image classifier"),
    model("vectors.onnx", "teacher.not_an_image", "5", "image classifier"),
    model("text.pb", "teacher.not_a_model", "text.pb", "function"),
    model("runs_python.pb", "teacher.carries_code", "PyFunc", "function"),
    model("writes_file.pb", "teacher.carries_code", "WriteFile", "function"),
    model("aborts.pb", "teacher.carries_code", "Abort ends the process", "function"),
    model("not_frozen.pb", "teacher.not_frozen", "weights are variables", "freeze it"),
    model("of_vectors.pb", "teacher.not_an_image", "no input that takes images", "image classifier"),
    model("pixelwise.pb", "teacher.not_a_classifier", "8, 8, 3", "GlobalAveragePooling2D"),
    model("python_model", "teacher.carries_code", "PyFunc.* runs Python code", "function"),
    model("writing_model", "teacher.carries_code", "WriteFile", "function"),
    model("reading_model", "teacher.carries_code", "ReadFile", "function"),
    model("half_model", "teacher.damaged_file", "half_model", "export the model again"),
    model("without_variables", "teacher.damaged_file", "its folder variables is not there", "again"),
    # Files of LiteRT.
    model("cut.tflite", "teacher.damaged_file", r"cut\.tflite", "again"),
    model("head.tflite", "teacher.damaged_file", r"head\.tflite", "again"),
    model("garbled.tflite", "teacher.damaged_file", r"garbled\.tflite", "again"),
    model("flex.tflite", "teacher.custom_ops", r"flex\.tflite needs operations", "TFLITE_BUILTINS"),
    model("custom_op.tflite", "teacher.custom_ops", "RunAnything", "TFLITE_BUILTINS"),
    command("inspect any_size.keras", "teacher.size_unknown", "any size", "--data"),
]

DATA = [
    # Folders.
    data("nowhere", "dataset.not_found", "nowhere", "folder"),
    data("https://example.com/photos.zip", "dataset.not_found", "example.com", "download"),
    data("notes.txt", "dataset.unknown_kind", "notes.txt", "folder per class"),
    data("photos.zip", "dataset.unknown_kind", "photos.zip", "unpack"),
    data("empty", "dataset.empty_folder", "empty", "DATA/cat"),
    data("flat", "dataset.no_class_folders", "flat", "DATA/cat"),
    data("one_class", "dataset.one_class", "only one class", "at least two"),
    data("one_image", "dataset.class_too_small", r"blue \(1\)", "at least 3 images"),
    data("empty_class", "dataset.empty_class", "blue", "add images"),
    data("wrapped", "dataset.no_class_folders", "only the folder archive", "archive"),
    data("no_train", "dataset.no_train_split", "no train folder", "train/"),
    data("two_trains", "dataset.ambiguous_split", "train.*training", "rename"),
    data("stranger", "dataset.unknown_class", "test split.*green", "training images"),
    data("empty_test", "dataset.empty_split", "test", "add images"),
    data("class_inside_class", "dataset.class_inside_class", "all", "link"),
    data("misnamed", "dataset.class_names", "control character|line break", "rename|one line"),
    data("round_trip", "dataset.not_found", "round_trip", "folder"),
    data("tfds:no_such_set_at_all", "dataset.tfds_unknown", "no_such_set_at_all", "tfds:cifar10"),
    # Images.
    data("zero_bytes", "dataset.undecodable", r"3 of 24.*red/00\.png", "replace or delete"),
    data("text_images", "dataset.undecodable", r"3 of 24.*red/00\.png", "replace or delete"),
    data("cut_images", "dataset.undecodable", r"3 of 24.*red/00\.png", "replace or delete"),
    data("pickled_images", "dataset.undecodable", r"3 of 24.*red/00\.png", "replace or delete"),
    data("image_bomb", "dataset.undecodable", "too many pixels", "replace or delete"),
    # Arrays.
    data("text.npz", "dataset.unreadable_npz", "text.npz", r"np\.savez"),
    data("empty.npz", "dataset.unreadable_npz", "empty.npz", r"np\.savez"),
    data("cut.npz", "dataset.unreadable_npz", "cut.npz", r"np\.savez"),
    data("pickled.npz", "dataset.object_array", "Python objects", r"np\.savez"),
    data("pickled_labels.npz", "dataset.object_array", "Python objects", r"np\.savez"),
    data("pickled_names.npz", "dataset.object_array", "Python objects, class_names", "dtype=str"),
    data("huge_shape.npz", "dataset.unreadable_npz", "huge_shape.npz", r"np\.savez"),
    data("npz_bomb.npz", "dataset.zip_bomb", "288 MB", r"np\.savez"),
    data("other_keys.npz", "dataset.npz_keys", "images, y_train", "x_train"),
    data("no_labels.npz", "dataset.npz_keys", "x_train", "y_train"),
    data("few_labels.npz", "dataset.length_mismatch", "20 images but 19 labels", "one label per image"),
    data("negative_labels.npz", "dataset.label_range", "-1", "0 for the first class"),
    data("fractional_labels.npz", "dataset.label_type", "not whole", "0 for the first class"),
    data("text_labels.npz", "dataset.label_type", "text", "0 for the first class"),
    data("gap_labels.npz", "dataset.empty_class", "no images.*1", "without gaps"),
    data("huge_labels.npz", "dataset.label_range", "1000000000000000", "0 for the first class"),
    data("one_class.npz", "dataset.one_class", "only one class", "at least two"),
    data("few_names.npz", "dataset.unknown_class", "index 2|class 2", "name for every class"),
    data("same_names.npz", "dataset.class_names", "a twice", "name of its own"),
    data("nan.npz", "dataset.nan", "NaN", r"np\.isnan"),
    data("normalised.npz", "dataset.pixel_range", "normalised already", "uint8"),
    data("four_channels.npz", "dataset.image_shape", r"\(20, 8, 8, 4\)", "transparency"),
    data("channels_first.npz", "dataset.image_shape", r"\(20, 3, 8, 8\)", "transpose"),
    data("no_images.npz", "dataset.image_shape", "no images", "uint8"),
    # Tables and records.
    data("missing_photos.csv", "dataset.table_missing_files", r"1 of 25 images.*photos/red/99\.png", "correct them"),
    data("other_columns.csv", "dataset.table_columns", "a, b", "name the columns path, label"),
    data("ragged.csv", "dataset.table_row", "Line 26.*3 cells", "double quotes"),
    data("two_labels.csv", "dataset.table_two_labels", "red in line 2, blue in line 26", "one label"),
    data("no_label.csv", "dataset.table_label", "Line 26", "fill it in"),
    data("empty.csv", "dataset.table_empty", "names no images", "path,label"),
    data("header_only.csv", "dataset.table_empty", "names no images", "path,label"),
    data("utf16.csv", "dataset.table_unreadable", "no text in UTF-8", "write it as UTF-8"),
    data("no_json.jsonl", "dataset.table_row", "Line 1", "one object a line"),
    data("list.jsonl", "dataset.table_row", "Line 1.*no object", "one object a line"),
    data("empty.tfrecord", "dataset.tfrecord_empty", "no records", "how it was written"),
    data("text.tfrecord", "dataset.tfrecord_damaged", "record 1", "write it again"),
    data("cut.tfrecord", "dataset.tfrecord_damaged", "record 11", "copied whole"),
    data("no_examples.tfrecord", "dataset.tfrecord_example", r"Record 1 .*no tf\.train\.Example", "image/encoded"),
    data("no_images.tfrecord", "dataset.tfrecord_example", "no image bytes", "image/encoded"),
    data("negative.tfrecord", "dataset.tfrecord_example", "label is -1", "image/class/label"),
    data("text_images.tfrecord", "dataset.tfrecord_example", "its image", "image/encoded"),
]

OUTS = [
    out("file", "out.not_a_folder", "is a file", "another --out"),
    out("file/inside", "out.not_a_folder", "is a file", "another --out"),
    out("loop", "out.not_a_folder", "loop", "another --out"),
    out("mine", "out.not_empty", "not empty", "empty folder"),
    out("photos", "out.not_empty", "not empty", "empty folder"),
    out(".", "out.not_empty", "not empty", "empty folder"),
    out("photos/family", "out.inside_data", "inside the data", "beside"),
    out("photos/red/family", "out.inside_data", "inside the data", "beside"),
    out("other_checkpoints", "out.not_empty", "checkpoints", "another --out|empty folder"),
    out("other_run", "run.unfinished", "students: 3 here, 5 there", "--resume"),
    command(
        "compress good.keras --data holding_data/models --out holding_data",
        "out.holds_input",
        "models",
        "another --out",
    ),
    command("compress --resume --out broken_state", "run.damaged", "state.json", "delete"),
    command("compress --resume --out list_state", "run.damaged", "state.json", "delete"),
    command("compress --resume --out newer_state", "run.other_version", "another version", "delete"),
    command("compress --resume --out broken_begun", "recipe.malformed", "recipe.toml", "KEY = VALUE"),
    command("demo --out file", "out.not_a_folder", "is a file", "another --out"),
]

OTHER_COMMANDS = [
    command("inspect nowhere.keras", "teacher.not_found", "nowhere.keras", "path"),
    command("inspect lambda.keras", "teacher.carries_code", "Lambda", "live model"),
    command("inspect good.keras --data nowhere", "dataset.not_found", "nowhere", "folder"),
    command("inspect good.keras --data zero_bytes", "dataset.undecodable", r"3 of 24.*red/00\.png", "names them all"),
    command("inspect --data zero_bytes", "dataset.undecodable", r"3 of 24.*red/00\.png", "replace or delete"),
    command("inspect --data empty_class", "dataset.empty_class", "blue", "add images"),
    command("inspect --data one_image", "dataset.class_too_small", r"blue \(1\)", "at least 3 images"),
    command("inspect --data stranger", "dataset.unknown_class", "test split.*green", "training images"),
    command("inspect --data class_inside_class", "dataset.class_inside_class", "all", "link"),
    command("inspect --data gap_labels.npz", "dataset.empty_class", "no images.*1", "without gaps"),
    command("inspect --data pickled.npz", "dataset.object_array", "Python objects", r"np\.savez"),
    command("measure nowhere.tflite", "tflite.missing", "nowhere.tflite", "path"),
    command("measure https://example.com/a.tflite", "tflite.missing", "example.com", "download"),
    command("measure folder.tflite", "tflite.missing", "folder.tflite", "path"),
    command("measure text.tflite", "tflite.not_tflite", "text.tflite", "LiteRT"),
    command("measure empty.tflite", "tflite.not_tflite", "empty.tflite", "LiteRT"),
    command("measure other.tflite", "tflite.not_tflite", "TFL9", "LiteRT"),
    command("measure cut.tflite", "tflite.unreadable", "cut.tflite", "again"),
    command("measure head.tflite", "tflite.unreadable", "head.tflite", "again"),
    command("measure garbled.tflite", "tflite.unreadable", "garbled.tflite", "again"),
    command("measure wrong_tensor.tflite", "tflite.unreadable", "wrong_tensor.tflite", "again"),
    command("measure custom_op.tflite", "tflite.unreadable", "RunAnything|custom_op.tflite", "again"),
    command("measure good.tflite --threads 0", "option.threads", "0", "--threads 1"),
    command("measure good.tflite --threads 100000", "option.threads", "100000", "--threads"),
    command("measure good.keras", "tflite.not_tflite", "good.keras", "LiteRT"),
    command("measure", "usage", "FILES", "l2c measure --help"),
    command("evaluate nowhere.tflite --data photos", "tflite.missing", "nowhere.tflite", "path"),
    command("evaluate text.tflite --data photos", "tflite.not_tflite", "text.tflite", "LiteRT"),
    command("evaluate cut.tflite --data photos", "tflite.unreadable", "cut.tflite", "again"),
    command("evaluate two_inputs.tflite --data photos", "tflite.ports", "2 inputs", "one image input"),
    command("evaluate broken_metadata.tflite --data photos", "tflite.metadata", "metadata", "--labels|again"),
    command("evaluate good.tflite --data photos", "dataset.labels_mismatch", "lack blue, red", "spelled as"),
    command("evaluate good.tflite --data photos --labels others.txt", "dataset.labels_mismatch", "blue", "spelled"),
    command(
        "evaluate good.tflite --data fine.npz --labels others.txt", "evaluate.classes", "outputs.*2 classes", "data"
    ),
    command("evaluate good.tflite --data nowhere", "dataset.not_found", "nowhere", "folder"),
    command("evaluate no_outputs.tflite --data photos", "tflite.ports", "0 outputs", "one image input"),
    command("evaluate good.tflite --data photos --split some", "usage", "'some'", "l2c evaluate --help"),
    command("evaluate good.tflite --data photos --seed=-1", "option.seed", "-1", "--seed 0"),
    command("report nowhere", "family.missing", "nowhere", "--out"),
    command("report file", "family.missing", "file", "--out"),
    command("report family_text", "family.unreadable", "family.json", "again"),
    command("report family_cut", "family.unreadable", "family.json", "again"),
    command("report family_deep", "family.unreadable", "family.json", "again"),
    command("report family_list", "family.unreadable", "family.json", "again"),
    command("report family_newer", "family.newer", "newer", "upgrade"),
    command("report family_version", "family.unreadable", "family.json", "again"),
    command("report family_unknown", "family.unreadable", "owner", "again"),
    command("report family_surrogate", "family.unreadable", "surrogates", "again"),
    command("report family_accuracy", "family.unreadable", r"teacher\.accuracy\.test", "again"),
    command("report family_types", "family.unreadable", "seed", "again"),
    command("export nowhere --member small --to web", "family.missing", "nowhere", "--out"),
    command("export photos --member small --to web", "family.missing", "photos holds no family", "--out"),
    command("export family_text --member small --to web", "family.unreadable", "family.json", "again"),
    command("export family_small --member large --to web", "member.unknown", "'large'", "small"),
    command("export family_small --member small --to fridge", "export.target", "'fridge'", "android.*micro"),
    command("export family_small --member small --to web --out mine", "out.not_empty", "mine is not empty", "--out"),
    command("export family_small --member small --to web --out file", "out.not_a_folder", "is a file", "--out"),
    command("export family_gone --member small --to web", "tflite.missing", r"small\.tflite", "path"),
    command("export family_outside --member small --to web", "family.unreadable", "no file in the family", "again"),
    command("export family_small --member small", "usage", "--to", "l2c export --help"),
]

ROWS = [*OPTIONS, *MODELS, *DATA, *OUTS, *OTHER_COMMANDS]
# Where permissions bind: everybody but root.
CLOSED = [
    Row("closed", "compress good.keras --data photos --out closed", "out.not_writable", "closed", "another --out"),
    Row(
        "unreadable", "compress good.keras --data unreadable --out family", "dataset.unreadable", "red", "permissions"
    ),
    Row("closed model", "inspect good.keras", "teacher.unreadable", "good.keras", "permissions"),
]

# By the package that an extra installs: what is said where it is not there.
EXTRAS = {
    "onnxruntime": Row(
        "onnx",
        "compress good.onnx --data photos --out family",
        "teacher.onnx_missing",
        "ONNX Runtime, which is not installed",
        r"pip install 'learn2compress\[onnx\]'",
    ),
    "tensorflow_datasets": Row(
        "tfds",
        "compress good.keras --data tfds:cifar10 --out family",
        "dataset.tfds_missing",
        "tensorflow-datasets, which is not installed",
        r"pip install 'learn2compress\[tfds\]'",
    ),
}


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The inputs, each made when a row first names it."""
    return Shop(tmp_path_factory.mktemp("bad"))


@pytest.fixture
def place(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a working directory that holds what a command names; cache and temporary files lie in it too."""

    def prepare(text: str) -> Path:
        for folder in ("cache", "tmp"):
            (tmp_path / folder).mkdir()
        words = shlex.split(text)
        # A table of images names the photos.
        for word in [*words, *(["photos"] if text.count(".csv") or text.count(".jsonl") else [])]:
            name = word.rpartition("=")[2].split("/")[0]  # as in LOCALE=FILE
            if name in MAKERS and not os.path.lexists(tmp_path / name):
                shop.place(name, tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("L2C_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        return tmp_path

    return prepare


def cpu_seconds() -> float:
    """Of processors, by this process and those it has waited for: a busy machine does not stretch that."""
    return sum(os.times()[:4])


def contents(folder: Path) -> dict[str, str]:
    """What lies in a folder: kind and content of everything."""
    return {str(path.relative_to(folder)): _content(path) for path in folder.rglob("*")}


def _content(path: Path) -> str:
    if path.is_symlink():
        return str(path.readlink())
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"


def check(row: Row, code: int, stdout: str, stderr: str) -> None:
    """Whether that is an end that helps."""
    assert code == 2, f"{stdout[-500:]}\n{stderr[-3000:]}"
    assert "Traceback" not in stderr
    assert "error: " in stderr
    assert "To fix: " in stderr
    error: dict[str, Any] = json.loads(stdout)["error"]
    assert error["code"] == row.code, error
    assert re.search(row.says, error["message"]), error
    assert re.search(row.fix, error["fix"]), error
    assert error["message"] in stderr
    assert len(stderr) < 2000, stderr


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_it_is_refused(place: Callable[[str], Path], row: Row) -> None:
    folder = place(row.command)
    before = contents(folder)
    began = cpu_seconds()
    found = CliRunner().invoke(main, [*shlex.split(row.command), "--json"])
    took = cpu_seconds() - began
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    check(row, found.exit_code, found.stdout, found.stderr)
    assert took <= LIMIT_SECONDS
    after = contents(folder)
    assert MARKER not in after
    # TensorFlow removes the code that it generates when the process ends.
    assert {path: kind for path, kind in after.items() if "__autograph_generated_file" not in path} == before


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_it_is_refused_by_the_command_itself(place: Callable[[str], Path], row: Row) -> None:
    folder = place(row.command)
    before = contents(folder)
    arguments = [sys.executable, "-m", "learn2compress", *shlex.split(row.command), "--json"]
    path = os.pathsep.join(filter(None, (str(HOOK), os.environ.get("PYTHONPATH"))))
    began, began_cpu = time.monotonic(), cpu_seconds()
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)),  # of a machine of its own
        env={**os.environ, "PYTHONPATH": path},
    )
    took, took_cpu = time.monotonic() - began, cpu_seconds() - began_cpu
    check(row, done.returncode, done.stdout, done.stderr)
    # Longer by the clock is only where others had the processors.
    assert min(took, took_cpu) <= LIMIT_SECONDS
    assert not (folder / MARKER).exists(), (folder / MARKER).read_text()
    assert contents(folder) == before


@pytest.mark.usefixtures("bound_by_permissions")
@pytest.mark.parametrize("row", CLOSED, ids=[row.name for row in CLOSED])
def test_what_is_closed_is_refused(place: Callable[[str], Path], row: Row) -> None:
    folder = place(row.command)
    closed = {"closed": "closed", "unreadable": "unreadable/red"}.get(row.name, "good.keras")
    before = contents(folder)
    (folder / closed).chmod(0o500 if row.name == "closed" else 0)
    found = CliRunner().invoke(main, [*shlex.split(row.command), "--json"])
    (folder / closed).chmod(0o700)
    check(row, found.exit_code, found.stdout, found.stderr)
    assert contents(folder) == before


@pytest.mark.parametrize("package", EXTRAS)
def test_what_needs_an_extra_says_which(
    place: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    folder = place(EXTRAS[package].command)
    before = contents(folder)
    monkeypatch.setitem(sys.modules, package, None)  # what Python does for a module that is not there
    found = CliRunner().invoke(main, [*shlex.split(EXTRAS[package].command), "--json"])
    check(EXTRAS[package], found.exit_code, found.stdout, found.stderr)
    assert contents(folder) == before


def test_what_the_rows_are_made_from_is_fine(place: Callable[[str], Path]) -> None:
    """The good model and the good data are not what the rows are refused for."""
    place("good.keras photos")
    found = CliRunner().invoke(main, ["inspect", "good.keras", "--data", "photos", "--json"])
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["validation_accuracy"] == 1.0


def test_there_are_enough_rows() -> None:
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names)) >= 60
