"""Work of known size on real servers: nothing of it is lost, whatever else the machine does.

Exactness is proved in virtual time (``tests/virtual/test_known_work.py``). Here code burns CPU
by its own clock and sleeps at least as long as it says, so *lower* limits hold on any machine.
Upper limits hold for CPU only, with what FastAPI itself does measured on an endpoint that does
nothing; of elapsed times the best of a few repeats may be late, but not by very much.
"""

import http.client
import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fastsim.calibrate.observed import ObservedStep, walk
from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.timeline import Timeline, normalise
from fastsim.spans import Outcome, StepKind, Via
from tests.live.attempts import Attempts, holds_on_a_recording
from tests.live.service import recorded_service

pytestmark = [pytest.mark.live, pytest.mark.timed]

REPEATS = 7


@dataclass(frozen=True)
class Truth:
    """Milliseconds. ``code`` and ``held`` before the response, on the loop."""

    code: float
    wait: float = 0.0
    blocked: float = 0.0
    thread_cpu: float = 0.0
    thread_off: float = 0.0
    after: float = 0.0
    """CPU on the loop after the response."""
    machinery: float = 1.0
    """What FastAPI adds to the code, in units of a request that does nothing."""


TRUTHS = {
    "/spin": Truth(10.0),
    "/sleep": Truth(5.0, wait=50.0),
    "/blocking": Truth(5.0, blocked=60.0, machinery=3.0),
    "/gather": Truth(18.0, wait=20.0, machinery=2.0),
    "/group": Truth(12.0, wait=20.0, machinery=2.0),
    "/anyio-group": Truth(12.0, wait=20.0, machinery=2.0),
    "/task": Truth(10.0, wait=20.0, machinery=2.0),
    "/def": Truth(0.0, thread_cpu=5.0, thread_off=20.0, machinery=3.0),
    "/to-thread": Truth(0.0, thread_cpu=5.0, thread_off=20.0, machinery=3.0),
    "/executor": Truth(0.0, thread_cpu=5.0, thread_off=20.0, machinery=3.0),
    # Side by side: one of the two waits for the other's 5 ms on the GIL.
    "/executors": Truth(0.0, thread_cpu=10.0, thread_off=45.0, machinery=3.0),
    "/depends": Truth(6.0, after=4.0, thread_cpu=5.0, thread_off=20.0, machinery=3.0),
    "/stream": Truth(10.0, wait=50.0, machinery=6.0),
    "/background": Truth(4.0, after=6.0, machinery=2.0),
    "/detached": Truth(4.0, after=6.0, machinery=2.0),
    # An exception through a cancelled task: several times a bare request on cold caches, as beside
    # a busy process; a wait taken for code would be 20 ms.
    "/timeout": Truth(0.0, wait=20.0, machinery=6.0),
    "/crash": Truth(5.0, machinery=4.0),
    "/peer": Truth(0.0, wait=20.0, machinery=6.0),
    "/layered/spin/1": Truth(12.0, machinery=4.0),
}
ROUTES = {path: path.replace("/1", "/{times}") for path in TRUTHS}
LATER_STARTS = 4.0
"""``part`` runs 4 ms before its wait."""


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Attempts[RequestSet]:
    return Attempts(lambda: record(tmp_path_factory.mktemp("traces"), loop=request.param))


def record(output: Path, *, loop: str) -> RequestSet:
    with recorded_service("known_work_app:app", output, loop=loop) as url:
        address = urlsplit(url).netloc
        # One keep-alive connection: every request but the first inherits what the others left.
        client = http.client.HTTPConnection(address, timeout=20)
        for path in ["/nothing"] * 10 + [*TRUTHS, "/nothing"] * REPEATS:
            client.request("GET", path)
            answer = client.getresponse()
            answer.read()
            assert answer.status == (500 if path == "/crash" else 200)
            if path == "/crash":
                client.close()  # as uvicorn does
            elif path == "/detached":
                time.sleep(0.05)
        client.request("GET", "/api/v1/users/7/orders/8")
        assert client.getresponse().read() == b"15"
        upload_then_others(client)
        client.close()
        leave_early(address)
        talk(address)
        time.sleep(0.1)
    return collect_requests(open_traces([output]), skip_first_s=0.0)


