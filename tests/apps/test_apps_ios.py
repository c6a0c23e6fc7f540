"""The Swift code is Swift, as far as a grammar tells: no Swift compiler is at hand."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import tree_sitter_swift
from tree_sitter import Language, Node, Parser

import learn2compress
from learn2compress.core.app_kinds import APP_KINDS

TYPES = ("uint8", "int8", "float32")


def mistakes(code: str) -> list[str]:
    """What of the code the grammar has no place for, or misses."""

    def below(node: Node) -> list[str]:
        own = [f"{node.start_point}: {node}"] if node.is_error or node.is_missing else []
        return own + [mistake for child in node.children for mistake in below(child)]

    return below(Parser(Language(tree_sitter_swift.language())).parse(code.encode()).root_node)


@pytest.mark.parametrize("gives", ["probabilities", "logits"])
@pytest.mark.parametrize(("input_type", "output_type"), list(product(TYPES, TYPES)))
def test_swift_is_parsed_without_mistakes(
    every_type: Path, tmp_path: Path, input_type: str, output_type: str, gives: str
) -> None:
    out = learn2compress.export(every_type, f"{input_type}-{output_type}-{gives}", "ios", tmp_path / "app")
    code = (out / "Classifier.swift").read_text(encoding="utf-8")
    assert mistakes(code) == []
    assert mistakes((out / "Photo.swift").read_text(encoding="utf-8")) == []
    assert ("exp(" in code) == (gives == "logits")


def test_swift_that_squeezes_photos_is_parsed_without_mistakes(squeezed: Path, tmp_path: Path) -> None:
    out = learn2compress.export(squeezed, "small", "ios", tmp_path / "app")
    code = (out / "Photo.swift").read_text(encoding="utf-8")
    assert mistakes(code) == []
    assert "CGRect(origin: .zero, size: whole)" in code


@pytest.mark.parametrize(
    ("cut", "put"),
    [
        ("throws ->", "-> throws"),
        ("return ", "return return "),
        ("[UInt8]", "[UInt8"),
        ("let labels", "let let labels"),
    ],
)
def test_mistakes_in_swift_are_noticed(clothing: Path, tmp_path: Path, cut: str, put: str) -> None:
    out = learn2compress.export(clothing, "small", "ios", tmp_path / "app")
    code = (out / "Classifier.swift").read_text(encoding="utf-8")
    assert mistakes(code) == []
    assert cut in code
    assert mistakes(code.replace(cut, put, 1))


def test_the_lines_for_an_app_are_parsed_without_mistakes_and_call_what_is_there(
    clothing: Path, tmp_path: Path
) -> None:
    out = learn2compress.export(clothing, "small", "ios", tmp_path / "app")
    call, code = APP_KINDS["ios"].call, (out / "Classifier.swift").read_text(encoding="utf-8")
    assert mistakes(call) == []
    for used, declared in (
        ("try Classifier()", "init(bundle: Bundle = .main) throws"),
        ("try classifier.classify(photo)", "func classify(_ photo: UIImage) throws"),
        ("best.label, best.probability", "[(label: String, probability: Float)]"),
    ):
        assert used in call
        assert declared in code
