"""The command line: quick, documented, and with the exit codes that it promises."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from learn2compress.cli import main
from learn2compress.core.errors import (
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    EXIT_OK,
    InputError,
    L2CError,
    TargetsUnmetError,
)
from learn2compress.core.progress import Progress
from learn2compress.core.version import __version__

HEAVY = ("tensorflow", "keras", "ai_edge_litert", "jax", "torch", "matplotlib")
ROOT = Path(__file__).parents[1]


def python(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **more}
    )


def imported(stderr: str) -> set[str]:
    """Top-level packages in the output of `-X importtime`."""
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in stderr.splitlines() if "|" in line}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["compress", "--help"], ["evaluate", "--help"], ["measure", "-h"]]
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    done = python("-X", "importtime", "-m", "learn2compress", *arguments)
    assert done.returncode == 0
    assert "click" in imported(done.stderr)
    assert not imported(done.stderr) & {*HEAVY, "numpy", "rich", "PIL"}


@pytest.mark.parametrize(
    "statement",
    [
        "import learn2compress",
        "from learn2compress import Family, InputError, L2CError, Progress, TargetsUnmetError",
        "import learn2compress.plan.members, learn2compress.report.tables.family, learn2compress.core.options",
    ],
)
def test_importing_the_package_loads_nothing_heavy(statement: str) -> None:
    done = python("-X", "importtime", "-c", statement)
    assert done.returncode == 0, done.stderr[-500:]
    assert "learn2compress" in imported(done.stderr)
    assert not imported(done.stderr) & set(HEAVY)


def test_all_public_names_can_be_had() -> None:
    # First the module, which Python then puts into the package under the name that the function should have.
    import learn2compress
    from learn2compress.compress import compress as function

    assert learn2compress.compress is function
    for name in learn2compress.__all__:
        assert getattr(learn2compress, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        learn2compress.no_such_name  # noqa: B018


def test_the_version_is_said() -> None:
    assert __version__ in CliRunner().invoke(main, ["--version"]).stdout


MISTAKES = [
    (["--target", "size<100KB"], "target.direction"),
    (["--target", "quick"], "target.malformed"),
    (["--target", "size<=100KB", "--target", "speed<=1"], "target.unknown_metric"),
    (["--target", "size<=0"], "target.unsatisfiable"),
    (["--target", "drop<=1"], "target.bounds_nothing"),
    (["--budget", "5s"], "option.budget"),
    (["--budget", "soon"], "units.malformed"),
    (["--budget", "20"], "units.malformed"),
    (["--budget", "1h30"], "units.malformed"),
    (["--students", "0"], "option.students"),
    (["--from", "scratch"], "option.route"),
    (["--seed", "-1"], "option.seed"),
    (["--precision", "int4"], "option.precision"),
    (["--precision", "int8,float32", "--input-type", "uint8"], "option.input_type"),
    (["--precision", "int8-float", "--output-type", "int8"], "option.output_type"),
    (["--output", "scores"], "option.output"),
    (["--mixed", "on"], "option.mixed"),
    (["--display-labels", "german.txt"], "option.display_labels"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compress(*options: str) -> Sequence[str]:
    return ["compress", "model.keras", "--data", "photos", "--out", "family", *options]


@pytest.mark.parametrize(("options", "code"), MISTAKES)
def test_a_wrong_option_ends_with_exit_code_2_and_nothing_is_written(
    folder: Path, options: list[str], code: str
) -> None:
    found = CliRunner().invoke(main, [*compress(*options), "--json"])
    assert found.exit_code == EXIT_INPUT
    error = json.loads(found.stdout)["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["fix"]
    assert error["message"] in found.stderr
    assert list(folder.iterdir()) == []


def test_a_home_folder_that_no_shell_has_put_in_is_where_the_run_is_looked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    begun = folder / "family" / "checkpoints" / "recipe.toml"
    begun.parent.mkdir(parents=True)
    begun.touch()

    def interrupted(**options: object) -> None:
        raise KeyboardInterrupt

    importlib.import_module("learn2compress.compress")
    monkeypatch.setattr(sys.modules["learn2compress.compress"], "compress", interrupted)
    found = CliRunner().invoke(main, ["compress", "--resume", "--out=~/family"])
    assert found.exit_code == EXIT_INTERRUPTED
    assert "what was reached is kept" in found.stderr
    assert "--resume" in found.stderr


def test_without_json_standard_output_stays_empty(folder: Path) -> None:
    found = CliRunner().invoke(main, compress("--target", "quick"))
    assert (found.exit_code, found.stdout) == (2, "")
    assert "error: " in found.stderr
    assert "To fix: " in found.stderr
    assert "Traceback" not in found.stderr


def test_wrong_options_are_found_before_anything_heavy_is_loaded(folder: Path) -> None:
    (folder / "family").mkdir()
    (folder / "family" / "mine.txt").write_text("mine")
    for options in (["--target", "quick"], []):
        done = python("-X", "importtime", "-m", "learn2compress", *compress(*options))
        assert done.returncode == 2
        assert not imported(done.stderr) & set(HEAVY)
    assert [path.name for path in folder.rglob("*")] == ["family", "mine.txt"]


@pytest.mark.parametrize("option", ["--data", "--out"])
def test_a_missing_option_is_a_usage_error(folder: Path, option: str) -> None:
    arguments = list(compress())
    place = arguments.index(option)
    del arguments[place : place + 2]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 2
    assert option in found.stderr


def test_an_out_folder_that_holds_something_else_is_refused_untouched(folder: Path) -> None:
    (folder / "family").mkdir()
    (folder / "family" / "mine.txt").write_text("mine")
    found = CliRunner().invoke(main, [*compress(), "--json"])
    assert found.exit_code == 2
    assert json.loads(found.stdout)["error"]["code"] == "out.not_empty"
    assert (folder / "family" / "mine.txt").read_text() == "mine"


def test_an_out_folder_inside_a_file_is_refused(folder: Path) -> None:
    (folder / "family").write_text("mine")
    arguments = ["compress", "model.keras", "--data", "photos", "--out", "family/inside", "--json"]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 2
    assert json.loads(found.stdout)["error"]["code"] == "out.not_a_folder"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["report", "nowhere"], "family.missing"),
        (["export", "nowhere", "--member", "small", "--to", "web"], "family.missing"),
        (["measure", "nowhere.tflite"], "tflite.missing"),
        (["evaluate", "nowhere.tflite", "--data", "photos"], "tflite.missing"),
        (["inspect", "nowhere.keras"], "teacher.not_found"),
        (["measure", "text.tflite"], "tflite.not_tflite"),
        (["measure", "text.tflite", "--threads", "0"], "option.threads"),
        (["inspect", "text.tflite"], "teacher.not_a_model"),
    ],
)
def test_every_command_says_what_is_wrong_with_its_input(folder: Path, arguments: list[str], code: str) -> None:
    (folder / "text.tflite").write_text("no model")
    found = CliRunner().invoke(main, [*arguments, "--json"])
    assert found.exit_code == 2
    assert json.loads(found.stdout)["error"]["code"] == code
    assert [path.name for path in folder.iterdir()] == ["text.tflite"]


def test_the_help_says_the_defaults_that_hold() -> None:
    from learn2compress.core.recipe import PRESETS, Recipe

    helps = {parameter.name: getattr(parameter, "help", None) or "" for parameter in main.commands["compress"].params}
    said = {name: found.group(1) for name, text in helps.items() if (found := re.search(r"\[default: (.+)\]", text))}
    assert set(said) == {
        "backend",
        "students",
        "budget",
        "route",
        "teacher",
        "preprocess",
        "framing",
        "sparsity",
        "seed",
        "preset",
    }
    for name, value in said.items():
        default = getattr(Recipe(), name)
        assert type(default)(value) == default, name
    for name, values in PRESETS.items():
        assert f"{name} ({values['budget']})" in helps["preset"]


def options() -> list[tuple[str, str]]:
    """Every (command, option) there is."""
    found = []
    for name, command in main.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                found += [(name, option) for option in parameter.opts if option.startswith("--")]
    return found


def synopses() -> dict[str, str]:
    """What docs/cli.md says that each command takes: the first cells of its table, or of its rows in the last one.

    What stands before the first section is for every command.
    """
    every, *sections = re.split(r"(?m)^## ", (ROOT / "docs/cli.md").read_text(encoding="utf-8"))
    found = dict.fromkeys(main.commands, every)
    for section in sections:
        owner = re.match(r"`l2c (\w+)", section)
        for cell in re.findall(r"(?m)^\| ((?:\\\||[^|\n])*) \|", section):
            row = re.match(r"`l2c (\w+)", cell)
            if command := row or owner:
                found[command.group(1)] += f"\n{cell}"
    return found


def named(text: str) -> set[str]:
    """The options that a text names."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text))


