"""Record real uvicorn services: what is recorded is what was done."""

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fastsim.calibrate.observed import ObservedStep, walk
from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.timeline import Timeline, normalise
from fastsim.spans import LOOP_SPAN_NAME, StepKind
from tests.live.attempts import Attempts, holds_on_a_recording
from tests.live.service import recorded_service

pytestmark = [pytest.mark.live, pytest.mark.timed]


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Attempts[RequestSet]:
    return Attempts(lambda: record(tmp_path_factory.mktemp("traces")))


def record(output: Path) -> RequestSet:
    with recorded_service("work_app:app", output) as url:
        for _ in range(5):
            for path in ("spin", "sleep", "blocking", "gather", "thread", "stream", "items/7"):
                assert get(f"{url}/{path}")[0] == 200
            assert get(f"{url}/refuse") == (503, '{"detail":"refused"}')
            assert get(f"{url}/crash")[0] == 500
        with ThreadPoolExecutor(3) as clients:
            list(clients.map(get, [f"{url}/held"] * 3))
    # Ended by SIGTERM right after the last request: nothing may be lost.
    return collect_requests(open_traces([output]), skip_first_s=0.0)


def timelines(recorded: RequestSet, endpoint: str) -> list[Timeline]:
    code = recorded.endpoints.index(endpoint)
    return [line for row, line in recorded.timelines() if recorded.endpoint[row] == code]


def programs(recorded: RequestSet, endpoint: str) -> list[Sequence[ObservedStep]]:
    return [normalise(line, fold=False) for line in timelines(recorded, endpoint)]


def typical(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def on_loop(program: Sequence[ObservedStep]) -> tuple[float, float]:
    code = [step for step in walk(program) if step.do == "cpu"]
    return sum(step.cpu_s for step in code), sum(step.wall_s for step in code)


@holds_on_a_recording
def test_every_request_is_recorded_under_its_route(recorded: RequestSet) -> None:
    assert len(recorded) == 5 * 9 + 3
    assert "GET /items/{item}" in recorded.endpoints
    assert recorded.service == "Known work"
    assert int(recorded.failed.sum()) == 10


@holds_on_a_recording
def test_code_and_waits_are_told_apart(recorded: RequestSet) -> None:
    own = typical([on_loop(program)[0] for program in programs(recorded, "GET /items/{item}")])
    spin = typical([on_loop(program)[0] for program in programs(recorded, "GET /spin")])
    assert 0.0049 <= spin <= 0.005 + 2.0 * own
    slept = programs(recorded, "GET /sleep")
    for program in slept:
        sleeps = [step for step in program if step.kind is StepKind.SLEEP and step.do == "wait"]
        # The recorder reads the length of a sleep off its coroutine: exact, late wake-up or not.
        assert [step.wall_s - step.late_s for step in sleeps] == pytest.approx([0.010, 0.010])
    assert typical([on_loop(program)[0] for program in slept]) <= 3.0 * own


@holds_on_a_recording
def test_a_blocking_call_shows_as_time_on_the_loop_without_cpu(recorded: RequestSet) -> None:
    seen = [on_loop(program) for program in programs(recorded, "GET /blocking")]
    # At least: the machine only ever adds to it.
    assert min(wall - cpu for cpu, wall in seen) >= 0.0049


@holds_on_a_recording
def test_work_in_child_tasks_is_seen(recorded: RequestSet) -> None:
    # FastAPI's own work is in every figure and grows with the noise of the machine: it is
    # measured on an endpoint that does nothing else. Streams and tasks cost a few times that.
    own = typical([on_loop(program)[0] for program in programs(recorded, "GET /items/{item}")])
    gathered = typical([on_loop(program)[0] for program in programs(recorded, "GET /gather")])
    assert 0.0029 <= gathered <= 0.003 + 3.0 * own
    assert {task for line in timelines(recorded, "GET /gather") for task in line.task} >= {0, 1, 3}
    streamed = typical([on_loop(program)[0] for program in programs(recorded, "GET /stream")])
    assert 0.0049 <= streamed <= 0.005 + 4.0 * own


@holds_on_a_recording
def test_threads_report_their_own_cpu_and_time_off_it(recorded: RequestSet) -> None:
    calls = [
        step
        for program in programs(recorded, "GET /thread")
        for step in program
        if step.do == "thread" and step.wall_s > 0.005  # FastAPI makes short calls of its own
    ]
    assert len(calls) == 5
    assert 0.0019 <= typical([step.cpu_s for step in calls]) <= 0.003
    assert min(step.off_gil_s for step in calls) >= 0.0049


@holds_on_a_recording
def test_slots_are_acquired_released_and_waited_for(recorded: RequestSet) -> None:
    lines = timelines(recorded, "GET /held")
    assert [(event.name, event.event) for event in lines[0].events] == [
        ("slots", "acquire"),
        ("slots", "release"),
    ]
    waited = [
        sum(wall for wall, kind in zip(line.wall_s, line.kind, strict=True) if kind == "pool")
        for line in lines
    ]
    assert min(waited) < 0.1
    assert max(waited) > 0.2  # the third waited for two others


@holds_on_a_recording
def test_waits_name_the_services_own_code(recorded: RequestSet) -> None:
    where = {place for line in timelines(recorded, "GET /sleep") for place in line.where}
    assert {"work_app.py:30 sleep", "work_app.py:31 sleep"} <= where


@holds_on_a_recording
def test_process_facts_are_recorded(recorded: RequestSet) -> None:
    facts = recorded.instances[0].facts
    assert facts["fastsim.process.workers"] == 1
    assert facts["fastsim.process.loop"] == "asyncio"
    assert facts["fastsim.process.thread_tokens"] == 40


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_two_workers_write_a_file_each_and_lose_nothing(
    tmp_path: Path, how: signal.Signals
) -> None:
    with (
        recorded_service("work_app:app", tmp_path, arguments=["--workers", "2"], how=how) as url,
        ThreadPoolExecutor(8) as clients,
    ):
        # Blocking answers keep a worker busy, so that new connections go to the other one.
        statuses = list(clients.map(get, [f"{url}/blocking"] * 60))
    assert {status for status, _ in statuses} == {200}
    recorded = collect_requests(open_traces([tmp_path]), skip_first_s=0.0)
    assert len(recorded) == 60
    assert len(recorded.instances) == len(list(tmp_path.glob("traces-*.jsonl"))) == 2
    assert {instance.facts["fastsim.process.workers"] for instance in recorded.instances} == {2}


def test_the_files_are_otlp_json_lines(tmp_path: Path) -> None:
    with recorded_service("work_app:app", tmp_path) as url:
        get(f"{url}/items/7")
    [path] = tmp_path.glob("traces-*.jsonl")
    [line] = path.read_text(encoding="utf-8").splitlines()
    [group] = json.loads(line)["resourceSpans"]
    found = group["scopeSpans"][0]["spans"]
    assert {span["name"] for span in found} == {"GET /items/{item}", LOOP_SPAN_NAME}
    [span] = [span for span in found if span["name"] != LOOP_SPAN_NAME]
    assert (span["name"], span["kind"]) == ("GET /items/{item}", 2)
    assert len(bytes.fromhex(span["traceId"])) == 16
    assert int(span["endTimeUnixNano"]) > int(span["startTimeUnixNano"])
