from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from learn2compress.core.errors import InputError
from learn2compress.measure.process import ask


def worker(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> str:
    (folder / "worker_under_test.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "worker_under_test"


def test_a_reply_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from learn2compress.measure.process import answer\n"
        "print('chatter')\n"
        "answer(lambda request: {'twice': 2 * request['n']})\n"
    )
    module = worker(tmp_path, monkeypatch, source)
    assert ask(module, {"n": 21}, about="x", timeout_seconds=60) == {"twice": 42}


def test_a_process_that_aborts_is_an_error_that_names_file_and_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = worker(tmp_path, monkeypatch, "import os, sys\nprint('bad tensor', file=sys.stderr)\nos.abort()\n")
    with pytest.raises(InputError, match=r"a\.tflite was ended by SIGABRT: bad tensor") as caught:
        ask(module, {}, about="a.tflite", timeout_seconds=60)
    assert caught.value.code == "measure.crashed"
    assert "damaged" in caught.value.fix


def test_of_a_process_that_was_killed_it_is_not_the_file_that_is_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = worker(tmp_path, monkeypatch, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(InputError, match=r"a\.tflite was ended by SIGKILL") as caught:
        ask(module, {}, about="a.tflite", timeout_seconds=60)
    assert caught.value.code == "measure.crashed"
    assert "memory may have run out" in caught.value.fix
    assert "damaged" not in caught.value.fix


def test_a_process_that_fails_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = worker(tmp_path, monkeypatch, "raise KeyError('nonsense')\n")
    with pytest.raises(InputError, match=r"exit code 1: KeyError: 'nonsense'"):
        ask(module, {}, about="a.tflite", timeout_seconds=60)


def test_a_process_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = worker(tmp_path, monkeypatch, "import threading\nthreading.Event().wait()\n")
    with pytest.raises(InputError) as caught:
        ask(module, {}, about="a.tflite", timeout_seconds=0.05)
    assert caught.value.code == "measure.timeout"


def test_a_module_in_the_current_folder_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "json.py").write_text("raise SystemExit('a stray file was imported')")
    monkeypatch.chdir(here)
    source = "from learn2compress.measure.process import answer\nanswer(lambda request: {})\n"
    assert ask(worker(tmp_path, monkeypatch, source), {}, about="x", timeout_seconds=60) == {}


def test_workers_start_without_tensorflow_keras_and_pydantic() -> None:
    code = (
        "import sys, learn2compress.measure.latency_worker, learn2compress.measure.memory_worker\n"
        "print({'tensorflow', 'keras', 'pydantic', 'ai_edge_litert'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"
