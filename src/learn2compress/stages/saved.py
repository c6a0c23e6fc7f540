"""Plans on disk: with the members as they are, so that a run goes on with just what was planned."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.member import Cost, MemberSpec
from learn2compress.core.whole_files import naming
from learn2compress.graph.slices import Part, Positions
from learn2compress.stages.planning import Plan, Spare
from learn2compress.train.settings import TrainingSettings

_BEFORE_THE_PLAN = ("inputs", "baselines", "mirrored views", "views", "views labelled")
# Of a plan that can't be read any more, what is known from before it; only the search's comes after a training.
_BEFORE_THE_SEARCH = (*_BEFORE_THE_PLAN, "planned", "chosen", "phases", "joint training on jax")
_PLANNED, _CHOSEN, _SEARCHED = "planned", "chosen", "fitting"


def recalled_plans(run: Checkpoints, key: str, make: Callable[[], Sequence[Plan]]) -> list[Plan]:
    """The plans kept under a key; made, and kept, where there are none or they can't be read any more.

    Once it is kept which plan was chosen, what was planned and tried is deleted.
    """
    folder = run.folder / key
    if run.knows(key):
        try:
            names: list[str] = run.recall(key, list)
            known = [_load(folder / name) for name in names]
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
            # A layer of the user's own, say, that this process does not know. What came after may not fit any more.
            run.forget_all_but(_BEFORE_THE_SEARCH if key == _SEARCHED else _BEFORE_THE_PLAN)
            for training in run.folder.glob("quantization.npz" if key == _SEARCHED else "*.npz"):
                training.unlink()
        else:
            _delete_rejected(run.folder, key)  # an earlier process may have been killed before it did
            return known
    plans = list(make())
    shutil.rmtree(folder, ignore_errors=True)
    for plan in plans:
        _save(plan, folder / plan.kind)
    run.recall(key, lambda: [plan.kind for plan in plans])
    _delete_rejected(run.folder, key)
    return plans


def kept_by_source(run: Checkpoints, name: str, make: Callable[[], Plan]) -> Plan:
    """The plan of one source, kept until those of all are; see `planning.Keep`."""
    (plan,) = recalled_plans(run, f"{_PLANNED}-{name}", lambda: [make()])
    return plan


def _delete_rejected(folder: Path, key: str) -> None:
    """What nobody reads any more, once more is known; may be interrupted and done again.

    Of single sources, where the plans of all are kept; where one is chosen all others, and what a trial has reached.
    """
    if key == _PLANNED:
        for single in folder.glob(f"{_PLANNED}-*"):
            shutil.rmtree(single, ignore_errors=True)
    if key == _CHOSEN:
        for trial in folder.glob("trial-*.npz"):
            trial.unlink(missing_ok=True)
        shutil.rmtree(folder / _PLANNED, ignore_errors=True)


def saved_plan(folder: Path, key: str) -> Plan:
    """The one plan that the run in this folder keeps under a key."""
    names: list[str] = Checkpoints(folder).recall(key, list)
    return _load(folder / key / names[0])


def _save(plan: Plan, folder: Path) -> None:
    folder.mkdir(parents=True)
    fields = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    parts: Sequence[Part] = fields.pop("parts")
    spares: Sequence[Spare] = fields.pop("spares")
    fields["specs"] = [asdict(spec) for spec in plan.specs]
    fields["costs"] = [asdict(cost) for cost in plan.costs]
    fields["spares"] = [{"spec": asdict(spare.spec), "cost": asdict(spare.cost)} for spare in spares]
    fields["settings"] = asdict(plan.settings)
    with naming(folder):
        for number, part in enumerate((*parts, *(spare.part for spare in spares))):
            part.model.save(folder / f"{number}.keras")
            np.savez(folder / f"{number}.npz", **_packed(part.positions))
        (folder / "plan.json").write_text(json.dumps(fields), encoding="utf-8")


def _load(folder: Path) -> Plan:
    fields: dict[str, Any] = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    specs = tuple(map(_spec, fields.pop("specs")))
    costs = tuple(Cost(**cost) for cost in fields.pop("costs"))
    spares = fields.pop("spares")
    settings = TrainingSettings(**fields.pop("settings"))
    parts = []
    for number in range(len(specs) + len(spares)):
        model = keras.saving.load_model(folder / f"{number}.keras", compile=False)
        with np.load(folder / f"{number}.npz") as kept:
            parts.append(Part(model, _unpacked(dict(kept))))
    rest = {key: _tuples(value) for key, value in fields.items()}
    return Plan(
        specs=specs,
        settings=settings,
        costs=costs,
        parts=tuple(parts[: len(specs)]),
        spares=tuple(
            Spare(_spec(spare["spec"]), part, Cost(**spare["cost"]))
            for spare, part in zip(spares, parts[len(specs) :], strict=True)
        ),
        **rest,
    )


def _spec(fields: dict[str, Any]) -> MemberSpec:
    return MemberSpec(**{name: _tuples(value) for name, value in fields.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value


def _packed(positions: Positions) -> dict[str, Any]:
    """Positions as arrays under `LAYER|WEIGHT|AXIS`; an empty array where an axis keeps all."""
    return {
        f"{layer}|{place}|{axis}": np.array([], np.int64) if kept is None else kept
        for layer, weights in positions.items()
        for place, axes in enumerate(weights)
        for axis, kept in enumerate(axes)
    }


def _unpacked(arrays: dict[str, Any]) -> Positions:
    found: dict[str, list[list[Any]]] = {}
    for key, kept in arrays.items():  # in the order that they were put in
        layer, place, _ = key.rsplit("|", 2)
        weights = found.setdefault(layer, [])
        while len(weights) <= int(place):
            weights.append([])
        weights[int(place)].append(kept if len(kept) else None)
    return found
