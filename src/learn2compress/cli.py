"""The command line. Each command parses, calls one function of the library and prints what it returns."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from learn2compress.core.errors import InputError
from learn2compress.core.framing import CROP, FRAMINGS, Framing
from learn2compress.core.version import __version__
from learn2compress.ending import Commands, ending_in_words, tell

if TYPE_CHECKING:
    from rich.console import RenderableType

    from learn2compress.core.family import Family
    from learn2compress.core.progress import Event, Listener

PATH = click.Path(path_type=Path)

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
quiet = click.option("--quiet", is_flag=True, help="No progress bars and notes.")


@contextlib.contextmanager
def _listeners(silent: bool, warnings: bool = False) -> Iterator[list[Listener]]:
    """What shows progress: bars on a terminal, lines in a log; where it is silent, warnings alone or nothing."""
    if silent:
        yield [_show_warning] if warnings else []
        return
    from rich.console import Console

    from learn2compress.terminal import Bars, Lines

    console = Console(stderr=True)
    if not console.is_terminal:
        yield [Lines(console)]
        return
    with Bars(console) as bars:
        yield [bars]


def _show_warning(event: Event) -> None:
    if event.kind == "warning":
        click.echo(f"warning: {event.message}", err=True)


def _show(found: Any, as_json: bool, tables: Callable[[Any], Iterable[RenderableType]]) -> None:
    """What a command found: as one JSON document, or as tables and lines for people."""
    if as_json:
        click.echo(json.dumps(found))
    else:
        _print(tables(found))


def _show_family(family: Family, as_json: bool) -> None:
    from learn2compress.report.tables.family import family_tables

    if as_json:
        click.echo(family.model_dump_json())
    else:
        _print(family_tables(family))


def _print(parts: Iterable[RenderableType]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for part in parts:
        # Lines are not broken: paths are to be copied.
        console.print(part, highlight=False, soft_wrap=isinstance(part, Text))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="l2c")
def main() -> None:
    """Turn a trained Keras model and its data into a family of small LiteRT models."""


@main.command()
@click.argument("model", type=PATH, required=False)
@click.option(
    "--data", type=PATH, metavar="DATA", help="Folder, table, .npz, TFRecords or tfds:NAME; see docs/data.md."
)
@click.option("--out", required=True, type=PATH, metavar="DIR", help="Folder to write the family to.")
@click.option("--test-data", type=PATH, metavar="DATA", help="Other data for the test split.")
@click.option(
    "--labels", type=PATH, metavar="FILE", help="Text file of class names in the order of the model's outputs."
)
@click.option("--students", type=int, metavar="N", help="Least number of members.  [default: 3]")
@click.option("--target", "targets", multiple=True, metavar="EXPR", help="A bound, as in 'size<=100KB'.")
@click.option("--budget", metavar="TIME", help="Time for the whole run.  [default: 20m]")
@click.option(
    "--from",
    "route",
    metavar="ROUTE",
    help="teacher: the teacher's own layers, fewer (cuts) or narrower (prunings); fresh: students of our own; auto: "
    "what the data and a short trial speak for.  [default: auto]",
)
@click.option(
    "--preprocess",
    metavar="NAME",
    help="What the model wants done to pixels 0..255: raw, unit, signed, torch, caffe, others (docs/cli.md), "
    "or MEAN,STD.  [default: auto]",
)
@click.option(
    "--input-size", metavar="SIZE", help="224 or 192x256 (height x width), for a model that takes images of any size."
)
@click.option(
    "--framing",
    metavar="crop|squeeze",
    help="How images of another shape are brought to the input's: cropped to the centre, or squeezed as a whole.  "
    "[default: crop]",
)
@click.option("--model-input", "input_name", metavar="NAME", help="The model's input that takes the image.")
@click.option("--model-output", "output_name", metavar="NAME", help="The model's output (or tensor) of the scores.")
@click.option(
    "--teacher",
    metavar="fixed|joint",
    help="joint: a copy of the teacher is trained along with its students.  [default: fixed]",
)
@click.option(
    "--sparsity", type=float, metavar="S", help="Share of weights that become zero: smaller zipped.  [default: 0]"
)
@click.option(
    "--backend",
    metavar="tensorflow|jax",
    help="What trains: jax, an extra, uses all GPUs, TPUs or other devices of this machine.  [default: tensorflow]",
)
@click.option(
    "--precision",
    multiple=True,
    metavar="NAMES",
    help="int8 (unless told otherwise), int8-float, int16x8, float16, dynamic or float32; of several, with commas, "
    "each member is written in each.",
)
@click.option(
    "--input-type", metavar="TYPE", help="What int8 files take: uint8 (unless told otherwise), int8, float32."
)
@click.option("--output-type", metavar="TYPE", help="What they give: uint8 (unless told otherwise), int8, float32.")
@click.option("--output", metavar="WHAT", help="probabilities (unless told otherwise) or logits.")
@click.option(
    "--mixed",
    metavar="auto|off",
    help="auto (unless told otherwise): where int8 costs a member more than a point, what hurts most stays float32.",
)
@click.option("--seed", type=int, metavar="N", help="Of every random choice.  [default: 0]")
@click.option("--teacher-licence", metavar="TEXT", help="Licence of MODEL, for metadata and model cards.")
@click.option("--data-licence", metavar="TEXT", help="Licence of the data, likewise.")
@click.option(
    "--display-labels",
    multiple=True,
    metavar="LOCALE=FILE",
    help="Class names in another language, one a line, in the order of the classes.",
)
@click.option("--preset", metavar="NAME", help="fast (5m), balanced (20m) or best (90m).  [default: balanced]")
@click.option(
    "--recipe", type=PATH, metavar="FILE", help="TOML file that says all this, such as a run's recipe.toml."
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A key of the recipe.")
@click.option("--resume", is_flag=True, help="Go on with the unfinished run in DIR, with its options.")
@as_json
@quiet
@ending_in_words
def compress(out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Compress MODEL, a trained image classifier, into DIR.

    MODEL is a .keras, .h5, .tflite, .onnx or frozen .pb file, or the folder of a SavedModel.

    The same command again goes on with a run that was interrupted.

    Exit codes: 0 done; 1 a member could not be written, or its file does not do what the trained member does; 2 the
    input is wrong; 3 no member meets a target; 130 interrupted.
    """
    _compress(out, as_json, quiet, command=_command_line(), **options)


