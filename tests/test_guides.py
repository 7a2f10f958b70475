"""What the guides and the documentation say can be done, and prints what they say."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from fastsim.cli.main import app
from tests.cli_reference import REFERENCE, reference
from tests.guides import GUIDES, Example, examples, files, output_of, with_files

ROOT = Path(__file__).parents[1]
TEXT = GUIDES.read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("example", examples(TEXT), ids=lambda example: example.command[:40])
def test_a_guide_prints_what_it_says(example: Example) -> None:
    with with_files(TEXT):
        assert output_of(example.command) == example.printed, (
            "python -m tests.guides writes it anew"
        )


def test_the_guides_have_files_and_commands() -> None:
    assert len(files(TEXT)) >= 4
    assert len(examples(TEXT)) == TEXT.count("```console") >= 8


def commands(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"^\$ fastsim ([^\n#]*)", text, re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_written_down_exists_with_its_options(path: Path) -> None:
    known = getattr(typer.main.get_command(app), "commands", {})
    for line in commands(path):
        words = shlex.split(line)
        options = {name for each in known[words[0]].params for name in each.opts}
        if words[0] == "record":  # what follows is somebody else's command
            words = words[: words.index("--")] if "--" in words else words
        for word in words[1:]:
            if word.startswith("--"):
                assert word.split("=", 1)[0] in options, f"{path.name}: fastsim {line}"


def test_the_reference_of_the_command_line_is_that_of_the_commands() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), (
        "python -m tests.cli_reference writes it anew"
    )


def test_every_option_says_what_it_is_for() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert not [row for row in rows if row.endswith("|  |")]
