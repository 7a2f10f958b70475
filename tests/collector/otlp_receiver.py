"""A small OTLP/HTTP receiver on loopback that does as the test says."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.collector.otlp_published import from_json


@dataclass
class Receiver:
    """What arrived, and what to answer."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """Status codes for the next requests; 200 when there is none left."""
    body: bytes = b"{}"
    hold: threading.Event | None = None
    """Answers wait for it."""
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    accepted: list[ExportTraceServiceRequest] = field(default_factory=list)

    def span_names(self) -> list[str]:
        return [
            span.name
            for request in self.accepted
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]


@contextmanager
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            state.headers.append({key.lower(): value for key, value in self.headers.items()})
            state.paths.append(self.path)
            if state.hold is not None:
                state.hold.wait(20.0)
            status = state.answers.pop(0) if state.answers else 200
            if status == 200:
                if self.headers.get("Content-Encoding") == "gzip":
                    content = gzip.decompress(content)
                if self.headers["Content-Type"] == "application/json":
                    state.accepted.append(from_json(content))
                else:
                    state.accepted.append(ExportTraceServiceRequest.FromString(content))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
