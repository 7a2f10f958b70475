"""Work of known size, in every way FastAPI code is written, comes out as what it was.

To the nanosecond, because FastAPI's own work takes no virtual time. What needs threads or
the kernel is in ``tests/live/test_known_work.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from fastsim.calibrate.observed import ObservedStep, walk
from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.timeline import Timeline, normalise
from fastsim.spans import Outcome, Via
from tests.virtual.known_work_app import make_app
from tests.virtual.serving import Served, one_by_one, serve

REPEATS = 3
SAME_MS = 1e-5


@dataclass(frozen=True)
class Truth:
    """Milliseconds. ``code`` and ``blocked`` before the response, on the loop."""

    code: float
    waits: tuple[float, ...] = ()
    """Every wait before the response, those of branches one by one."""
    blocked: float = 0.0
    after: float = 0.0
    """CPU on the loop after the response."""


TRUTHS = {
    "/nothing": Truth(0.0),
    "/spin": Truth(10.0),
    "/sleep": Truth(5.0, waits=(20.0, 30.0)),
    "/peer": Truth(3.0, waits=(20.4,)),
    "/blocking": Truth(5.0, blocked=60.0),
    "/gather": Truth(18.0, waits=(20.0,) * 3),
    "/group": Truth(12.0, waits=(20.0,) * 2),
    "/anyio-group": Truth(12.0, waits=(20.0,) * 2),
    # The code of one covers a part of the other's wait; what is left of it is known.
    "/task": Truth(10.0, waits=(20.0,)),
    "/depends": Truth(6.0, after=3.0),
    "/stream": Truth(10.0, waits=(5.0,) * 10),
    "/background": Truth(4.0, after=6.0),
    "/detached": Truth(4.0, after=6.0),
    "/timeout": Truth(0.0, waits=(20.0,)),
    "/crash": Truth(5.0),
    "/limited": Truth(0.0, waits=(10.0,)),
    "/layered/spin/1": Truth(12.0),
}
ROUTES = {path: f"GET {path.replace('/1', '/{times}')}" for path in TRUTHS}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Served, RequestSet]:
    directory = tmp_path_factory.mktemp("traces")
    done = serve(make_app(), one_by_one([*TRUTHS] * REPEATS), record=directory)
    return done, collect_requests(open_traces([directory]), skip_first_s=0.0)


@pytest.fixture(scope="module")
def recorded(served: tuple[Served, RequestSet]) -> RequestSet:
    return served[1]


def timelines(recorded: RequestSet, path: str) -> list[Timeline]:
    code = recorded.endpoints.index(ROUTES[path])
    found = [line for row, line in recorded.timelines() if recorded.endpoint[row] == code]
    assert len(found) == REPEATS
    return found


def programs(recorded: RequestSet, path: str) -> list[list[ObservedStep]]:
    return [list(walk(normalise(line, fold=False))) for line in timelines(recorded, path)]


def code_ms(steps: Sequence[ObservedStep], *, after: bool) -> tuple[float, float]:
    code = [step for step in steps if step.do == "cpu" and step.after_response is after]
    return sum(step.cpu_s for step in code) * 1e3, sum(step.wall_s for step in code) * 1e3


@pytest.mark.parametrize("path", TRUTHS)
def test_code_is_what_it_was(recorded: RequestSet, path: str) -> None:
    truth = TRUTHS[path]
    for steps in programs(recorded, path):
        cpu, wall = code_ms(steps, after=False)
        assert cpu == pytest.approx(truth.code, abs=SAME_MS)
        assert wall == pytest.approx(truth.code + truth.blocked, abs=SAME_MS)
        assert code_ms(steps, after=True)[0] == pytest.approx(truth.after, abs=SAME_MS)


@pytest.mark.parametrize("path", TRUTHS)
def test_waits_lie_within_their_bounds(recorded: RequestSet, path: str) -> None:
    truth = TRUTHS[path]
    for steps in programs(recorded, path):
        waits = [
            step
            for step in steps
            if step.do == "wait" and not step.after_response and step.wall_s > 0.0
        ]
        assert len(waits) == len(truth.waits)
        for step, true in zip(waits, truth.waits, strict=True):
            most, least = step.wall_s - step.late_s, step.wall_s - step.bound_s
            assert least * 1e3 - SAME_MS <= true <= most * 1e3 + SAME_MS
            # Sleeps are read off their coroutines, and a peer's answer woke the loop: exact.
            assert most - least < 1e-9


@pytest.mark.parametrize("path", TRUTHS)
def test_latency_is_that_of_the_client(served: tuple[Served, RequestSet], path: str) -> None:
    done, recorded = served
    found = [line.response_s for line in timelines(recorded, path)]
    assert found == pytest.approx(done.of(path).tolist(), abs=1e-8)


def test_tasks_awaited_together_are_branches(recorded: RequestSet) -> None:
    for path, branches in (("/gather", 3), ("/group", 2), ("/anyio-group", 2)):
        for line in timelines(recorded, path):
            [step] = [step for step in normalise(line) if step.do == "parallel"]
            assert len(step.branches) == branches
    assert not [step for steps in programs(recorded, "/task") for step in steps if step.branches]


def test_sleeps_are_timers_and_peers_are_sockets(recorded: RequestSet) -> None:
    def vias(path: str) -> set[Via]:
        steps = [step for steps in programs(recorded, path) for step in steps]
        return {step.via for step in steps if step.do == "wait" and step.wall_s > 0.001}

    assert vias("/sleep") == {Via.TIMER}
    assert vias("/peer") == {Via.SOCKET}


def test_slots_are_taken_and_given_back(recorded: RequestSet) -> None:
    for steps in programs(recorded, "/limited"):
        held = [step for step in steps if step.resource == "slots"]
        assert [step.do for step in held] == ["acquire", "release"]
        assert held[1].start_s - held[0].start_s == pytest.approx(0.010, abs=1e-8)


def test_blocking_code_is_noted(recorded: RequestSet) -> None:
    for line in timelines(recorded, "/blocking"):
        [block] = line.blocks
        assert (block.wall_s, block.cpu_s) == pytest.approx((0.065, 0.005))
    assert not [block for path in ("/spin", "/sleep") for block in blocks(recorded, path)]


def blocks(recorded: RequestSet, path: str) -> list[object]:
    return [block for line in timelines(recorded, path) for block in line.blocks]


def test_outcomes(recorded: RequestSet) -> None:
    assert {line.outcome for line in timelines(recorded, "/spin")} == {Outcome.COMPLETED}
    assert {line.outcome for line in timelines(recorded, "/crash")} == {Outcome.ERROR}
    assert int(recorded.failed.sum()) == REPEATS