@pytest.mark.parametrize("command", sorted(main.commands))
def test_the_docs_name_the_options_of_each_command_where_they_tell_of_it(command: str) -> None:
    taken = {option for name, option in options() if name == command}
    assert named(synopses()[command]) == {*taken, "--json", "--help"}


def given(option: click.Option) -> str:
    """What the help writes for the value of an option."""
    return "|".join(option.type.choices) if isinstance(option.type, click.Choice) else option.metavar or ""


@pytest.mark.parametrize("command", sorted(main.commands))
def test_the_docs_and_the_help_write_the_same_word_for_the_value_of_an_option(command: str) -> None:
    valued = [p for p in main.commands[command].params if isinstance(p, click.Option) and not p.is_flag]
    written = re.findall(r"(--[a-z-]+) ([^\s`\],]+)", synopses()[command].replace("\\|", "|"))
    assert set(written) == {(option.opts[0], given(option)) for option in valued}


def test_advice_names_only_options_there_are() -> None:
    known = {option for _, option in options()}
    # What every command has; pip's; properties of the report's pages.
    known |= {"--help", "--upgrade", "--plot", "--plot-font", "--plot-background"}
    for path in sorted((ROOT / "src/learn2compress").rglob("*.py")):
        assert named(path.read_text(encoding="utf-8")) <= known, path


