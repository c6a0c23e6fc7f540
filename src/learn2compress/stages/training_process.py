"""The process that trains on another backend; see `stages.elsewhere`. Says what happens as JSON lines."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from learn2compress.core.cache import cache_folder
from learn2compress.core.errors import L2CError
from learn2compress.core.options import Options
from learn2compress.core.progress import Progress
from learn2compress.core.recipe import Recipe
from learn2compress.stages.elsewhere import INTERRUPTED, TrainingJob
from learn2compress.stages.failures import legible_failures
from learn2compress.stages.saved import saved_plan
from learn2compress.stages.training import Training
from learn2compress.tasks import task_of
from learn2compress.train.batches import LabelledViews
from learn2compress.train.devices import use_all_devices
from learn2compress.train.soft_labels import SoftLabels
from learn2compress.train.trainable import trainable
from learn2compress.train.views import Views, ViewSpec


def train(folder: Path, job: TrainingJob, progress: Progress) -> None:
    """Trains one phase of the run in this folder."""
    started = time.perf_counter()
    recipe = Recipe.compose(job.recipe)
    options = Options.of(recipe)
    plan = saved_plan(folder, job.joint_plan)
    keras.utils.set_random_seed(recipe.seed)
    dataset = task_of(recipe).load_dataset(
        recipe.data,
        test_data=recipe.test_data or None,
        labels=recipe.labels or None,
        seed=recipe.seed,
        framing=recipe.framing,
    )
    spec = ViewSpec(**{**job.views, "size": tuple(job.views["size"])})
    soft = SoftLabels([Path(shard) for shard in job.shards], dataset.classes)
    batches = LabelledViews(Views(dataset.train, spec, cache_folder()), soft, plan.settings.batch_size, recipe.seed)
    use_all_devices(batches.batch_size, progress)
    training = Training(folder, options, progress, lambda: _say(kept=True))
    # Loading Keras and the data again is part of the time that this was given.
    seconds = max(1.0, job.seconds - (time.perf_counter() - started)) if job.seconds else 0.0
    members, _ = training.jointly(plan, batches, seconds)
    if job.phase == "joint":
        return
    if job.plan != job.joint_plan:
        plan = saved_plan(folder, job.plan)
        members = [trainable(part.model, "float32", plan.settings.momentum) for part in plan.parts]
    training.quantized(plan, members, batches, seconds)


def _say(**message: Any) -> None:
    sys.__stdout__.write(json.dumps(message, default=str) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def _end_with_the_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> int:
    """Reads the run's folder and the job from the command line."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    # Ctrl-C reaches both processes; this one waits for the other's word, so as not to be interrupted twice.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        progress = Progress(lambda event: _say(event=asdict(event)))
        folder, job = Path(sys.argv[1]), TrainingJob(**json.loads(sys.argv[2]))
        with legible_failures(folder.parent):
            train(folder, job, progress)
    except L2CError as error:
        _say(error=[error.code, error.what, error.fix])
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
