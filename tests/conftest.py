"""Fixtures that tests of several parts ask for."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from functools import partial

import pytest

# Whole runs: files that take minutes. Begun last, one of them would leave all workers but one with nothing to do.
LONG = ("test_compress.py", "test_train_checkpoint.py", "test_stages_trial.py", "test_graph_applications.py")
# Of whole runs no test goes by how exactly files are timed; the median of fifty turns is there after so long.
SECONDS_PER_FILE = 0.15
# linux/capability.h
_VERSION_3, _OVERRIDE, _READ_SEARCH = 0x20080522, 1 << 1, 1 << 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest first."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


@pytest.fixture
def bound_by_permissions() -> Iterator[None]:
    """The permissions of files bind this test, also where the administrator runs it."""
    if os.name != "posix":
        pytest.skip("no POSIX permissions")
    if os.geteuid() != 0:
        yield
        return
    if not sys.platform.startswith("linux"):
        pytest.skip("permissions do not bind this user")
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION_3, 0), (_Set * 2)()
    assert libc.capget(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())
    before = sets[0].effective
    sets[0].effective &= ~(_OVERRIDE | _READ_SEARCH)
    assert libc.capset(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())
    yield
    sets[0].effective = before
    assert libc.capset(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())


@pytest.fixture(scope="module")
def timed_briefly() -> Iterator[None]:
    """Runs in this process time each file for a tenth of the seconds that they else do."""
    from learn2compress.measure import models
    from learn2compress.stages import export, rehearsal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "latencies", partial(models.latencies, seconds_per_file=SECONDS_PER_FILE))
        for module in (export, rehearsal):
            patch.setattr(module, "SECONDS_PER_FILE", SECONDS_PER_FILE)
        yield