def test_the_help_and_the_docs_of_compress_say_every_exit_code() -> None:
    codes = {error.exit_code for error in (L2CError, InputError, TargetsUnmetError)} | {EXIT_OK, EXIT_INTERRUPTED}
    docs = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    for text in (main.commands["compress"].help or "", docs):
        said = re.sub(r"\(.*?\)", "", text.partition("Exit codes: ")[2].partition("\n\n")[0], flags=re.DOTALL)
        assert {int(clause.split()[0]) for clause in said.split(";")} == codes


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_and_option_has_a_help_text(name: str) -> None:
    command = main.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or isinstance(parameter.type, click.Choice), parameter.name


@pytest.mark.parametrize("reached", [True, False])
def test_a_run_that_the_system_ends_says_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    def ended(out: Path, **options: object) -> None:
        if reached:
            (out / "checkpoints").mkdir(parents=True)
            (out / "checkpoints" / "recipe.toml").touch()
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setitem(sys.modules, "learn2compress.compress", SimpleNamespace(compress=ended))
    found = CliRunner().invoke(main, ["compress", "--resume", "--out", "my family"])
    assert found.exit_code == EXIT_INTERRUPTED
    assert ("nothing was written" in found.stderr) is not reached
    if reached:
        last = found.stderr.splitlines()[-1]
        assert shlex.split(last) == ["l2c", "compress", "--resume", "--out", "my family"]


@pytest.mark.parametrize("reached", [True, False])
def test_an_interruption_is_a_json_document_where_one_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    def interrupted(out: Path, **options: object) -> None:
        if reached:
            (out / "checkpoints").mkdir(parents=True)
            (out / "checkpoints" / "recipe.toml").touch()
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "learn2compress.compress", SimpleNamespace(compress=interrupted))
    found = CliRunner().invoke(main, ["compress", "--resume", "--out", "family", "--json"])
    assert found.exit_code == EXIT_INTERRUPTED
    error = json.loads(found.stdout)["error"]
    assert error["code"] == "interrupted"
    assert error["message"] in found.stderr
    assert ("l2c compress --resume --out family" in error["fix"]) is reached


@pytest.mark.parametrize("anew", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_a_family_that_is_complete_is_named_when_only_its_table_is_interrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, anew: bool, before: bool
) -> None:
    manifest = Path("my family", "family.json")
    if before:
        manifest.parent.mkdir()
        manifest.write_text("{}")

    def interrupted(out: Path, **options: object) -> None:
        if anew:
            # In the place of the one that an earlier command wrote, which says nothing of this one.
            out.mkdir(exist_ok=True)
            (out / "part").write_text("{}")
            (out / "part").replace(manifest)
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "learn2compress.compress", SimpleNamespace(compress=interrupted))
    found = CliRunner().invoke(main, ["compress", "--resume", "--out", "my family", "--json"])
    assert found.exit_code == EXIT_INTERRUPTED
    error = json.loads(found.stdout)["error"]
    assert ("my family" in error["message"]) is (anew or before)
    assert ("complete" in error["message"]) is anew
    assert ("nothing was written" in error["message"]) is not anew
    assert ("l2c report 'my family'" in error["fix"]) is anew


def test_a_command_that_writes_nothing_can_be_interrupted_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("learn2compress.inspection.inspect_data", interrupted)
    found = CliRunner().invoke(main, ["inspect", "--data", "photos", "--json"])
    assert (found.exit_code, json.loads(found.stdout)["error"]["code"]) == (EXIT_INTERRUPTED, "interrupted")


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (MemoryError(), "memory.exhausted"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk.full"),
        (OSError(errno.EACCES, "Permission denied", "photos"), "file.unreachable"),
    ],
)
def test_what_fails_on_this_machine_is_said_in_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, code: str
) -> None:
    def fail(*arguments: object) -> None:
        raise failure

    monkeypatch.setattr("learn2compress.inspection.inspect_data", fail)
    found = CliRunner().invoke(main, ["inspect", "--data", "photos", "--json"])
    assert found.exit_code == EXIT_INPUT
    error = json.loads(found.stdout)["error"]
    assert error["code"] == code
    assert "batch_size" not in error["fix"]
    assert "goes on" not in error["fix"]


@pytest.mark.parametrize("failure", [OSError(errno.EBADF, "Bad file descriptor"), ValueError("a defect")])
def test_a_defect_of_ours_keeps_its_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*arguments: object) -> None:
        raise failure

    monkeypatch.setattr("learn2compress.inspection.inspect_data", fail)
    assert CliRunner().invoke(main, ["inspect", "--data", "photos"]).exception is failure


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_a_quiet_run_tells_its_warnings_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    def warned(progress: Progress, **options: object) -> None:
        progress.note("going on")
        progress.warn("memory may have run out")
        raise InputError("disk.full", "The disk is full.")

    monkeypatch.setitem(sys.modules, "learn2compress.compress", SimpleNamespace(compress=warned))
    found = CliRunner().invoke(main, ["compress", "--resume", "--out", "family", option])
    assert found.stderr.splitlines()[0] == "warning: memory may have run out"
    assert "going on" not in found.stderr
    assert "memory" not in found.stdout
