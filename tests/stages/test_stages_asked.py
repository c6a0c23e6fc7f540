"""What a run is asked for, from all the places where it may stand."""

from __future__ import annotations

import errno
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.errors import InputError
from learn2compress.core.folder import check_folder, run_folder
from learn2compress.core.progress import Event, Progress
from learn2compress.export import convert
from learn2compress.export.convert import check_backend
from learn2compress.stages import elsewhere, training_process
from learn2compress.stages.asked import asked_for, check_same_inputs
from learn2compress.stages.elsewhere import Elsewhere, TrainingJob
from learn2compress.stages.failures import legible_failures, tell_of_earlier
from learn2compress.train.views import ViewSpec

NOTHING = dict.fromkeys(("model", "data", "test_data", "labels"))


def asked(folder: Path, recipe: Path | None = None, *settings: str, resume: bool = False, **given: Any) -> Any:
    return asked_for(folder, {**NOTHING, **given}, recipe, settings, resume=resume)


def test_paths_stand_in_the_recipe_and_live_objects_do_not(tmp_path: Path) -> None:
    def live() -> None:
        pass

    found = asked(tmp_path, model=live, data="photos", labels=["a", "b"])
    assert (found.model, found.data, found.labels) == (live, str(Path("photos").absolute()), ["a", "b"])
    assert found.recipe.model == found.recipe.labels == ""
    assert Path(found.recipe.data).is_absolute()


def test_a_recipe_may_name_model_and_data(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('model = "m.keras"\ndata = "photos"\n')
    found = asked(tmp_path / "out", recipe, data="others")
    assert (found.model, found.data) == (str(tmp_path / "m.keras"), str(Path("others").absolute()))


@pytest.mark.parametrize("inside", ["teacher.keras", "models/large.keras", "checkpoints/photos"])
def test_an_input_that_the_run_would_replace_is_refused(tmp_path: Path, inside: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(tmp_path, model=tmp_path / inside, data="photos")
    assert caught.value.code == "out.holds_input"
    assert asked(tmp_path, model=tmp_path / "mine.keras", data="photos").recipe.model


def test_a_path_that_is_set_is_taken_from_where_the_command_runs(tmp_path: Path) -> None:
    found = asked(tmp_path, None, "data=others", model="m.keras", data="photos")
    assert found.recipe.data == str(Path("others").absolute())


@pytest.mark.parametrize("missing", ["model", "data"])
def test_without_a_model_or_data_there_is_no_run(tmp_path: Path, missing: str) -> None:
    with pytest.raises(InputError) as caught:
        asked(tmp_path, **{key: "here" for key in ("model", "data") if key != missing})
    assert caught.value.code == f"option.{missing}"


def test_an_unfinished_run_says_what_was_asked_for(tmp_path: Path) -> None:
    begun = asked(tmp_path, model="m.keras", data="photos", budget="1h")

    def stop() -> None:
        with run_folder(check_folder(tmp_path), begun.recipe) as run:
            run.recall("plan", lambda: 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert asked(tmp_path, resume=True).recipe == begun.recipe
    assert not asked(tmp_path, resume=True).finished
    assert asked(tmp_path, resume=True, budget="2h").recipe.budget == "2h"
    with pytest.raises(InputError):
        asked(tmp_path)


OUT_OF_MEMORY = [
    MemoryError(),
    type("ResourceExhaustedError", (Exception,), {})(),
    type("JaxRuntimeError", (RuntimeError,), {})("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
]
FAILURES = [
    (OSError(errno.ENOSPC, "No space left on device", "file"), "disk.full"),
    (OSError(errno.EDQUOT, "Disk quota exceeded", "file"), "disk.full"),
    *((error, "memory.exhausted") for error in OUT_OF_MEMORY),
]


@pytest.mark.parametrize(("error", "code"), FAILURES)
def test_a_full_disk_and_used_up_memory_are_named_with_the_way_on(tmp_path: Path, error: Any, code: str) -> None:
    with pytest.raises(InputError) as caught, legible_failures(tmp_path):
        raise error
    assert caught.value.code == code
    assert "same command again" in caught.value.fix


def test_of_a_copy_that_finds_the_disk_full_the_file_is_named_that_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="new could not be written"), legible_failures(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device", "old", None, "new")


@pytest.mark.parametrize(("error", "code"), FAILURES)
def test_so_they_are_by_the_process_that_trains_on_another_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    said: list[dict[str, Any]] = []

    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(training_process, "train", fail)
    monkeypatch.setattr(training_process, "_say", lambda **message: said.append(message))
    monkeypatch.setattr(training_process, "_end_with_the_parent", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    job = TrainingJob("joint", "recipe.toml", "chosen", "chosen", {}, (), 0.0)
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), json.dumps(asdict(job))])
    assert training_process.main() == 0
    ((found, _, fix),) = [message["error"] for message in said]
    assert found == code
    assert "same command again" in fix


@pytest.mark.parametrize(
    ("end", "code", "fix"),
    [
        (
            "print(json.dumps({'error': ['disk.full', 'It is full.', 'free some disk.']}))",
            "disk.full",
            "free some disk",
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", "training.process_ended", "so again, memory may be short"),
        ("sys.exit(1)", "training.process_ended", "so again, begin anew without --backend"),
    ],
)
def test_what_ended_the_process_that_trains_decides_what_is_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, code: str, fix: str
) -> None:
    script = [sys.executable, "-c", f"import json, os, signal, sys; {end}"]
    monkeypatch.setattr(elsewhere, "command", lambda module, *arguments: script)
    place = Elsewhere(Checkpoints(tmp_path), "jax", ViewSpec(1, (8, 8), 0, False), (), Progress())
    with pytest.raises(InputError) as caught:
        place.train("joint", 0.0)
    assert caught.value.code == code
    assert fix in caught.value.fix


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_memory_that_runs_out_in_a_conversion_says_nothing_of_the_model(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> bytes:
        raise error

    converter = SimpleNamespace(target_spec=SimpleNamespace(), convert=fail)
    monkeypatch.setattr(convert, "_converter", lambda call, size: converter)
    with pytest.raises(type(error)):
        convert.to_float32(lambda pixels: pixels, (8, 8))


@pytest.mark.parametrize(
    ("stage", "said"),
    [("joint training", ["killed while it was at joint training; if"]), ("", ["killed; if"]), (None, [])],
)
def test_a_process_warns_of_the_one_before_it_that_was_killed(
    tmp_path: Path, stage: str | None, said: list[str]
) -> None:
    events: list[Event] = []
    run = Checkpoints(tmp_path)
    run.killed_at = stage
    tell_of_earlier(run, Progress(events.append))
    assert [event.kind for event in events] == ["warning"] * len(said)
    for event, words in zip(events, said, strict=True):
        assert words in event.message
        assert "memory may have run out" in event.message


@pytest.mark.parametrize(
    ("stage", "advised"),
    [
        ("inputs", "class folders or TFRecords"),
        ("plan", ""),
        ("trial", "batch_size=16"),
        ("joint training", "batch_size=16"),
        ("quantization-aware training", "batch_size=16"),
        ("export", ""),
    ],
)
def test_what_memory_may_have_run_out_for_decides_what_is_advised(tmp_path: Path, stage: str, advised: str) -> None:
    events: list[Event] = []
    work = tmp_path / "checkpoints"
    plan = work / "chosen" / "cuts" / "plan.json"
    plan.parent.mkdir(parents=True)
    plan.write_text('{"kind": "cuts", "settings": {"batch_size": 32}}')
    run = Checkpoints(work)
    run.killed_at = stage
    tell_of_earlier(run, Progress(events.append))
    ((_, message),) = [(event.kind, event.message) for event in events]
    for words in ("class folders or TFRecords", "batch_size=16"):
        assert (words in message) is (words == advised)
    with pytest.raises(InputError) as caught, legible_failures(tmp_path):
        raise MemoryError
    assert "class folders or TFRecords" in caught.value.fix
    assert f"l2c compress --resume --out {tmp_path} --set training.batch_size=16" in caught.value.fix
    # Where this process has taken smaller ones already, it need not be told to.
    tell_of_earlier(run, Progress(events.append), batch_size=16)
    assert "batch" not in events[-1].message


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "denied"), ValueError("x"), RuntimeError("INTERNAL: x"), KeyboardInterrupt()]
)
def test_other_errors_stay_what_they_are(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), legible_failures(tmp_path):
        raise error


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    check_backend()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="jax") as caught:
        check_backend()
    assert caught.value.code == "backend.unsupported"


