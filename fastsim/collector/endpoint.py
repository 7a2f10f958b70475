"""Send what is recorded to an OTLP endpoint over HTTP, from a thread of its own.

The endpoint, its headers and protocol come from the standard OTEL_EXPORTER_OTLP_*
variables, as the OpenTelemetry SDK for Python reads them. Bounded: what an endpoint
does not take in time is dropped and counted, and every retry is limited.
"""

import contextlib
import gzip
import http.client
import json
import logging
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from fastsim import __version__
from fastsim.collector import clocks
from fastsim.collector.faults import note_fault
from fastsim.collector.otlp_binary import line_to_protobuf

QUEUE_BATCHES = 200
QUEUE_BYTES = 32 << 20
ATTEMPTS = 5
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 8.0
_DEFAULT_BASE = "http://localhost:4318"
_TIMEOUT_S = 10.0
_RETRYABLE = frozenset({408, 429, 502, 503, 504})
_MAX_ANSWER_BYTES = 1 << 16
_PROTOCOLS = ("http/json", "http/protobuf")

_logger = logging.getLogger("fastsim.collector")


class EndpointSettingsError(ValueError):
    """The OTEL_EXPORTER_OTLP_* variables ask for something that is not possible."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where and how to send."""

    url: str
    protocol: str
    headers: tuple[tuple[str, str], ...]
    timeout_s: float
    compress: bool
    certificate: str | None


def endpoint_settings(environment: Mapping[str, str]) -> EndpointSettings:
    """Read the standard variables; those for traces go before the general ones.

    Raises
    ------
    EndpointSettingsError
        When a variable has a value that cannot be followed.
    """

    def variable(name: str) -> str:
        for prefix in ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"):
            value = environment.get(prefix + name, "").strip()
            if value:
                return value
        return ""

    url = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    if not url:
        base = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or _DEFAULT_BASE
        url = f"{base.rstrip('/')}/v1/traces"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise EndpointSettingsError(f"{url!r} is not an http or https address")
    protocol = variable("PROTOCOL") or "http/json"
    if protocol not in _PROTOCOLS:
        raise EndpointSettingsError(
            f"the protocol {protocol!r} is not supported: {' or '.join(_PROTOCOLS)}"
        )
    compression = variable("COMPRESSION").lower() or "none"
    if compression not in {"none", "gzip"}:
        raise EndpointSettingsError(f"the compression {compression!r} is not gzip or none")
    timeout = variable("TIMEOUT") or str(_TIMEOUT_S)
    try:
        timeout_s = float(timeout)
    except ValueError:
        raise EndpointSettingsError(f"the timeout {timeout!r} is not a number") from None
    return EndpointSettings(
        url,
        protocol,
        tuple(_headers(variable("HEADERS"))),
        timeout_s,
        compression == "gzip",
        variable("CERTIFICATE") or None,
    )


def _headers(text: str) -> list[tuple[str, str]]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    return [(unquote(name.strip()), unquote(value.strip())) for name, _, value in pairs]


def make_endpoint(environment: Mapping[str, str]) -> "OtlpEndpoint":
    """Return an endpoint; one that drops and says why when the variables are wrong."""
    try:
        return OtlpEndpoint(endpoint_settings(environment))
    except EndpointSettingsError as error:
        _logger.warning("nothing is exported: %s", error)
        endpoint = OtlpEndpoint(None)
        endpoint.problem = f"nothing is exported: {error}"
        return endpoint


