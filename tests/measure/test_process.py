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


@pytest.mark.parametrize(
    ("end", "said", "advised", "not_advised"),
    [
        ("os.abort()", "SIGABRT: bad tensor", "damaged", "memory"),
        # It is not the file that is suspected.
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", "memory may have run out", "damaged"),
    ],
)
def test_a_process_that_is_ended_by_a_signal_is_an_error_that_names_it_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, said: str, advised: str, not_advised: str
) -> None:
    source = f"import os, signal, sys\nprint('bad tensor', file=sys.stderr, flush=True)\n{end}\n"
    with pytest.raises(InputError, match=rf"a\.tflite was ended by {said}") as caught:
        ask(worker(tmp_path, monkeypatch, source), {}, about="a.tflite", timeout_seconds=60)
    assert caught.value.code == "measure.crashed"
    assert advised in caught.value.fix
    assert not_advised not in caught.value.fix


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
