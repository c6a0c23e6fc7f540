"""Training in a process of its own, on JAX: a backend is chosen once a process, and files are written by TensorFlow.

The process gets the plan, the place of the soft labels and the data from the run's folder, trains on all local
devices that divide the batch evenly, and leaves the trained weights there as an interrupted training does, only
finished. The run then goes on from these. Its other end is `stages.training_process`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.errors import InputError
from learn2compress.core.processes import command, ending, environment, last_words
from learn2compress.core.progress import Event, Progress
from learn2compress.core.recipe import RECIPE
from learn2compress.stages.batch_size import with_smaller_batches
from learn2compress.train.views import ViewSpec

Phase = Literal["joint", "quantization"]
INTERRUPTED = 130


@dataclass(frozen=True)
class TrainingJob:
    """What the process is told.

    Attributes:
        phase: which of the two trainings.
        recipe: path of the run's recipe, which names the data.
        plan: key of the plan whose members are trained.
        joint_plan: key of the plan that was trained jointly; members cut out of it later are in `plan`.
        views: a `ViewSpec`.
        shards: paths of the soft labels.
        seconds: for the training; 0 where the number of steps stands.
    """

    phase: Phase
    recipe: str
    plan: str
    joint_plan: str
    views: dict[str, Any]
    shards: tuple[str, ...]
    seconds: float


def check_backend_available(backend: str, **inputs: Any) -> None:
    """Refuses a backend that is not installed, and inputs that no other process can read.

    Args:
        backend: as asked for.
        inputs: what the data is made of, by the names of options; None where nothing was given.

    Raises:
        InputError: `backend.missing` or `backend.data`.
    """
    if backend == "tensorflow":
        return
    if find_spec(backend) is None:
        raise InputError(
            "backend.missing",
            f"--backend {backend} needs a package that is not installed.",
            f"pip install 'learn2compress[{backend}]', or [cuda] for NVIDIA GPUs; or leave out --backend.",
        )
    for name, value in inputs.items():
        if value is not None and not isinstance(value, str | Path):
            raise InputError(
                "backend.data",
                f"Training on {backend} happens in a process of its own, which can't see the {type(value).__name__} "
                f"given as {name}.",
                f"give {name} as a path, or leave out the backend.",
            )


@dataclass(frozen=True)
class Elsewhere:
    """Where a run trains that asks for another backend than TensorFlow.

    Attributes:
        run: its state.
        backend: with `tensorflow` nothing happens elsewhere.
        views: that are trained on.
        shards: paths of their soft labels.
        progress: gets the events of the process.
    """

    run: Checkpoints
    backend: str
    views: ViewSpec
    shards: tuple[str, ...]
    progress: Progress

    def train(self, phase: Phase, seconds: float, *, needed: bool = True) -> None:
        """Runs a training to its end, once a run; what it reached stays when it is interrupted.

        Raises:
            InputError: what the process raised, or `training.process_ended`.
            KeyboardInterrupt: it was interrupted.
        """
        if self.backend == "tensorflow" or not needed:
            return
        plan = "fitting" if self.run.knows("fitting") else "chosen"
        recipe = str(self.run.folder / RECIPE)
        job = TrainingJob(phase, recipe, plan, "chosen", asdict(self.views), self.shards, seconds)
        self.run.recall(f"{phase} training on {self.backend}", lambda: self._run(job))

    def _run(self, job: TrainingJob) -> None:
        self.run.keep()
        started = time.monotonic()
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
            process = subprocess.Popen(
                command("learn2compress.stages.training_process", str(self.run.folder), json.dumps(asdict(job))),
                env=environment(KERAS_BACKEND=self.backend),
                stdin=subprocess.PIPE,  # closed by the system when this process dies, however it dies
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                encoding="utf-8",
            )
            try:
                self._listen(process.stdout or ())
                code = process.wait()
            except KeyboardInterrupt:
                process.terminate()  # it keeps its place
                process.wait()
                self.run.keep()
                raise
            finally:
                process.kill()
            words.seek(0)
            said = last_words(words.read())
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise InputError(
                "training.process_ended",
                f"The process that trained on {self.backend} {ending(code)} "
                f"after {time.monotonic() - started:.0f} s{said}",
                "give the same command again, which goes on from where it was; if it ends so again, "
                + _remedy(code, self.run.folder),
            )

    def _listen(self, lines: Iterable[str]) -> None:
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:  # a library's own words
                continue
            if "event" in message:
                self.progress.emit(Event(**message["event"]))
            elif "kept" in message:
                self.run.keep()
            elif "error" in message:
                raise InputError(*message["error"])


def _remedy(code: int, folder: Path) -> str:
    """Of a process that ends so every time; one that is short of memory is ended by a signal."""
    if code < 0:
        smaller = with_smaller_batches(folder)
        return f"memory may be short: {smaller and f'{smaller}, or '}begin anew without --backend."
    return "begin anew without --backend."
