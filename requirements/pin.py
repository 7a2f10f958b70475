"""Write the pinned requirement files from the environment that runs this script.

Install or upgrade what ``pyproject.toml`` asks for, run the tests, then::

    .venv/bin/python requirements/pin.py

Every file holds the whole closure for Python 3.11 to 3.13 on Linux and macOS, so that an
installation resolves nothing. Names and versions only: where packages come from is the
business of whoever installs them.
"""

import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
PYTHONS = ("3.11", "3.12", "3.13")
BUILD = ("hatchling", "editables")
"""For ``pip install --no-build-isolation -e .``"""

Pins = dict[str, set[str]]
"""Python versions that need a package, by its name."""


def main() -> None:
    """Write runtime, demo and dev; each contains the one before."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = list(project["dependencies"])
    write("runtime", wanted, "what FastSim needs to run")
    wanted += [*extras["example"], *BUILD]
    write("demo", wanted, "runtime, the example service, and what installs a checkout")
    write("dev", wanted + extras["dev"], "demo, tests and checks")


def write(name: str, wanted: list[str], what: str) -> None:
    """Write one file."""
    pins: Pins = {}
    for python in PYTHONS:
        for requirement in wanted:
            add(pins, Requirement(requirement), python, frozenset())
    lines = [
        f"# Pinned: {what}.",
        "# Written by requirements/pin.py, which says how to refresh it. Do not edit.",
        *(line(package, pins[package]) for package in sorted(pins)),
    ]
    (HERE / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def add(pins: Pins, requirement: Requirement, python: str, path: frozenset[str]) -> None:
    """Add a package and what it needs on this Python."""
    name = canonicalize_name(requirement.name)
    step = f"{name}[{','.join(sorted(requirement.extras))}]"
    if step in path:  # packages may need each other
        return
    pins.setdefault(name, set()).add(python)
    for text in found(name).requires or []:
        inner = Requirement(text)
        if any(needed(inner, python, extra) for extra in ("", *requirement.extras)):
            add(pins, inner, python, path | {step})


def found(name: str) -> Distribution:
    """Return what is installed under a name."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        sys.exit(f"error: {name} is not installed in this environment")


def needed(requirement: Requirement, python: str, extra: str) -> bool:
    """Tell whether a requirement counts on this Python."""
    if requirement.marker is None:
        return True
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
    return any(
        requirement.marker.evaluate({**environment, **system})
        for system in (
            {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
            {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
        )
    )


def line(name: str, pythons: set[str]) -> str:
    """Write a pin, with a marker where only some Pythons need it."""
    pin = f"{name}=={found(name).version}"
    if len(pythons) == len(PYTHONS):
        return pin
    return f"{pin} ; " + " or ".join(f'python_version == "{python}"' for python in sorted(pythons))


if __name__ == "__main__":
    main()
