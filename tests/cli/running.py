"""Run a command as a shell would, in this process."""

from pathlib import Path

import pytest

from fastsim.cli import main


def run(*arguments: str | Path) -> int:
    """Return the exit code of ``fastsim`` with some arguments."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code