def upload_then_others(client: http.client.HTTPConnection) -> None:
    """Send a body over 64 KiB, after which asyncio confuses the contexts of a connection."""
    client.request("POST", "/upload", body=b"x" * 300_000)
    assert client.getresponse().read() == b"300000"
    for _ in range(3):
        client.request("GET", "/layered/spin/0")
        client.getresponse().read()


def leave_early(address: str) -> None:
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(10)


def talk(address: str) -> None:
    from websockets.sync.client import connect

    with connect(f"ws://{address}/socket", open_timeout=10) as websocket:
        websocket.send("heard")
        assert websocket.recv(timeout=10) == "heard"


def timelines(recorded: RequestSet, endpoint: str) -> list[Timeline]:
    code = recorded.endpoints.index(endpoint)
    return [line for row, line in recorded.timelines() if recorded.endpoint[row] == code]


def typical(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def undisturbed(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 4]


def code_ms(line: Timeline, *, after: bool) -> tuple[float, float]:
    """Return CPU and wall of the code on the loop, before or after the response."""
    code = [
        step
        for step in walk(normalise(line, fold=False))
        if step.do == "cpu" and step.after_response is after
    ]
    return sum(step.cpu_s for step in code) * 1e3, sum(step.wall_s for step in code) * 1e3


def waited_ms(steps: Sequence[ObservedStep], *, most: bool) -> float:
    """Return the least or the most that was waited for; side by side, the longest branch."""
    total = 0.0
    for step in steps:
        if step.do == "parallel":
            total += max(waited_ms(branch, most=most) for branch in step.branches)
        elif step.do == "wait":
            total += (step.wall_s - (step.late_s if most else step.bound_s)) * 1e3
    return total


def own_ms(recorded: RequestSet) -> float:
    return typical([code_ms(line, after=False)[0] for line in timelines(recorded, "GET /nothing")])


def near(truth: float, more: float = 0.0) -> tuple[float, float]:
    slack = max(0.1 * truth, 0.2)
    return truth - slack, truth + slack + more


@pytest.mark.parametrize("path", TRUTHS)
@holds_on_a_recording
def test_code_on_the_loop(recorded: RequestSet, path: str) -> None:
    truth, own = TRUTHS[path], own_ms(recorded)
    lines = timelines(recorded, f"GET {ROUTES[path]}")
    assert len(lines) >= REPEATS
    lines = lines[:REPEATS]  # others of its endpoint came after an upload
    low, high = near(truth.code, truth.machinery * own + 0.3 * truth.after)
    assert (
        (0.7 * low if truth.after else low)
        <= undisturbed([code_ms(line, after=False)[0] for line in lines])
        <= high
    )
    if truth.after:
        # The response leaves in the middle of a stretch of code, which is split by the clock.
        low, high = near(truth.after, own + 0.3 * truth.code)
        assert 0.7 * low <= undisturbed([code_ms(line, after=True)[0] for line in lines]) <= high


@holds_on_a_recording
def test_blocking_on_the_loop_is_named_with_its_line(recorded: RequestSet) -> None:
    truth = TRUTHS["/blocking"]
    lines = timelines(recorded, "GET /blocking")
    held = [code_ms(line, after=False) for line in lines]
    low, _ = near(truth.blocked)
    # Noise of the machine only ever adds to the wall.
    assert low <= min(wall - cpu for cpu, wall in held)
    blocks = [block for line in lines for block in line.blocks if block.wall_s > 0.05]
    assert len(blocks) == REPEATS
    seen = {block.where for block in blocks}
    source = Path(__file__).with_name("known_work_app.py").read_text(encoding="utf-8")
    line = source[: source.index("time.sleep(0.060)")].count("\n") + 1
    assert seen == {f"known_work_app.py:{line} blocking"}


@pytest.mark.parametrize("path", [path for path, truth in TRUTHS.items() if truth.wait])
@holds_on_a_recording
def test_waits(recorded: RequestSet, path: str) -> None:
    truth = TRUTHS[path]
    found = []
    for line in timelines(recorded, f"GET {ROUTES[path]}"):
        steps = normalise(line, fold=False)
        found.append((waited_ms(steps, most=False), waited_ms(steps, most=True)))
    # A task started here and awaited there: the code of one covers the wait of the other.
    covered = LATER_STARTS if path == "/task" else 0.0
    low, high = near(truth.wait)
    assert min(least for least, _ in found) <= high + 1.0
    assert min(most for _, most in found) >= low - covered


@pytest.mark.parametrize("path", [path for path, truth in TRUTHS.items() if truth.thread_cpu])
@holds_on_a_recording
def test_threads(recorded: RequestSet, path: str) -> None:
    truth = TRUTHS[path]
    lines = timelines(recorded, f"GET {ROUTES[path]}")
    low, high = near(truth.thread_cpu)
    cpu = typical([sum(call.cpu_s for call in line.threads) * 1e3 for line in lines])
    assert low <= cpu <= high
    off = [sum(call.wall_s - call.cpu_s for call in line.threads) * 1e3 for line in lines]
    low, _ = near(truth.thread_off)
    assert low <= typical(off)


@holds_on_a_recording
def test_templates_keep_their_prefixes(recorded: RequestSet) -> None:
    assert "GET /api/v1/users/{user}/orders/{order}" in recorded.endpoints
    assert "GET /layered/spin/{times}" in recorded.endpoints


@holds_on_a_recording
def test_requests_after_a_large_body_are_told_apart(recorded: RequestSet) -> None:
    [line] = timelines(recorded, "POST /upload")
    own = own_ms(recorded)
    low, high = near(5.0, 12.0 * own)
    assert low <= code_ms(line, after=False)[0] <= high
    after = timelines(recorded, "GET /layered/spin/{times}")
    assert len(after) == REPEATS + 3
    assert all(line.task.count(0) < 40 for line in after)


@holds_on_a_recording
def test_a_client_that_leaves_is_noted(recorded: RequestSet) -> None:
    [line] = timelines(recorded, "GET /endless")
    assert line.outcome is Outcome.DISCONNECTED
    [crash, *_] = timelines(recorded, "GET /crash")
    assert crash.outcome is Outcome.ERROR
    [spin, *_] = timelines(recorded, "GET /spin")
    assert spin.outcome is Outcome.COMPLETED


@holds_on_a_recording
def test_the_loop_is_watched_over_time(recorded: RequestSet) -> None:
    series = recorded.loop_series
    assert len(series) > 5
    assert series.lag_s >= 0.0
    if recorded.instances[0].facts["fastsim.process.loop"] == "asyncio":
        assert float(series.lag_max_s.max()) > 0.06  # /blocking holds the loop for 65 ms
        assert 0.0 < series.busy_share < 1.0
    else:
        assert float(series.lag_max_s.max()) > 0.003  # a probe ten times a second sees a part


@holds_on_a_recording
def test_sleeps_are_timers_and_peers_are_sockets(recorded: RequestSet) -> None:
    [peer, *_] = timelines(recorded, "GET /peer")
    vias = {
        via
        for kind, via, wall in zip(peer.kind, peer.via, peer.wall_s, strict=True)
        if kind is not StepKind.CPU and wall > 0.015
    }
    assert vias == {Via.SOCKET}
    assert json.dumps(sorted(recorded.endpoints))  # plain text, whatever was asked for
