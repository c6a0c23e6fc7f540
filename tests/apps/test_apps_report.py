"""What the report of a family has to paste is what `l2c export` takes and writes."""

from __future__ import annotations

import html
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from learn2compress.cli import main
from learn2compress.core.app_kinds import APP_KINDS
from learn2compress.core.family import Family
from learn2compress.report.page import render


def commands(page: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'<pre class="wrap">(l2c export .*?)</pre>', page)]


@pytest.mark.parametrize(("family", "kinds"), [("clothing", set(APP_KINDS)), ("int8", set(APP_KINDS) - {"web"})])
def test_each_command_of_the_report_writes_the_folder_that_its_lines_call(
    family: str,
    kinds: set[str],
    clothing: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = shutil.copytree(clothing if family == "clothing" else tiny, tmp_path / "family")
    read = Family.load(folder)
    if family == "int8":
        ends = {"input_type": "int8", "output_type": "int8"}
        read = read.model_copy(update={"members": (read.members[1].model_copy(update=ends),)})
    monkeypatch.chdir(folder)
    written = set()
    for command in commands(render(read)):
        done = CliRunner().invoke(main, shlex.split(command)[1:])
        assert done.exit_code == 0, done.output
        place = Path(done.stdout.splitlines()[0])
        kind = APP_KINDS[place.name.removeprefix(f"{read.members[0].name}-")]
        written.add(kind.name)
        lines = {line.strip() for line in (place / "README.md").read_text().splitlines()}
        assert {line.strip() for line in kind.call.splitlines()} <= lines
    assert written == kinds
