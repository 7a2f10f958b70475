"""Make the environments of ``make beside`` and print their paths, separated as on PATH.

One for each file in ``requirements/beside`` and each Python 3.11 or later that is found, in
``.beside``; what is there and newer than its file stays. FastSim is in none of them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".beside"
PYTHONS = ("3.11", "3.12", "3.13")


def main() -> None:
    """Make what is missing."""
    found = list(pythons())
    print("for Python", ", ".join(version for version, _ in found), file=sys.stderr)
    print(os.pathsep.join(str(make(*each, file)) for each in found for file in files()))


def files() -> list[Path]:
    """Return the requirement files."""
    return sorted((HERE / "beside").glob("*.txt"))


def pythons() -> Iterator[tuple[str, str]]:
    """Yield version and path of every interpreter there is."""
    for version in PYTHONS:
        for path in (shutil.which(f"python{version}"), *beside_others(version)):
            if path and subprocess.run([path, "-c", ""], check=False).returncode == 0:
                yield version, path
                break


def beside_others(version: str) -> Iterator[str]:
    """Yield interpreters where version managers keep them."""
    for pattern in (
        ".pyenv/versions/{}*/bin/python",
        ".local/share/uv/python/cpython-{}*/bin/python",
    ):
        yield from map(str, sorted(Path.home().glob(pattern.format(version))))


def make(version: str, python: str, requirements: Path) -> Path:
    """Return the environment for one interpreter and one file."""
    where = ENVIRONMENTS / f"{requirements.stem}-{version}"
    stamp = where / ".complete"
    if not stamp.exists() or stamp.stat().st_mtime < requirements.stat().st_mtime:
        print("making", where.name, file=sys.stderr)
        subprocess.run([python, "-m", "venv", "--clear", where], check=True)
        pip = [str(where / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-input"]
        subprocess.run([*pip, "-r", str(requirements)], check=True, stdout=sys.stderr.fileno())
        stamp.touch()
    return where.resolve()


if __name__ == "__main__":
    main()
