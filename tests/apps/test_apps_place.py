"""Where an app's folder is written: all of it or nothing, and nothing else is touched."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import learn2compress
from learn2compress.core.errors import InputError


def below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_an_empty_folder_that_is_there_is_filled_and_stays_the_same(clothing: Path, tmp_path: Path) -> None:
    """Someone may stand in it, or a disk be mounted there; a link to it stays a link."""
    (tmp_path / "app").mkdir()
    (tmp_path / "link").symlink_to("app")
    before = (tmp_path / "app").stat().st_ino
    learn2compress.export(clothing, "small", "android", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "app").stat().st_ino == before
    new = learn2compress.export(clothing, "small", "android", tmp_path / "new")
    assert below(tmp_path / "app") == below(new)


@pytest.mark.usefixtures("bound_by_permissions")
def test_an_empty_folder_is_filled_where_nothing_may_be_put_beside_it(clothing: Path, tmp_path: Path) -> None:
    (tmp_path / "closed" / "app").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o500)
    try:
        learn2compress.export(clothing, "small", "ios", tmp_path / "closed" / "app")
    finally:
        (tmp_path / "closed").chmod(0o700)
    new = learn2compress.export(clothing, "small", "ios", tmp_path / "new")
    assert below(tmp_path / "closed" / "app") == below(new)


def test_a_link_that_leads_nowhere_is_no_place(clothing: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(InputError, match="leads nowhere") as caught:
        learn2compress.export(clothing, "small", "ios", tmp_path / "link")
    assert caught.value.code == "out.not_a_folder"
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may become longer than 100 kB: the member's copy ends before its end, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize("out", ["there", "new/folder"])
def test_an_export_that_fails_half_way_leaves_nothing(clothing: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError) as caught:
        learn2compress.export(clothing, "small", "python", tmp_path / out)
    assert caught.value.code == "out.not_writable"
    assert below(tmp_path) == {"there"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_an_export_to_a_full_disk_says_so_and_leaves_nothing(
    clothing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(source), None, str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(InputError) as caught:
        learn2compress.export(clothing, "small", "python", tmp_path / "app")
    assert caught.value.code == "disk.full"
    assert f"{tmp_path / 'app'} could not be written" in caught.value.what
    assert "goes on" not in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_interrupted_leaves_nothing(
    clothing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfile", interrupt)
    with pytest.raises(KeyboardInterrupt):
        learn2compress.export(clothing, "small", "python", tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
