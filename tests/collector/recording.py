"""Record a few requests in this process, without a server, and look at their timelines."""

import asyncio
import io
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import pytest

from fastsim.calibrate.readers import otlp_json
from fastsim.calibrate.readers.account import FileAccount
from fastsim.calibrate.recorded import ResourceEvent, Timeline, decode_timeline
from fastsim.collector import FastSimMiddleware
from fastsim.collector.faults import fault_count
from fastsim.collector.otlp import encode_line
from fastsim.spans import Span, StepKind

Handler = Callable[[str], Awaitable[None]]
Service = Callable[[], AbstractAsyncContextManager[Handler]]

SLACK_S = 0.0005
SLACK_SHARE = 0.10
"""How far a recorded time may be from the one measured by the service itself."""


def record(service: Service, paths: Sequence[str], *, at_once: bool = True) -> list[Timeline]:
    """Return a timeline per path, in that order."""
    return [timeline_of(span) for span in record_spans(service, paths, at_once=at_once)]


def record_spans(service: Service, paths: Sequence[str], *, at_once: bool = True) -> list[Span]:
    """Return the server span of each path, in that order."""
    before = fault_count()
    with TemporaryDirectory() as output:
        spans = asyncio.run(_serve(service, paths, Path(output), at_once=at_once))
    assert fault_count() == before, "the recorder was disturbed"
    assert len(spans) == len(paths)
    return (
        [spans[path] for path in paths] if len(set(paths)) == len(paths) else list(spans.values())
    )


async def _serve(
    service: Service, paths: Sequence[str], output: Path, *, at_once: bool
) -> dict[str, Span]:
    found: dict[str, Span] = {}
    async with service() as handler:

        async def app(scope: MutableMapping[str, Any], _receive: Any, send: Any) -> None:
            await handler(scope["path"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        recorder = FastSimMiddleware(app, output=output)

        def submit(encode: Callable[[], list[str]], *, requests: int, steps: int) -> None:
            assert steps >= requests > 0
            line = encode_line({}, encode()).encode()
            for span in otlp_json.read(_stream(line), FileAccount("memory")):
                found.update(_by_path(span))

        recorder._writer.submit_requests = submit  # type: ignore[method-assign]
        requests = [_request(recorder, path) for path in paths]
        if at_once:
            await asyncio.gather(*requests)
        else:
            for request in requests:
                await request
        recorder.flush()
    return found


def _stream(line: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(line))


def _by_path(span: Span) -> dict[str, Span]:
    return {str(span.attributes["url.path"]): span} if "url.path" in span.attributes else {}


async def _request(recorder: FastSimMiddleware, path: str) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: MutableMapping[str, Any]) -> None:
        pass

    await recorder({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)


def timeline_of(span: Span) -> Timeline:
    timeline = decode_timeline(span.attributes)
    assert timeline is not None
    return timeline


def waits(timeline: Timeline, kind: StepKind) -> list[float]:
    """Return the recorded lengths of all waits of a kind, in seconds."""
    pairs = zip(timeline.kind, timeline.wall_s, strict=True)
    return [wall_s for each, wall_s in pairs if each is kind]


def events(timeline: Timeline, name: str) -> list[ResourceEvent]:
    return [event for event in timeline.events if event.name == name]


def holds(timeline: Timeline, name: str) -> list[float]:
    """Return how long each slot of a pool was held, in seconds."""
    found: list[float] = []
    taken: list[float] = []
    for event in events(timeline, name):
        if event.event == "acquire":
            taken.append(event.at_s)
        else:
            found.append(event.at_s - taken.pop(0))
    assert not taken, "a slot was never given back"
    return found


def near(truth_s: float) -> Any:
    return pytest.approx(truth_s, rel=SLACK_SHARE, abs=SLACK_S)


class Stopwatch:
    """The service's own account of its waits and holds, by path, in seconds."""

    def __init__(self) -> None:
        self.waited: dict[str, float] = {}
        self.held: dict[str, float] = {}

    async def use(self, path: str, slot: AbstractAsyncContextManager[Any], hold_s: float) -> None:
        """Take a slot, hold it, give it back."""
        asked = perf_counter()
        await slot.__aenter__()
        got = perf_counter()
        self.waited[path] = got - asked
        try:
            await asyncio.sleep(hold_s)
        finally:
            await slot.__aexit__(None, None, None)
            self.held[path] = perf_counter() - got
