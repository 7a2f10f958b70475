"""What ``fastsim record`` puts into the processes that a command starts."""

import os
import subprocess
import sys
from pathlib import Path

from fastsim.collector.launcher import recording_environment
from fastsim.collector.notes import read_notes

OTHER = "print('theirs'); import os; os.environ['THEIRS'] = '1'"


def start(program: str, notes: Path, **more: str) -> str:
    """Run a program as a recorded command would, and return what it printed."""
    environment = recording_environment(notes, environment=os.environ, notes=notes) | more
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE, text=True, timeout=60
    )
    return done.stdout


def test_what_a_process_turns_into_is_entered_too(tmp_path: Path) -> None:
    """A launcher puts its own directory first and executes the service."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "sitecustomize.py").write_text(OTHER)
    notes = tmp_path / "notes"
    notes.mkdir()
    for execute in (
        "os.execv(sys.executable, command)",
        "os.execve(sys.executable, command, dict(os.environ))",
        "os.execl(sys.executable, *command)",
    ):
        for old in notes.iterdir():
            old.unlink()
        program = (
            "import os, sys\n"
            f"os.environ['PYTHONPATH'] = {str(theirs)!r} + ':' + os.environ['PYTHONPATH']\n"
            "command = [sys.executable, '-c', 'import os, sys; print(os.environ[\"THEIRS\"])']\n"
            f"{execute}\n"
        )
        assert start(program, notes).split() == ["theirs", "1"], execute
        # One process, which the recorder was loaded into, before and after.
        assert read_notes(notes).loaded == 1


def test_only_the_recorder_comes_in(tmp_path: Path) -> None:
    program = (
        "import sys; from fastsim import collector;"
        "print(sorted({'numpy', 'typer', 'pydantic', 'scipy', 'simpy'} & set(sys.modules)))"
    )
    assert start(program, tmp_path).strip() == "[]"


def test_processes_that_are_not_recorded_are_left_alone(tmp_path: Path) -> None:
    program = "import sys; print('fastsim' in sys.modules)"
    assert start(program, tmp_path, FASTSIM_RECORD_OUTPUT="").strip() == "False"
