"""What recording adds to a request: bare and recorded in turns of a few milliseconds, one process.

Run: python benchmarks/recording_in_process.py [--rounds 400] [--loops asyncio,uvloop]
     ... --without naming    leaves a part of the recorder out, which tells what that part takes

The machine's speed wanders by half within seconds, so each round compares turns that follow each
other, and everything is a share of what a bare trivial request takes in the same round; medians
over the rounds. CPU of the event loop's thread: timing, encoding, what hooks at passes and tasks
take; the writer's thread is named apart. No HTTP: requests are tasks that call the application, as
a server's are. Bare requests run on a loop of their own, which nothing watches.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from fastsim.collector import (
    FastSimMiddleware,
    batch,
    middleware,
    register_library,
    resume,
    timeline,
)
from fastsim.collector.waits import make_wait

os.environ["OVERHEAD_VARIANT"] = "bare"
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.overhead_app import YIELDS, app, other

# Limits of a service whose trivial request takes 178 us: 40 us, and 6 us a resume.
MOST_OF_TRIVIAL = 40 / 178
MOST_OF_A_RESUME = 6 / 178
WARM_ROUNDS = 30
REQUESTS = {"trivial": 15, "yields": 4}
HEADERS = [
    (name, b"some value of usual length")
    for name in (b"host", b"user-agent", b"accept", b"accept-encoding", b"cookie", b"connection")
]

register_library("recording_in_process", "io")  # its tasks are a server's, not the service's own


async def serve(application: Any, path: str) -> None:
    """Serve one request, as a server's task does."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"q=abc",
        "root_path": "",
        "headers": HEADERS,
        "server": ("localhost", 80),
        "client": ("localhost", 1),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: Any) -> None:
        pass

    await application(scope, receive, send)


async def turn(application: Any, path: str, requests: int) -> float:
    """Return the CPU of one request in microseconds."""
    loop = asyncio.get_running_loop()
    begun = time.thread_time_ns()
    for _ in range(requests):
        await loop.create_task(serve(application, path))
    if isinstance(application, FastSimMiddleware) and application._batch is not None:
        application._batch.write()  # what is encoded later belongs to these
    return (time.thread_time_ns() - begun) / requests / 1e3


def measure(kind: str, rounds: int, output: Path) -> tuple[float, float, float, float]:
    """Return bare trivial us; what recording adds to it and to a resume, and its thread: shares."""
    recorder = FastSimMiddleware(app, output=output)
    bare_loop, loop = new_loop(kind), new_loop(kind)
    trivial, resume, bare = list[float](), list[float](), list[float]()
    served = 0
    thread_ns = 0
    for number in range(-WARM_ROUNDS, rounds):
        if number == 0:  # what the thread does once, when it starts, is over
            served, thread_ns = 0, recorder._writer.cpu_ns
        took: dict[tuple[str, bool], float] = {}
        turns = [(name, recorded) for name in REQUESTS for recorded in (False, True)]
        for name, recorded in turns if number % 2 else reversed(turns):
            running, application = (loop, recorder) if recorded else (bare_loop, app)
            requests = REQUESTS[name]
            took[name, recorded] = running.run_until_complete(
                turn(application, f"/{name}/7", requests)
            )
            served += requests * recorded
        if number >= 0:
            unit = took["trivial", False]
            bare.append(unit)
            trivial.append(took["trivial", True] / unit - 1.0)
            added = (took["yields", True] - took["yields", False]) / unit
            resume.append((added - trivial[-1]) / YIELDS)
    recorder.stop()
    thread = (recorder._writer.cpu_ns - thread_ns) / served / 1e3 / median(bare)
    loop.run_until_complete(asyncio.sleep(0))  # what was cancelled ends
    for each in (bare_loop, loop):
        each.close()
    return median(bare), median(trivial), median(resume), thread


async def await_it(inner: Any, *_: Any) -> Any:
    """Be what drives an application, without looking."""
    return await inner


UNNAMED = make_wait("io", "loop", "", "")
PARTS: dict[str, list[tuple[Any, str, Any]]] = {
    "naming": [(resume, "find_wait", lambda *_: (UNNAMED, -1, None, None))],
    "encoding": [(batch.Batch, "add", lambda *_: None)],
    "clocks": [(resume, "READ_EVERY_NS", 1 << 62), (resume, "SHORT_NS", 1 << 62)],  # of CPU
    "passes": [(timeline.LoopClock, "watch", lambda clock, _: setattr(clock, "sees_polls", True))],
    "timing": [(middleware, "TimedCoroutine", await_it)],
}


def leave_out(part: str) -> None:
    """Take a part out of the recorder; what is recorded then is of no use."""
    for owner, name, nothing in PARTS.get(part, []):
        setattr(owner, name, nothing)


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def say(what: str, share: float, most: float) -> None:
    met = "met" if share <= most else "NOT MET"
    print(f"  {what:18}{share:7.2%} of it, at most {most:.2%}: {met}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--loops", default="asyncio,uvloop")
    parser.add_argument("--routes", type=int, default=0, help="that many more, before the others")
    parser.add_argument("--without", choices=PARTS, default="")
    options = parser.parse_args()
    leave_out(options.without)
    for number in range(options.routes):
        app.add_api_route(f"/others/{number}/{{number}}", other)
        app.router.routes.insert(0, app.router.routes.pop())
    for kind in options.loops.split(","):
        with tempfile.TemporaryDirectory() as folder:
            bare, trivial, resume, thread = measure(kind, options.rounds, Path(folder))
        print(f"{kind}: a bare trivial request takes {bare:.0f} us; recording adds")
        say("trivial request", trivial, MOST_OF_TRIVIAL)
        say("resume", resume, MOST_OF_A_RESUME)
        print(f"  {'writing thread':18}{thread:7.2%} of it")


if __name__ == "__main__":
    main()
