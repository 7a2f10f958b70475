"""``instrument(app)``: the one line that records a service."""

from pathlib import Path
from typing import Any, TypeVar

from fastsim.collector.destination import (
    DEFAULT_MODE,
    MAX_FILE_BYTES,
    MAX_TOTAL_BYTES,
    Destination,
)
from fastsim.collector.faults import note_fault
from fastsim.collector.middleware import FastSimMiddleware
from fastsim.collector.timeline import Receive, Scope, Send

App = TypeVar("App")


def instrument(
    app: App,
    *,
    service_name: str | None = None,
    output: str | Path | None = "traces",
    sample_ratio: float = 1.0,
    mode: str = DEFAULT_MODE,
    otlp: bool = False,
    max_file_bytes: int = MAX_FILE_BYTES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
) -> App:
    """Record the requests of a FastAPI (or other ASGI) application.

    Call it once, after the application is made and before it serves. The application
    is returned as it came; its class is replaced by a subclass whose ``__call__``
    passes through the recorder, so that the recorder is outermost, outside every
    middleware and telemetry layer. Errors inside the recorder never reach the
    application.

    Parameters
    ----------
    app
        The application object.
    service_name
        Name in the traces; the application's title when absent.
    output
        Directory for the trace files of each process; None writes no files.
    sample_ratio
        Share of requests to record, 0 to 1.
    mode
        ``auto`` or ``light``: with the service's own OpenTelemetry spans if it makes any, or
        leaving them alone.
    otlp
        Send everything to the endpoint that the OTEL_EXPORTER_OTLP_* variables name.
    max_file_bytes, max_total_bytes
        Size at which a process begins a new file, and which all files in the directory
        together never exceed: what comes later is dropped and counted.
    """
    if hasattr(app, "_fastsim_recorder"):
        return app
    try:
        directory = None if output is None else Path(output)
        _attach(
            app,
            service_name=service_name or str(getattr(app, "title", "service")),
            output=Destination(directory, max_file_bytes, max_total_bytes, otlp),
            sample_ratio=sample_ratio,
            mode=mode,
        )
    except Exception as fault:  # noqa: BLE001  a service must start with or without us
        note_fault(fault)
    return app


def _attach(app: object, **options: Any) -> None:
    kind = type(app)
    inner_call = kind.__call__

    async def call_inner(scope: Scope, receive: Receive, send: Send) -> None:
        await inner_call(app, scope, receive, send)

    call_inner.app = app  # type: ignore[attr-defined]  # find_fastapi follows it
    recorder = FastSimMiddleware(call_inner, **options)

    async def __call__(_self: object, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: N807
        await recorder(scope, receive, send)

    app._fastsim_recorder = recorder  # type: ignore[attr-defined]
    app.__class__ = type(
        kind.__name__, (kind,), {"__call__": __call__, "__module__": kind.__module__}
    )
