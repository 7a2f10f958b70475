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

from fastsim.collector.faults import note_fault

ENV_OUTPUT = "FASTSIM_RECORD_OUTPUT"
ENV_SAMPLE = "FASTSIM_RECORD_SAMPLE"
ENV_SERVICE = "FASTSIM_RECORD_SERVICE"

_TARGET = "uvicorn.config"


def install() -> None:
    """Wait for uvicorn in this process, if recording was asked for."""
    if os.environ.get(ENV_OUTPUT) and _TARGET not in sys.modules:
        sys.meta_path.insert(0, _UvicornFinder())


class _UvicornFinder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            _wrap_loader(spec.loader)
        return spec


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
    from fastsim.collector.middleware import FastSimMiddleware, find_fastapi

    application = find_fastapi(config.loaded_app)
    if hasattr(application, "_fastsim_recorder"):
        return
    title = str(getattr(application, "title", "service"))
    config.loaded_app = FastSimMiddleware(
        config.loaded_app,
        service_name=os.environ.get(ENV_SERVICE) or title,
        output=os.environ[ENV_OUTPUT],
        sample_ratio=float(os.environ.get(ENV_SAMPLE, "1")),
        workers=int(getattr(config, "workers", 1) or 1),
        limit_concurrency=getattr(config, "limit_concurrency", None),
    )
