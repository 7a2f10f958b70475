"""Hook a library when it is there: now if it is imported, else the moment it is.

Nothing is ever imported on the service's behalf, and a library that the service does
not use costs nothing.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from fastsim.collector.faults import note_fault

Hook = Callable[[ModuleType], None]


def when_imported(name: str, hook: Hook) -> None:
    """Call ``hook`` once with the module ``name``, as soon as it has been imported."""
    module = sys.modules.get(name)
    if module is not None and not _being_imported(module):
        _call(hook, module)
        return
    _finder.waiting.setdefault(name, []).append(hook)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def _being_imported(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _call(hook: Hook, module: ModuleType) -> None:
    try:
        hook(module)
    except Exception as fault:  # noqa: BLE001  a library we do not know must still import
        note_fault(fault)


class _Finder(importlib.abc.MetaPathFinder):
    """Lets everybody else find the module, and has it hooked after it ran.

    Who only looks whether a library is there (``importlib.util.find_spec``) is answered the same
    way, and the hooks wait on: they are used up by the module that runs.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, list[Hook]] = {}
        self._asked = threading.local()

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.waiting or getattr(self._asked, "name", None) == fullname:
            return None
        outer = getattr(self._asked, "name", None)
        self._asked.name = fullname  # the search asks us again
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asked.name = outer
        if spec is not None and spec.loader is not None:
            _hook_after_loading(spec.loader, fullname)
        return spec


_finder = _Finder()


def _hook_after_loading(loader: Any, name: str) -> None:
    inner = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        inner(module)
        if module.__name__ == name:  # a loader may serve other modules too
            for hook in _finder.waiting.pop(name, []):
                _call(hook, module)

    try:
        loader.exec_module = exec_module
    except AttributeError as fault:
        note_fault(fault)
