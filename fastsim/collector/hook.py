"""Attach the recorder when uvicorn loads its application, with no change of code.

Runs in every process that ``fastsim record`` starts. A one-shot import hook waits
for ``uvicorn.config`` and wraps ``Config.load``, which single processes, spawned
workers, gunicorn's uvicorn workers and ``fastapi run`` all go through.
"""

import functools
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from fastsim.collector.destination import DEFAULT_MODE, ENV_OUTPUT, Destination
from fastsim.collector.faults import note_fault

ENV_SAMPLE = "FASTSIM_RECORD_SAMPLE"
ENV_SERVICE = "FASTSIM_RECORD_SERVICE"
ENV_MODE = "FASTSIM_RECORD_MODE"

_TARGET = "uvicorn.config"


def install() -> None:
    """Wait for uvicorn in this process, if recording was asked for."""
    if not os.environ.get(ENV_OUTPUT):
        return
    if _TARGET in sys.modules:  # another sitecustomize was first
        _wrap_config(sys.modules[_TARGET])
    else:
        sys.meta_path.insert(0, _UvicornFinder())


class _UvicornFinder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _TARGET:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    _wrap_loader(spec.loader)
                return spec
        return None


def _wrap_loader(loader: Any) -> None:
    inner = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        inner(module)
        try:
            _wrap_config(module)
        except Exception as fault:  # noqa: BLE001  the service must start
            note_fault(fault)

    loader.exec_module = exec_module


def _wrap_config(module: ModuleType) -> None:
    config_class: Any = module.Config
    inner = config_class.load

    @functools.wraps(inner)
    def load(self: Any) -> None:
        inner(self)
        try:
            _attach(self)
        except Exception as fault:  # noqa: BLE001  the service must start
            note_fault(fault)

    config_class.load = load


def _attach(config: Any) -> None:
    from fastsim.collector.facts import uvicorn_facts
    from fastsim.collector.middleware import FastSimMiddleware, find_fastapi

    application = find_fastapi(config.loaded_app)
    if hasattr(application, "_fastsim_recorder"):
        return
    title = str(getattr(application, "title", "service"))
    config.loaded_app = FastSimMiddleware(
        config.loaded_app,
        service_name=os.environ.get(ENV_SERVICE) or title,
        output=Destination.from_environment(),
        sample_ratio=float(os.environ.get(ENV_SAMPLE, "1")),
        mode=os.environ.get(ENV_MODE, DEFAULT_MODE),
        server=uvicorn_facts(config),
    )
