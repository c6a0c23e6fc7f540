"""What `kill_resume.py` asks for, and the moments of such a run at which it is killed."""

from __future__ import annotations

from dataclasses import dataclass

from learn2compress.core.units import duration_seconds

# A process that takes so many times the budget, and so many seconds at the least, is taken to hang.
BUDGETS, LEAST_SECONDS = 20, 900.0


@dataclass(frozen=True)
class Moment:
    """When to kill.

    Attributes:
        stage: of the run.
        trainer: whether the process that trains on JAX is killed, and not the run.
        within: most seconds after the stage began.
    """

    stage: str
    trainer: bool = False
    within: float = 6.0

    def __str__(self) -> str:
        return f"{self.stage}, its process alone" if self.trainer else self.stage


def moments(*more: tuple[str, Moment]) -> tuple[Moment, ...]:
    """Those of every run in the order in which they come, and more: each behind the stage that it is given with."""
    found = [
        Moment(stage)
        for stage in (
            "start",
            "plan",
            "baselines",
            "soft labels",
            "joint training",
            "quantization-aware training",
            "export",
            "accuracy of the files",
            "latency and memory",
        )
    ]
    for before, moment in more:
        found.insert(found.index(Moment(before)) + 1, moment)
    return tuple(found)


@dataclass(frozen=True)
class OptionSet:
    """What a run is asked for.

    Attributes:
        options: of `l2c compress`.
        moments: at which it is killed, in their order.
        package: that it needs beside ours; empty where none.
        planned: whether its members follow from the plan. Where a trial or a search chooses them by what was learned
            in some seconds, another run may choose others.
    """

    options: tuple[str, ...]
    moments: tuple[Moment, ...]
    package: str = ""
    planned: bool = True

    @property
    def own(self) -> tuple[Moment, ...]:
        """The moments that not every run has, which the set is for; all where there are none."""
        usual = moments()
        return tuple(moment for moment in self.moments if moment not in usual) or self.moments

    @property
    def most_seconds(self) -> float:
        """What a process of such a run may take."""
        budget = self.options[self.options.index("--budget") + 1]
        return max(LEAST_SECONDS, BUDGETS * duration_seconds(budget))


SETS = {
    "default": OptionSet(("--budget", "60s"), moments()),
    "drop": OptionSet(
        ("--budget", "2m", "--target", "drop<=0.1"),
        moments(("joint training", Moment("search"))),
        planned=False,
    ),
    "joint teacher": OptionSet(
        ("--budget", "2m", "--teacher", "joint"),
        moments(("joint training", Moment("improved teacher"))),
    ),
    # The shortest budget that has one; what comes after it need not be long.
    "trial": OptionSet(
        ("--budget", "20m", "--set", "training.joint_steps=200", "--set", "training.quantization_steps=40"),
        moments(("soft labels", Moment("trial", within=120.0))),
        planned=False,
    ),
    "precisions": OptionSet(("--budget", "60s", "--precision", "int8,float16"), moments()),
    "jax": OptionSet(
        ("--budget", "2m", "--backend", "jax"),
        moments(
            ("soft labels", Moment("joint training", trainer=True)),
            ("joint training", Moment("quantization-aware training", trainer=True)),
        ),
        package="jax",
    ),
}
