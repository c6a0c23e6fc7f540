"""Fills the templates of one kind of app with what is known of a member."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from learn2compress.apps.contents import AppModel
from learn2compress.core.app_kinds import APP_KINDS
from learn2compress.core.units import show_bytes

TEMPLATES = Path(__file__).parent / "templates"


def rendered(kind: str, model: AppModel, names: Mapping[str, str], **more: object) -> dict[str, str]:
    """Texts of files. The templates also know `call`, the lines of an app that call the code.

    Args:
        kind: of app; the folder of its templates has the same name.
        model: the member.
        names: path of a file -> its template.
        more: what else the templates name.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # code and Markdown; what users named goes into it as JSON or not at all
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update({"bytes": show_bytes, "string": lambda text: json.dumps(text, ensure_ascii=False)})
    return {
        path: environment.get_template(f"{kind}/{template}").render(model=model, call=APP_KINDS[kind].call, **more)
        for path, template in names.items()
    }
