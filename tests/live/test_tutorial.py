"""docs/tutorial.md: every command works, in its order, as it is written down."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastsim.collector.launcher import wait_for_port
from fastsim.demo.servers import free_port

TEXT = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
ANSWERS = {"run": {0, 1, 3}, "compare": {0, 1, 3}, "limit": {0, 1}}
"""Exit codes that are answers; of all other commands 0. Which one it is, is the machine's doing."""


BRIEF = {"run": "2", "limit": "2", "compare": "20"}
"""Replications, of which people have more."""


def commands() -> list[list[str]]:
    lines = re.findall(r"^\$ (.*)$", TEXT, re.MULTILINE)
    return [shlex.split(line) for line in lines if not line.startswith("pip ")]


def as_here(words: list[str], port: int) -> list[str]:
    """Return a command with another port, and shorter."""
    changed = [word.replace("8000", str(port)).replace("30s", "4s") for word in words]
    brief = ["--replications", BRIEF[words[1]]] if words[1] in BRIEF else []
    return [sys.executable, "-m", *changed, *brief]


@contextmanager
def served(words: list[str], port: int, folder: Path) -> Iterator[None]:
    """Run the command that serves until the block ends, and end it as Ctrl-C does."""
    with (folder / "service.log").open("ab") as log:
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log, process_group=0)
        try:
            assert wait_for_port("127.0.0.1", port, process, 30.0), "the service did not start"
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30.0)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.mark.live
def test_the_tutorial_works(tmp_path: Path) -> None:
    for name, content in re.findall(r"```python file=(\S+)\n(.*?)```", TEXT, re.DOTALL):
        (tmp_path / name).write_text(content)
    port = free_port()
    waiting = commands()
    kinds = []
    while waiting:
        words = waiting.pop(0)
        here = as_here(words, port)
        if "uvicorn" in words:
            load = waiting.pop(0)
            assert load[:2] == ["fastsim", "load"]
            with served(here, port, tmp_path):
                subprocess.run(as_here(load, port), cwd=tmp_path, check=True, timeout=60.0)
            continue
        kinds.append(words[1])
        done = subprocess.run(here, cwd=tmp_path, check=False, capture_output=True, timeout=120.0)
        assert done.returncode in ANSWERS.get(words[1], {0}), done.stderr.decode()
    assert kinds == ["calibrate", "show", "run", "limit", "run", "compare"]
    assert "connections" in (tmp_path / "model.yaml").read_text()
    for page in ("fit.html", "compare.html"):
        assert (tmp_path / page).stat().st_size > 100_000
