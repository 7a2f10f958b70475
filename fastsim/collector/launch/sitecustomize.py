"""Put on PYTHONPATH by ``fastsim record``: attach the recorder inside every worker.

Runs in any interpreter, also one that FastSim is not installed in: the recorder is loaded from
where this file is. Python imports one ``sitecustomize`` only, so this one first runs the one it
hides. Older Pythons must be able to read this file, to say that they are too old.
"""

import importlib.machinery
import importlib.util
import os
import sys

_LEAST_PYTHON = (3, 11)
_here = os.path.dirname(os.path.realpath(__file__))
_package = os.path.dirname(os.path.dirname(_here))


def _run_hidden_sitecustomize() -> None:
    path = [entry for entry in sys.path if entry and os.path.realpath(entry) != _here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _check_version() -> None:
    if sys.version_info < _LEAST_PYTHON:
        version = "Python %d.%d" % sys.version_info[:2]
        raise RuntimeError(version + " is too old, it needs 3.11")


def _load_package() -> None:
    """Make ``import fastsim`` find the recorder that came with this file, and nothing else of it.

    What else is installed beside it stays out of the service: its own libraries count.
    """
    spec = importlib.util.spec_from_file_location(
        "fastsim",
        os.path.join(_package, "__init__.py"),
        submodule_search_locations=[_package],
    )
    if spec is None or spec.loader is None:
        raise ImportError(_package)
    sys.modules["fastsim"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _install() -> None:
    if not os.environ.get("FASTSIM_RECORD_OUTPUT"):
        return
    try:
        _check_version()
        _load_package()
        from fastsim.collector.hook import install

        install(_here)
    except Exception as error:  # noqa: BLE001  a process must start with or without us
        _note_failure(error)


def _note_failure(error: Exception) -> None:
    """Leave the reason where ``fastsim record`` looks for it; say nothing into the service."""
    notes = os.environ.get("FASTSIM_RECORD_NOTES")
    if not notes:
        return
    try:
        with open(os.path.join(notes, "%d.failed" % os.getpid()), "w") as note:
            note.write(str(error) or type(error).__name__)
    except OSError:
        pass


try:
    _run_hidden_sitecustomize()
finally:
    _install()
