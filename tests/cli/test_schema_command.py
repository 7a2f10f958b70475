"""``fastsim schema``."""

import json

import pytest

from fastsim.cli.schema import KINDS
from fastsim.schema import KINDS as KNOWN
from tests.cli.test_main import exit_code

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("kind", KINDS.split(", "))
def test_each_schema_is_printed(kind: str, capsys: Captured) -> None:
    assert exit_code(["schema", kind]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org/")


def test_help_names_all_kinds() -> None:
    assert KINDS.split(", ") == list(KNOWN)


def test_an_unknown_kind_is_refused(capsys: Captured) -> None:
    assert exit_code(["schema", "modle"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "'modle'" in said.err
    assert "did you mean 'model'" in said.err
