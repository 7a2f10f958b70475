"""Send a schedule over HTTP, open loop, and note what came back.

Requests leave when they are due, whatever the service does, and latency counts from the
due moment: waiting caused by a slow service is never hidden (no coordinated omission).
What the numbers mean is decided in ``fastsim.load.outcome``.
"""

import asyncio
import errno
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import yarl
from numpy.typing import NDArray

from fastsim.load.schedule import Schedule

# uvicorn closes idle connections after 5 s; letting go first avoids sending on a dying one.
_KEEP_ALIVE_S = 4.0
_START_DELAY_S = 0.05
_PROGRESS_EVERY_S = 0.25
_MOST_CACHED_URLS = 20_000

OUT_OF_SOCKETS = "driver out of sockets"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Counts include the warm-up."""

    elapsed_s: float
    sent: int
    finished: int
    failed: int


@dataclass(frozen=True, slots=True, eq=False)
class LoadResult:
    """What happened to each request of a schedule.

    Parameters
    ----------
    sent_s, done_s : float array, shape (n,)
        Seconds from the start: the driver began the request, the last body byte was read.
        NaN when that did not happen.
    status : int array, shape (n,)
        HTTP status; 0 without an answer.
    cause
        Why the request failed; empty when it did not (or did not finish).
    received_bytes : int array, shape (n,)
        Body bytes.
    trace_ids
        32 hexadecimal digits each, as sent in ``traceparent``.
    started_unix_ns
        Wall clock at time 0 of the schedule.
    elapsed_s
        From time 0 until the last request finished or the run was stopped.
    cpu_s
        CPU of the sending thread.
    stopped
        True when the run was ended early.
    """

    base_url: str
    schedule: Schedule
    sent_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    status: NDArray[np.int64]
    cause: tuple[str, ...]
    received_bytes: NDArray[np.int64]
    trace_ids: tuple[str, ...]
    started_unix_ns: int
    elapsed_s: float
    cpu_s: float
    stopped: bool


async def drive(
    base_url: str,
    schedule: Schedule,
    *,
    timeout_s: float = 30.0,
    connections: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
    stop: asyncio.Event | None = None,
) -> LoadResult:
    """Send every request of a schedule at its time and wait for the answers.

    Parameters
    ----------
    base_url
        Scheme, host, port and path prefix; the schedule's paths are appended.
    timeout_s
        From sending to the last body byte; later is a failure.
    connections
        Most connections at a time; 0 is no limit. With a limit, requests may queue in the
        driver, and that time counts as latency.
    on_progress
        Called about four times a second.
    stop
        Set it to end early: what is in flight is abandoned, what finished is returned.

    Notes
    -----
    Timers of ordinary event loops are up to 1 ms late. Run this in
    ``fastsim.load.precise_loop`` for a lag of about 0.1 ms; the lag is measured either way.
    """
    ids = trace_context_ids(schedule)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections, keepalive_timeout=_KEEP_ALIVE_S, ttl_dns_cache=None
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Cheaper, and bodies arrive as the service writes them without being asked for gzip.
        auto_decompress=False,
        skip_auto_headers=("Accept-Encoding",),
        headers={"User-Agent": "fastsim-load"},
        # By default aiohttp rounds limits above 5 s up to whole seconds.
        timeout=aiohttp.ClientTimeout(total=timeout_s, ceil_threshold=float("inf")),
    ) as session:
        run = _Run(session, base_url.rstrip("/"), schedule, ids)
        await run.send_all(on_progress, stop or asyncio.Event())
        return run.result()


def trace_context_ids(schedule: Schedule) -> list[tuple[str, str]]:
    """Return trace id and span id of each request, hexadecimal, drawn from the seed.

    Rate and length take part, so that two runs of one seed recorded into one place do not
    share ids; a replay of the same schedule has the same ids.
    """
    run = np.array(
        [schedule.rate_per_s, schedule.warmup_s, schedule.duration_s], dtype=np.float64
    ).view(np.uint32)
    rng = np.random.default_rng(np.random.SeedSequence([schedule.seed, *run.tolist()]))
    text = rng.bytes(24 * len(schedule)).hex()
    return [(text[i : i + 32], text[i + 32 : i + 48]) for i in range(0, len(text), 48)]


class _Run:
    """The life of one run: the timer that sends, the requests in flight, the notes."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        schedule: Schedule,
        ids: list[tuple[str, str]],
    ) -> None:
        n = len(schedule)
        self._session = session
        self._base_url = base_url
        self._schedule = schedule
        self._ids = ids
        self._due_s: list[float] = schedule.at_s.tolist()
        self._target: list[int] = schedule.target.tolist()
        self._headers = [dict(target.headers) for target in schedule.targets]
        self._methods = [target.method for target in schedule.targets]
        unique = set(schedule.path)
        self._urls = (
            {path: self._url(path) for path in unique} if len(unique) <= _MOST_CACHED_URLS else {}
        )
        self._sent_s = np.full(n, np.nan)
        self._done_s = np.full(n, np.nan)
        self._status = np.zeros(n, dtype=np.int64)
        self._bytes = np.zeros(n, dtype=np.int64)
        self._cause = [""] * n
        self._next = 0
        self._failed = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._finished = asyncio.Event()
        self._bug: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._elapsed_s = self._cpu_s = 0.0
        self._started_unix_ns = 0
        self._origin_s = self._loop_origin_s = 0.0

    def result(self) -> LoadResult:
        return LoadResult(
            base_url=self._base_url,
            schedule=self._schedule,
            sent_s=self._sent_s,
            done_s=self._done_s,
            status=self._status,
            cause=tuple(self._cause),
            received_bytes=self._bytes,
            trace_ids=tuple(trace_id for trace_id, _ in self._ids),
            started_unix_ns=self._started_unix_ns,
            elapsed_s=self._elapsed_s,
            cpu_s=self._cpu_s,
            stopped=self._stopped,
        )

    async def send_all(
        self, on_progress: Callable[[Progress], None] | None, stop: asyncio.Event
    ) -> None:
        cpu_before_s = time.thread_time()
        self._origin_s = time.perf_counter() + _START_DELAY_S
        self._loop_origin_s = self._loop.time() + _START_DELAY_S
        self._started_unix_ns = time.time_ns() + round(_START_DELAY_S * 1e9)
        helpers: list[asyncio.Future[object]] = [
            asyncio.ensure_future(self._finished.wait()),
            asyncio.ensure_future(stop.wait()),
        ]
        if on_progress is not None:
            helpers.append(asyncio.ensure_future(self._report(on_progress)))
        try:
            self._send_due()
            ended, _ = await asyncio.wait(helpers, return_when=asyncio.FIRST_COMPLETED)
            for helper in ended:
                helper.result()
            self._stopped = not self._finished.is_set()
            self._elapsed_s = max(0.0, self._now_s())
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await _abandon([*helpers, *self._tasks])
            self._cpu_s = time.thread_time() - cpu_before_s
        if self._bug is not None:
            raise self._bug
        if on_progress is not None:
            on_progress(self._progress())

    def _send_due(self) -> None:
        now_s = self._now_s()
        first = self._next
        last = first
        while last < len(self._due_s) and self._due_s[last] <= now_s:
            last += 1
        self._next = last
        if last < len(self._due_s):
            self._timer = self._loop.call_at(
                self._loop_origin_s + self._due_s[last], self._send_due
            )
        for index in range(first, last):
            task = self._loop.create_task(self._send(index))
            self._tasks.add(task)
            task.add_done_callback(self._note_end)
        if not self._due_s:
            self._finished.set()

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._bug = error
            self._finished.set()
        elif not self._tasks and self._next == len(self._due_s):
            self._finished.set()

    async def _send(self, index: int) -> None:
        target = self._target[index]
        path = self._schedule.path[index]
        body = self._schedule.body[index]
        trace_id, span_id = self._ids[index]
        self._sent_s[index] = self._now_s()
        try:
            async with self._session.request(
                self._methods[target],
                self._urls.get(path) or self._url(path),
                data=None if body is None else body.encode(),
                headers={
                    **self._headers[target],
                    "traceparent": f"00-{trace_id}-{span_id}-01",
                },
                allow_redirects=False,
            ) as response:
                content = await response.read()
            self._done_s[index] = self._now_s()
            self._status[index] = response.status
            self._bytes[index] = len(content)
            if not 200 <= response.status < 400:
                self._note_failure(index, f"status {response.status}")
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            self._done_s[index] = self._now_s()
            self._note_failure(index, failure_cause(error))

    def _note_failure(self, index: int, cause: str) -> None:
        self._cause[index] = cause
        self._failed += 1

    def _url(self, path: str) -> yarl.URL:
        return yarl.URL(self._base_url + path, encoded=True)

    def _now_s(self) -> float:
        return time.perf_counter() - self._origin_s

    def _progress(self) -> Progress:
        return Progress(
            elapsed_s=max(0.0, self._now_s()),
            sent=self._next,
            finished=self._next - len(self._tasks),
            failed=self._failed,
        )

    async def _report(self, on_progress: Callable[[Progress], None]) -> None:
        while True:
            on_progress(self._progress())
            await asyncio.sleep(_PROGRESS_EVERY_S)


def failure_cause(error: aiohttp.ClientError | OSError) -> str:
    """Name why a request failed, in words that group well.

    >>> failure_cause(TimeoutError())
    'timeout'
    """
    if isinstance(error, TimeoutError):
        return "timeout"
    code = error.errno if isinstance(error, OSError) else None
    if code in {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL}:
        return OUT_OF_SOCKETS
    if isinstance(error, ConnectionRefusedError) or code == errno.ECONNREFUSED:
        return "refused"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection"
    if isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionError)):
        return "disconnected"
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError)):
        return "broken answer"
    return "other"


async def _abandon(tasks: Iterable[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
