"""Tasks of a request: nested, outliving it, and strangers in its context."""

import asyncio
import concurrent.futures
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI

from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.timeline import Timeline
from fastsim.collector import FastSimMiddleware, instrument
from fastsim.collector.resume import TimedCoroutine
from fastsim.collector.timeline import LoopClock, RequestRecord, current_record
from fastsim.spans import Outcome, StepKind
from fastsim.step_columns import COLUMNS

pytestmark = pytest.mark.timed

Handler = Callable[[], Awaitable[None]]


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def record(
    handler: Handler, output: Path, *, linger: float = 0.0, times: int = 1, close: bool = False
) -> RequestSet:
    """Serve requests by ``handler`` in a loop of their own; return what was recorded.

    ``linger`` is how long the loop goes on, ``close`` whether that was all that is waited for.
    """

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await handler()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b""})

    async def send(_message: MutableMapping[str, Any]) -> None:
        pass

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    recorder = FastSimMiddleware(app, output=output)

    async def serve() -> None:
        scope = {"type": "http", "method": "GET", "path": "/"}
        try:
            for _ in range(times):
                await asyncio.create_task(recorder(scope, receive, send))
            if close:
                recorder._close_overdue(0)
            await asyncio.sleep(linger)
        finally:
            recorder.stop()

    asyncio.run(serve())
    return collect_requests(open_traces([output]), skip_first_s=0.0)


def only(recorded: RequestSet) -> Timeline:
    [(_, line)] = recorded.timelines()
    return line


def cpu(line: Timeline, task: int | None = None) -> float:
    return sum(
        used
        for used, kind, number in zip(line.cpu_s, line.kind, line.task, strict=True)
        if kind is StepKind.CPU and task in {None, number}
    )


def test_an_eager_task_is_counted_once() -> None:
    # Eager tasks (Python 3.12) run their first step inside the code that creates them.
    clock = LoopClock()
    request = RequestRecord({"method": "GET", "path": "/"})

    async def child() -> None:
        burn(0.004)

    async def parent() -> None:
        burn(0.002)
        nested = TimedCoroutine(child(), request, clock, 1)
        with contextlib.suppress(StopIteration):
            nested.send(None)
        burn(0.002)

    with contextlib.suppress(StopIteration):
        TimedCoroutine(parent(), request, clock, 0).send(None)
    used = dict(zip(request.rows[1::COLUMNS], request.rows[5::COLUMNS], strict=True))
    assert used[1] / 1e9 == pytest.approx(0.004, rel=0.1)
    assert used[0] / 1e9 == pytest.approx(0.004, rel=0.1)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("debug", [False, True])
def test_eager_tasks_are_recorded_and_task_groups_of_anyio_work(
    tmp_path: Path, *, debug: bool
) -> None:
    """Anyio knows an eager factory by its code, and starts tasks past it."""
    app, done = FastAPI(), list[int]()

    async def part(number: int) -> None:
        await anyio.sleep(0.001)
        done.append(number)

    @app.get("/")
    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(part, number)
        with anyio.move_on_after(5.0):
            await asyncio.gather(part(3), part(4))

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        instrument(app, output=tmp_path)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            assert (await client.get("/")).status_code == 200
        app._fastsim_recorder.flush()  # type: ignore[attr-defined]

    with asyncio.Runner(debug=debug) as runner:
        runner.run(serve())
    assert sorted(done) == [0, 1, 2, 3, 4]
    recorded = collect_requests(open_traces([tmp_path]), skip_first_s=0.0)
    assert len(set(only(recorded).task)) == 6


async def after() -> None:
    await asyncio.sleep(0.02)
    burn(0.003)


jobs: list[asyncio.Task[None]] = []


async def leave_a_task() -> None:
    jobs[:] = [asyncio.create_task(after())]
    burn(0.001)


def test_a_task_that_outlives_its_request_is_still_recorded(tmp_path: Path) -> None:
    line = only(record(leave_a_task, tmp_path, linger=0.05))
    assert cpu(line, 1) == pytest.approx(0.003, rel=0.2)
    assert line.response_s is not None
    assert line.response_s < 0.02 < max(line.start_s)


def test_not_for_ever(tmp_path: Path) -> None:
    recorded = record(leave_a_task, tmp_path, linger=0.0)
    [attributes] = [span.attributes for span in open_traces([tmp_path]) if span.kind == 2]
    assert attributes["fastsim.tasks_cut"] == 1
    assert cpu(only(recorded), 1) < 0.001


def test_a_task_cut_is_said_even_if_it_ends_before_the_request_is_written(tmp_path: Path) -> None:
    recorded = record(leave_a_task, tmp_path, linger=0.06, close=True)
    assert jobs[0].done()
    [attributes] = [span.attributes for span in open_traces([tmp_path]) if span.kind == 2]
    assert attributes["fastsim.tasks_cut"] == 1
    assert cpu(only(recorded), 1) < 0.001


def test_a_task_of_a_task_that_outlived_its_request_counts_too(tmp_path: Path) -> None:
    async def grandchild() -> None:
        burn(0.003)

    async def child() -> None:
        await asyncio.sleep(0.01)
        await asyncio.create_task(grandchild())

    async def handler() -> None:
        jobs[:] = [asyncio.create_task(child())]

    assert cpu(only(record(handler, tmp_path, linger=0.05)), 2) == pytest.approx(0.003, rel=0.2)


def test_a_context_that_outlives_its_request_starts_no_step_of_it(tmp_path: Path) -> None:
    # As a connection does whose reader was registered anew in a request's context.
    async def stranger() -> None:
        burn(0.003)

    def connection() -> None:
        assert current_record.get() is not None
        jobs.append(asyncio.get_running_loop().create_task(stranger()))

    async def handler() -> None:
        jobs[:] = [asyncio.create_task(after())]
        asyncio.get_running_loop().call_later(0.01, connection)

    line = only(record(handler, tmp_path, linger=0.06))
    assert set(line.task) == {0, 1}


def test_a_process_pool_gets_its_function_as_it_is(tmp_path: Path) -> None:
    found: list[int] = []

    async def handler() -> None:
        loop = asyncio.get_running_loop()
        with concurrent.futures.ProcessPoolExecutor(1) as pool:
            found.append(await loop.run_in_executor(pool, abs, -7))

    line = only(record(handler, tmp_path))
    assert found == [7]
    assert line.threads == ()


def test_executor_work_that_nobody_awaits_directly_is_recorded(tmp_path: Path) -> None:
    async def handler() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, burn, 0.004) for _ in range(2)))

    line = only(record(handler, tmp_path))
    assert [call.cpu_s for call in line.threads] == pytest.approx([0.004, 0.004], rel=0.2)
    assert all(line.kind[call.step] is StepKind.THREAD for call in line.threads)


def test_a_cancelled_request_is_noted(tmp_path: Path) -> None:
    async def handler() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1.0)

    with pytest.raises(asyncio.CancelledError):
        record(handler, tmp_path)
    spans = [span for span in open_traces([tmp_path]) if span.kind == 2]
    assert [span.attributes["fastsim.outcome"] for span in spans] == [Outcome.CANCELLED.value]


def test_requests_in_flight_are_counted(tmp_path: Path) -> None:
    async def handler() -> None:
        await asyncio.sleep(0.12)
        burn(0.001)

    series = record(handler, tmp_path, times=2).loop_series
    assert set(series.in_flight.tolist()) <= {0.0, 1.0}
    assert 1.0 in series.in_flight
