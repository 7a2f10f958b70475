"""A loopback HTTP server in threads, whose answers take a known time."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Pieces = list[tuple[float, bytes]]
"""Seconds to wait before each piece of a body."""


@contextmanager
def answering(answer: Callable[[str, bytes], tuple[str, Pieces]]) -> Iterator[str]:
    """Yield the base URL; ``answer`` gives content type and pieces for path and body."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            kind, pieces = answer(self.path, self.rfile.read(length))
            if len(pieces) == 1:
                time.sleep(pieces[0][0])
            self.send_response(200)
            self.send_header("content-type", kind)
            if len(pieces) == 1:
                self.send_header("content-length", str(len(pieces[0][1])))
                self.end_headers()
                self.wfile.write(pieces[0][1])
                return
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for delay_s, piece in [*pieces, (0.0, b"")]:
                time.sleep(delay_s)
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.flush()

        do_POST = do_GET  # noqa: N815
        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def events(*pieces: tuple[float, dict[str, object]], named: bool = False) -> Pieces:
    """Write server-sent events, as language-model interfaces stream them."""
    return [
        (
            delay_s,
            (f"event: {data['type']}\n" if named else "").encode()
            + f"data: {json.dumps(data)}\n\n".encode(),
        )
        for delay_s, data in pieces
    ]