def _compress(out: Path, as_json: bool, silent: bool, **options: Any) -> None:
    # Checked here too, because loading TensorFlow takes seconds and these mistakes are found without it.
    from learn2compress.core.folder import check_folder
    from learn2compress.core.options import Options
    from learn2compress.core.paths import at_home
    from learn2compress.core.recipe import Recipe, check_given
    from learn2compress.core.rerun import composed
    from learn2compress.inputs.display_names import split_display_labels
    from learn2compress.inputs.model_files.kinds import check_model_file

    out = at_home(out)
    for several in ("targets", "precision", "display_labels"):
        options[several] = options.get(several) or None
    names = Recipe.model_fields.keys() & options.keys()
    given = {name: str(value) if isinstance(value := options[name], Path) else value for name in names}
    if not options.get("resume"):
        recipe, _ = composed(options.get("recipe"), options.get("settings", ()), given)
        Options.of(recipe)
        split_display_labels(recipe.display_labels)
        check_given(recipe.model_dump())
        check_folder(out)
        check_model_file(Path(recipe.model))
    from learn2compress.core.silence import silenced

    with silenced():  # TensorFlow greets everyone on import
        from learn2compress.compress import compress as run
    from learn2compress.core.errors import TargetsUnmetError
    from learn2compress.core.family import Family
    from learn2compress.core.progress import Progress

    with _listeners(as_json or silent, warnings=True) as listeners, _terminated_like_interrupted():
        try:
            family = run(out=out, progress=Progress(*listeners), **options)
        except TargetsUnmetError as error:
            if not as_json and error.code == "targets.unmet":
                _show_family(Family.load(out), as_json)
            raise
    _show_family(family, as_json)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """A polite end by the system (SIGTERM) keeps the place as Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _command_line() -> str:
    return shlex.join(["l2c", *sys.argv[1:]])


@main.command()
@click.argument("model", type=PATH, required=False)
@click.option("--data", type=PATH, metavar="DATA", help="Look at this data, and at how the model does on it.")
@click.option(
    "--labels", type=PATH, metavar="FILE", help="Text file of class names in the order of the model's outputs."
)
@click.option("--preprocess", metavar="NAME", default="auto", help="As for compress.")
@click.option("--input-size", metavar="SIZE", default="auto", help="As for compress.")
@click.option("--framing", type=click.Choice(FRAMINGS), default=CROP, help="As for compress.")
@click.option("--model-input", "input_name", metavar="NAME", default="", help="As for compress.")
@click.option("--model-output", "output_name", metavar="NAME", default="", help="As for compress.")
@as_json
@ending_in_words
def inspect(
    model: Path | None, data: Path | None, labels: Path | None, framing: Framing, as_json: bool, **options: str
) -> None:
    """Say what MODEL is and how it could be compressed, or what is in DATA, or both."""
    if model is None:
        _inspect_data(data, labels, as_json)
        return
    from learn2compress.inspection import inspect_model
    from learn2compress.report.tables.model import model_tables

    with _listeners(as_json) as listeners:
        found = inspect_model(model, data, labels, framing=framing, listeners=listeners, **options)
    _show_with_problems(found, as_json, model_tables)


def _inspect_data(data: Path | None, labels: Path | None, as_json: bool) -> None:
    if data is None:
        raise InputError(
            "option.model", "There is nothing to inspect.", "write l2c inspect MODEL, or l2c inspect --data DATA."
        )
    from learn2compress.inspection import inspect_data
    from learn2compress.report.tables.data import data_tables

    with _listeners(as_json) as listeners:
        found = inspect_data(data, listeners, labels)
    _show_with_problems(found, as_json, data_tables)


def _show_with_problems(
    found: dict[str, Any], as_json: bool, tables: Callable[[Any], Iterable[RenderableType]]
) -> None:
    """What was found, then what speaks against it, which ends the command: the rest is worth seeing too."""
    problems = found["problems"]
    # The key `error` is where every command that ends so has the reason.
    _show({**found, "error": problems[0]} if problems and as_json else found, as_json, tables)
    for problem in problems:
        tell(InputError(problem["code"], problem["message"], problem["fix"]))
    if problems:
        sys.exit(InputError.exit_code)


@main.command()
@click.argument("file", type=PATH)
@click.option("--data", required=True, type=PATH, metavar="DATA", help="Labelled images.")
@click.option(
    "--split",
    type=click.Choice(["auto", "test", "all"]),
    default="auto",
    show_default=True,
    help="test: the test split, made as compress does where DATA has none; all: all images; auto: the test split "
    "that DATA has, or that was made of it when FILE was compressed on it, and else all.",
)
@click.option(
    "--labels", type=PATH, metavar="FILE", help="Class names in the order of the outputs; else those in the file."
)
@click.option(
    "--seed", metavar="N", default=0, show_default=True, help="Of the split, where DATA has none of its own."
)
@click.option(
    "--preprocess",
    metavar="NAME",
    default="auto",
    help="As for compress; by default what the file's metadata say, or raw.",
)
@click.option(
    "--framing",
    type=click.Choice(["auto", *FRAMINGS]),
    default="auto",
    help="As for compress; by default what the file's metadata say, or crop.",
)
@as_json
@ending_in_words
def evaluate(
    file: Path, data: Path, split: str, labels: Path | None, seed: int, preprocess: str, framing: str, as_json: bool
) -> None:
    """Measure the accuracy of FILE.tflite on DATA.

    DATA may show some of the classes only. What was measured on is said beside the figures.
    """
    from learn2compress.evaluation import evaluate_file
    from learn2compress.report.tables.files import accuracy_lines

    with _listeners(as_json) as listeners:
        found = evaluate_file(file, data, split, labels, seed, listeners, preprocess, framing)
    _show(found, as_json, accuracy_lines)


@main.command()
@click.argument("files", type=PATH, nargs=-1, required=True)
@click.option("--threads", metavar="N", default=1, show_default=True, help="Threads of the LiteRT interpreter.")
@as_json
@ending_in_words
def measure(files: tuple[Path, ...], threads: int, as_json: bool) -> None:
    """Measure size, latency (interleaved, so that ratios hold) and memory of .tflite FILES."""
    from learn2compress.measure.models import measure_paths
    from learn2compress.report.tables.files import files_tables

    _show(measure_paths(files, threads), as_json, files_tables)


@main.command()
@click.argument("folder", metavar="DIR", type=PATH)
@as_json
@ending_in_words
def report(folder: Path, as_json: bool) -> None:
    """Print the table of the family in DIR and write its report.html and model cards anew."""
    from learn2compress.core.family import Family
    from learn2compress.report.card import write_cards
    from learn2compress.report.page import write_report

    family = Family.load(folder)
    write_report(family, folder)
    write_cards(family, folder)
    _show_family(family, as_json)


@main.command()
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--member", required=True, metavar="NAME", help="Which member of the family.")
@click.option("--to", required=True, metavar="APP", help="android, ios, web, python or micro (a microcontroller).")
@click.option("--out", type=PATH, metavar="FOLDER", help="Folder to write.  [default: NAME-APP]")
@as_json
@ending_in_words
def export(folder: Path, member: str, to: str, out: Path | None, as_json: bool) -> None:
    """Write a folder that an app is built from: a member of the family in DIR, its labels, and code."""
    from learn2compress.apps.folder import export as write

    place = write(folder, member, to, out)
    files = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    if as_json:
        click.echo(json.dumps({"folder": str(place), "files": files}))
        return
    click.echo(f"{place}\n" + "\n".join(f"  {file}" for file in files))


@main.command()
@click.option("--out", default="demo-family", show_default=True, type=PATH, metavar="DIR", help="Folder to write to.")
@as_json
@quiet
@ending_in_words
def demo(out: Path, as_json: bool, quiet: bool) -> None:
    """Compress the embedded clothing classifier: what `make demo` runs."""
    from learn2compress.demo import BUDGET, find_example

    example = find_example()
    command = shlex.join(["l2c", "demo", "--out", str(out)])
    options = {"model": example.teacher, "data": example.photos, "budget": BUDGET}
    _compress(out, as_json, quiet, command=command, **options)
