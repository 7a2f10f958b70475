"""The guides: their files and commands, run as they are written.

python -m tests.guides       # write the outputs into docs/guides.md anew
"""

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastsim.cli import main

GUIDES = Path(__file__).parents[1] / "docs" / "guides.md"
_FILE = re.compile(r"```yaml file=(\S+)\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"```console\n\$ fastsim ([^\n]*)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """A command of the guides, and what it is said to print."""

    command: str
    printed: str


def files(text: str) -> dict[str, str]:
    """Return the files that the guides have their readers write."""
    return dict(_FILE.findall(text))


def examples(text: str) -> list[Example]:
    """Return the commands of the guides."""
    return [Example(*found) for found in _COMMAND.findall(text)]


@contextlib.contextmanager
def with_files(text: str) -> Iterator[None]:
    """Stand in a directory with the guides' files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            for name, content in files(text).items():
                Path(name).write_text(content)
            yield
        finally:
            os.chdir(before)


def output_of(command: str) -> str:
    """Run a command here and return what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main(shlex.split(command))
    return out.getvalue()


def rewritten(text: str) -> str:
    """Return the guides with outputs as they are now."""
    with with_files(text):
        return _COMMAND.sub(
            lambda found: f"```console\n$ fastsim {found[1]}\n{output_of(found[1])}```", text
        )


if __name__ == "__main__":
    GUIDES.write_text(rewritten(GUIDES.read_text()))
