"""Put on PYTHONPATH by ``fastsim record``: attach the recorder inside every worker.

Python imports one ``sitecustomize`` only, so this one first runs the one it hides.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

_here = str(Path(__file__).resolve().parent)


def _run_hidden_sitecustomize() -> None:
    path = [entry for entry in sys.path if entry and str(Path(entry).resolve()) != _here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _install() -> None:
    try:
        from fastsim.collector.hook import install

        install()
    except Exception as error:  # noqa: BLE001  a process must start with or without us
        # Another interpreter than the one fastsim is installed in, say a shell's helper.
        print(f"fastsim: not recording this process: {error}", file=sys.stderr)


try:
    _run_hidden_sitecustomize()
finally:
    _install()