class OtlpEndpoint:
    """Takes encoded lines and posts them in order, one request a line."""

    def __init__(self, settings: EndpointSettings | None) -> None:
        self._settings = settings
        self._queue: deque[tuple[bytes, int]] = deque()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._busy = False
        self._closing = threading.Event()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: http.client.HTTPConnection | None = None
        self.exported = 0
        self.dropped: dict[str, int] = {}
        self.problem = ""
        self.cpu_ns = 0

    def submit(self, line: bytes, requests: int) -> None:
        """Queue one line holding so many requests; drop it when the queue is full."""
        if self._settings is None:
            self._drop("settings", requests)
            return
        with self._lock:
            full = len(self._queue) >= QUEUE_BATCHES or self._queued_bytes + len(line) > QUEUE_BYTES
            if not full:
                self._queue.append((line, requests))
                self._queued_bytes += len(line)
                self._idle.notify_all()
        if full:
            self._drop("queue", requests)
        elif self._thread is None:
            self._thread = threading.Thread(
                target=self._run, args=(self._settings,), name="fastsim-otlp", daemon=True
            )
            self._thread.start()

    def flush(self, within_s: float) -> bool:
        """Wait until everything queued was sent or given up; return whether that is so."""
        self._hurry.set()
        try:
            with self._idle:
                return self._idle.wait_for(
                    lambda: not self._queue and not self._busy, max(within_s, 0.0)
                )
        finally:
            self._hurry.clear()

    def close(self) -> None:
        """Stop the thread; what is still queued is dropped and counted."""
        self._closing.set()
        self._hurry.set()
        with self._idle:
            self._idle.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)
        while self._queue:
            self._drop("queue", self._queue.popleft()[1])

    # --- in the thread ---------------------------------------------------------------------

    def _run(self, settings: EndpointSettings) -> None:
        while not self._closing.is_set():
            with self._idle:
                self._idle.wait_for(lambda: self._queue or self._closing.is_set())
                if self._closing.is_set():
                    break
                line, requests = self._queue.popleft()
                self._queued_bytes -= len(line)
                self._busy = True
            try:
                self._send(settings, line, requests)
            except Exception as fault:  # noqa: BLE001  the thread must go on
                note_fault(fault)
                self._drop("refused", requests)
            finally:
                self.cpu_ns = clocks.thread_time_ns()
                with self._idle:
                    self._busy = False
                    self._idle.notify_all()
        self._disconnect()

    def _send(self, settings: EndpointSettings, line: bytes, requests: int) -> None:
        body = line_to_protobuf(line) if settings.protocol == "http/protobuf" else line
        headers = {
            "Content-Type": "application/x-protobuf"
            if settings.protocol == "http/protobuf"
            else "application/json",
            "User-Agent": f"fastsim/{__version__}",
            **dict(settings.headers),
        }
        if settings.compress:
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        pause_s = FIRST_RETRY_S
        for attempt in range(1, ATTEMPTS + 1):
            asked_s = 0.0
            try:
                status, answer, retry_after = self._post(settings, body, headers)
            except (OSError, http.client.HTTPException) as error:
                self._disconnect()
                reason, words = "unreachable", f"{settings.url}: {error or type(error).__name__}"
            else:
                if 200 <= status < 300:
                    self._accepted(answer, requests)
                    return
                reason, words = "refused", f"{settings.url} answered {status}"
                if status not in _RETRYABLE:
                    break
                with contextlib.suppress(ValueError):
                    asked_s = float(retry_after or 0.0)
            if attempt == ATTEMPTS or self._closing.is_set():
                break
            # Jitter, so that many processes do not come back all at once.
            wait_s = max(min(asked_s, LONGEST_RETRY_S), pause_s * random.uniform(0.8, 1.2))
            if self._hurry.wait(wait_s):
                time.sleep(min(wait_s, 0.1))
            pause_s = min(2.0 * pause_s, LONGEST_RETRY_S)
        self._drop(reason, requests, f"export failed: {words}")

    def _post(
        self, settings: EndpointSettings, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes, str | None]:
        parts = urlsplit(settings.url)
        if self._connection is None:
            self._connection = _connect(settings)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection.request("POST", target, body, dict(headers))
        response = self._connection.getresponse()
        answer = response.read(_MAX_ANSWER_BYTES)
        if response.will_close or not response.isclosed():
            self._disconnect()
        return response.status, answer, response.headers.get("Retry-After")

    def _accepted(self, answer: bytes, requests: int) -> None:
        rejected = 0
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            partial = json.loads(answer).get("partialSuccess") or {}
            rejected = int(partial.get("rejectedSpans", 0))
            if rejected:
                self._drop("refused", min(rejected, requests), str(partial.get("errorMessage", "")))
        self.exported += requests - min(rejected, requests)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def _drop(self, reason: str, requests: int, problem: str = "") -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + requests
        if problem and not self.problem:
            self.problem = problem
            _logger.warning("%s; the service is not affected", problem)


def _connect(settings: EndpointSettings) -> http.client.HTTPConnection:
    parts = urlsplit(settings.url)
    make: Callable[..., http.client.HTTPConnection] = http.client.HTTPConnection
    options: dict[str, object] = {"timeout": settings.timeout_s}
    if parts.scheme == "https":
        make = http.client.HTTPSConnection
        options["context"] = ssl.create_default_context(cafile=settings.certificate)
    return make(parts.hostname or "", parts.port, **options)
