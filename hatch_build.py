"""Compile the engine when asked to: ``FASTSIM_COMPILE=1 pip install .``.

mypyc translates the modules that replay the event loop, as they are, to C. They give the same
bytes compiled and not, which tests/test_compiled.py holds; compiled they take about half the time.
Without the variable, and in editable installs, where a compiled copy would hide what is edited,
the package stays pure Python.
"""

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ENGINE = (
    "connections",
    "draws",
    "footprints",
    "host",
    "hosted",
    "passes",
    "peers",
    "records",
    "shared_slots",
    "slots",
    "speed",
    "tasks",
    "threads",
    "worker",
)
"""Modules of ``fastsim.twin`` that most of a simulation's time is spent in."""

WANTED = "FASTSIM_COMPILE"


class CompiledEngine(BuildHookInterface[Any]):
    """Puts the compiled engine into the wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what compiling needs."""
        return ["mypy>=1.14", "setuptools>=75"] if self._wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say that the wheel is for this Python and machine alone."""
        if version == "editable" or not self._wanted():
            return
        root = Path(self.root)
        built = compile_engine(root, root / "build" / "engine")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in built.rglob("*"):
            if path.is_file():
                build_data["force_include"][str(path)] = str(path.relative_to(built))

    @staticmethod
    def _wanted() -> bool:
        return os.environ.get(WANTED, "") not in {"", "0"}


def compile_engine(root: Path, work: Path, *, optimize: str = "3") -> Path:
    """Compile the engine; return the directory with the libraries, laid out as a package is.

    Parameters
    ----------
    root
        Where the package's directory is.
    work
        A directory for what comes up on the way.
    optimize
        The C compiler's level: 0 compiles fast.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    work.mkdir(parents=True, exist_ok=True)
    settings = work / "mypy.ini"
    # What is imported besides may be missing in a build environment, so its types never count.
    lines = (
        "[mypy]",
        "ignore_missing_imports = True",
        "follow_imports = skip",
        "disable_error_code = valid-type, attr-defined",
    )
    settings.write_text("\n".join(lines))
    # A fused multiply-add rounds once where Python rounds twice: other bytes.
    os.environ["CFLAGS"] = f"{os.environ.get('CFLAGS', '')} -ffp-contract=off".strip()
    before = Path.cwd()
    os.chdir(root)
    try:
        extensions = mypycify(
            [
                f"--config-file={settings}",
                f"--cache-dir={work / 'mypy'}",
                *(f"fastsim/twin/{name}.py" for name in ENGINE),
            ],
            opt_level=optimize,
            debug_level="0",
            target_dir=str(work / "c"),
            group_name="fastsim_engine",
        )
        command = build_ext(Distribution({"name": "fastsim-engine", "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(work / "out"), str(work / "objects")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    return work / "out"


if __name__ == "__main__":
    compile_engine(Path(sys.argv[1]), Path(sys.argv[2]), optimize=sys.argv[3])
