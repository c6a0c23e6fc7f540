"""The dtype of training is that of the faster step on this machine."""

from __future__ import annotations

from learn2compress.train.dtypes import fastest_dtype
from learn2compress.train.settings import SETTINGS


def test_only_settings_that_leave_it_open_take_the_fastest_dtype() -> None:
    students, cuts = SETTINGS["students"], SETTINGS["cuts"]
    assert students.dtype == "fastest"
    assert students.here().dtype == fastest_dtype()
    assert students.here().dtype in ("float32", "mixed_bfloat16")
    assert cuts.here() == cuts