def test_a_budget_beside_the_recipe_of_a_run_decides_anew_and_the_same_command_goes_on(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'model = "m.keras"\ndata = "photos"\nroute = "fresh"\nbudget = "20m"\n'
        "[views]\ncount = 7\n[training]\npeak = 0.06\njoint_steps = 900\n"
    )
    as_it_was = asked(tmp_path / "out", recipe)
    assert (as_it_was.recipe.training.joint_steps, as_it_was.recipe.views.count, as_it_was.notes) == (900, 7, ())
    found = asked(tmp_path / "out", recipe, budget="1h")
    assert (found.recipe.training.joint_steps, found.recipe.views.count) == (None, None)
    assert found.recipe.training.peak == 0.06
    assert len(found.notes) == 1

    def stop() -> None:
        with run_folder(check_folder(tmp_path / "out"), found.recipe) as run:
            run.recall("plan", lambda: 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    for again in (asked(tmp_path / "out", recipe, budget="1h"), asked(tmp_path / "out", resume=True, budget="1h")):
        assert again.recipe == found.recipe


def test_what_was_planned_of_one_source_for_other_inputs_is_forgotten(tmp_path: Path) -> None:
    def inputs(teacher: str) -> tuple[Any, Any]:
        split = SimpleNamespace(fingerprint="images")
        dataset = SimpleNamespace(train=split, validation=split, test=split, class_names=("cat", "dog"))
        return SimpleNamespace(fingerprint=teacher), dataset

    check_same_inputs(Checkpoints(tmp_path), *inputs("before"))  # nothing is kept yet
    run = Checkpoints(tmp_path)
    check_same_inputs(run, *inputs("before"))
    run.recall("planned-students", lambda: ["students"])
    again = Checkpoints(tmp_path)
    check_same_inputs(again, *inputs("before"))
    assert again.knows("planned-students")
    check_same_inputs(again, *inputs("after"))
    assert not again.knows("planned-students")
    # Once all are planned it is refused instead.
    again.recall("planned", lambda: ["students"])
    with pytest.raises(InputError) as caught:
        check_same_inputs(Checkpoints(tmp_path), *inputs("another"))
    assert caught.value.code == "run.inputs_changed"
    assert "teacher" in caught.value.what
