"""Attach the recorder when uvicorn loads its application, with no change of code.

Runs in every process that ``fastsim record`` starts. It waits for
``uvicorn.config`` and wraps ``Config.load``, which single processes, spawned
workers, gunicorn's uvicorn workers and ``fastapi run`` all go through. Launchers that
put a ``sitecustomize`` of their own first on PYTHONPATH and then execute the service
(``opentelemetry-instrument`` and its like) are followed: ours stays first and runs theirs.
"""

import functools
import os
from collections.abc import MutableMapping
from types import ModuleType
from typing import Any, cast

from fastsim.collector.destination import DEFAULT_MODE, ENV_OUTPUT, Destination
from fastsim.collector.faults import note_fault
from fastsim.collector.imports import when_imported
from fastsim.collector.notes import ATTACHED, LOADED, leave_note
from fastsim.collector.otel import watch_providers

ENV_SAMPLE = "FASTSIM_RECORD_SAMPLE"
ENV_SERVICE = "FASTSIM_RECORD_SERVICE"
ENV_MODE = "FASTSIM_RECORD_MODE"

_TARGET = "uvicorn.config"


def install(launch_directory: str | None = None) -> None:
    """Wait for uvicorn in this process, if recording was asked for.

    ``launch_directory`` holds the ``sitecustomize`` that must stay first on PYTHONPATH.
    """
    if not os.environ.get(ENV_OUTPUT):
        return
    leave_note(LOADED)
    if launch_directory is not None:
        _stay_first(launch_directory)
    if os.environ.get(ENV_MODE, DEFAULT_MODE) == DEFAULT_MODE:
        # Early: a provider that is made while the application is imported is met, too.
        watch_providers()
    when_imported(_TARGET, _wrap_config)


def _stay_first(launch_directory: str) -> None:
    """Keep a directory first on the PYTHONPATH of what this process turns into."""
    # Every other way to execute in ``os`` ends in one of these two, looked up there.
    execute, execute_with = os.execv, os.execve

    def execv(path: Any, args: Any) -> Any:
        _put_first(os.environ, launch_directory)
        return execute(path, args)

    def execve(path: Any, args: Any, env: Any) -> Any:
        try:
            env = dict(env)
            if ENV_OUTPUT in env:
                _put_first(env, launch_directory)
        except Exception as fault:  # noqa: BLE001  what we do not understand is passed on
            note_fault(fault)
        return execute_with(path, args, env)

    os.execv, os.execve = execv, cast("Any", execve)


def _put_first(environment: MutableMapping[str, str], directory: str) -> None:
    entries = environment.get("PYTHONPATH", "").split(os.pathsep)
    others = [entry for entry in entries if entry and entry != directory]
    environment["PYTHONPATH"] = os.pathsep.join([directory, *others])


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
        leave_note(ATTACHED)
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
    leave_note(ATTACHED)
