"""Promises about the repository as a whole: pins, documents, links, help texts."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIN = re.compile(r'([a-z0-9-]+)==([0-9][0-9a-z.]*)( ; python_version == "3\.\d+".*)?')


def project() -> dict[str, Any]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found: dict[str, Any] = tomllib.loads(text)["project"]
    return found


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    matches = [PIN.fullmatch(line) for line in lines if not line.startswith("#")]
    # Nothing but names and versions: no addresses, no index options, no hashes.
    assert all(matches)
    return {match[1]: match[2] for match in matches if match}


def wanted(*extras: str) -> Iterator[Requirement]:
    yield from map(Requirement, project()["dependencies"])
    for extra in extras:
        yield from map(Requirement, project()["optional-dependencies"][extra])


@pytest.mark.parametrize(
    ("name", "extras"), [("runtime", ()), ("demo", ("example",)), ("dev", ("example", "dev"))]
)
def test_the_pins_satisfy_what_the_package_asks_for(name: str, extras: tuple[str, ...]) -> None:
    pinned = pins(name)
    for requirement in wanted(*extras):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), requirement


def test_each_pinned_file_holds_the_one_before() -> None:
    assert pins("runtime").items() < pins("demo").items() < pins("dev").items()
    assert {"hatchling", "editables"} <= set(pins("demo"))


def test_every_dependency_is_justified() -> None:
    text = (ROOT / "docs" / "decisions" / "0001-dependencies.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip().split(" ")[0] for line in text.splitlines() if "|" in line}
    listed = {canonicalize_name(row) for row in rows}
    for requirement in wanted("example", "dev"):
        assert canonicalize_name(requirement.name) in listed


@pytest.mark.parametrize("name", ["collector", "calibrate", "twin", "cli"])
def test_the_agreed_folders_at_the_root_lead_to_the_code(name: str) -> None:
    assert (ROOT / name / "__init__.py").samefile(ROOT / "fastsim" / name / "__init__.py")


def test_no_module_is_longer_than_400_lines() -> None:
    # fastsim/ only: the links at the root would show every file twice.
    long = [
        str(path)
        for path in (ROOT / "fastsim").rglob("*.py")
        if path.read_text(encoding="utf-8").count("\n") > 400
    ]
    assert long == []


def tracked_python() -> set[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout: nobody knows what is tracked")
    said = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    found = {ROOT / name for name in said.stdout.split("\0") if name}
    return {path for path in found if path.exists()}


def test_ruff_looks_at_every_python_file() -> None:
    ruff = Path(sys.executable).with_name("ruff")
    said = subprocess.run(
        [ruff, "check", "--show-files", "."], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert tracked_python() <= set(map(Path, said.stdout.splitlines()))


def test_mypy_looks_at_every_python_file() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    roots = [ROOT / name for name in tomllib.loads(text)["tool"]["mypy"]["files"]]
    missed = {
        path
        for path in tracked_python()
        if not any(path == root or root in path.parents for root in roots)
    }
    assert missed == set()
