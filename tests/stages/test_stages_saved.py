"""Plans are kept only as long as a run may read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learn2compress.core.checkpoints import Checkpoints
from learn2compress.core.options import Options
from learn2compress.core.progress import SILENT
from learn2compress.core.recipe import Recipe

SIDE = 16


@pytest.fixture(scope="module")
def plans(bright: Callable[[int], Any], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    from learn2compress.stages.planning import Planning, plan_families
    from learn2compress.tasks import IMAGE_CLASSIFICATION

    teacher: Any = SimpleNamespace(
        name="teacher", classes=3, channels=3, parameters=100_000, input_size=(SIDE, SIDE), licence=""
    )
    options = Options.of(Recipe.model_construct(budget="1m", route="fresh", students=1))
    folder = tmp_path_factory.mktemp("plans")
    return plan_families(Planning(IMAGE_CLASSIFICATION, teacher, bright(SIDE), options, folder, SILENT))


def never() -> list[Any]:
    raise AssertionError("a plan that is kept is made anew")


def test_what_was_not_chosen_is_deleted_when_the_chosen_is_kept(plans: list[Any], tmp_path: Path) -> None:
    from learn2compress.stages.saved import recalled_plans, saved_plan

    run = Checkpoints(tmp_path)
    recalled_plans(run, "planned", lambda: plans)
    for name in ("trial-cuts.npz", "joint.npz"):
        (tmp_path / name).touch()
    recalled_plans(run, "planned", never)
    assert {path.name for path in tmp_path.iterdir()} == {"planned", "trial-cuts.npz", "joint.npz", "state.json"}
    recalled_plans(run, "chosen", lambda: plans[:1])
    assert {path.name for path in tmp_path.iterdir()} == {"chosen", "joint.npz", "state.json"}
    # A process that was killed before it had deleted all of it: the next one does.
    (tmp_path / "planned" / "students").mkdir(parents=True)
    (tmp_path / "trial-cuts.npz").touch()
    again = Checkpoints(tmp_path)
    (found,) = recalled_plans(again, "chosen", never)
    assert {path.name for path in tmp_path.iterdir()} == {"chosen", "joint.npz", "state.json"}
    assert again.knows("planned")
    assert found.specs == saved_plan(tmp_path, "chosen").specs == plans[0].specs


def test_where_the_chosen_can_not_be_read_all_is_planned_anew(plans: list[Any], tmp_path: Path) -> None:
    from learn2compress.stages.saved import recalled_plans

    run = Checkpoints(tmp_path)
    recalled_plans(run, "planned", lambda: plans)
    recalled_plans(run, "chosen", lambda: plans[:1])
    (plan,) = (tmp_path / "chosen").glob("*/plan.json")
    plan.write_text("{}")
    again = Checkpoints(tmp_path)
    made = []

    def planned() -> list[Any]:
        made.append("planned")
        return plans

    (found,) = recalled_plans(again, "chosen", lambda: recalled_plans(again, "planned", planned)[:1])
    assert made == ["planned"]
    assert found.specs == plans[0].specs


def test_a_run_killed_between_two_sources_plans_the_second_alone(plans: list[Any], tmp_path: Path) -> None:
    from learn2compress.stages.saved import kept_by_source, recalled_plans

    class KilledError(Exception):
        pass

    def killed() -> Any:
        raise KilledError

    def planned(run: Checkpoints, first: Any, second: Any) -> list[Any]:
        of_all = [("students", first), ("prunings", second)]
        return recalled_plans(run, "planned", lambda: [kept_by_source(run, kind, make) for kind, make in of_all])  # type: ignore[arg-type]

    (plan,) = plans
    pruned = replace(plan, kind="prunings")
    with pytest.raises(KilledError):
        planned(Checkpoints(tmp_path), lambda: plan, killed)
    found = planned(Checkpoints(tmp_path), never, lambda: pruned)
    assert [one.kind for one in found] == ["students", "prunings"]
    assert found[0].specs == plan.specs
    # Kept with all others, it is not kept twice.
    assert {path.name for path in tmp_path.iterdir()} == {"planned", "state.json"}
    assert [one.kind for one in planned(Checkpoints(tmp_path), never, never)] == ["students", "prunings"]
