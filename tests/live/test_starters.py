"""Every usual way to start a service is recorded, whole, however it ends."""

import contextlib
import http.client
import os
import signal
import time
from pathlib import Path

import pytest

from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import collect_requests
from tests.collector.otlp_receiver import receiver
from tests.live.starters import STARTERS, RecordedCommand

pytestmark = pytest.mark.live

REQUESTS = 60


def workers_of(command: str) -> int:
    return 2 if "2" in command or "gunicorn" in command else 1


@pytest.mark.parametrize("command", STARTERS)
def test_all_requests_are_recorded(command: str, tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, command) as service:
        assert set(service.get_many("blocking", REQUESTS)) == {200}
        answer = service.end()
    assert (answer["requests"], answer["recorded"], answer["seen"]) == (REQUESTS,) * 3
    assert (answer["dropped"], answer["lost"], answer["recorder_faults"]) == (0, 0, 0)
    assert f"recorded {REQUESTS} of {REQUESTS} requests" in service.said
    recorded = collect_requests(open_traces([tmp_path]), skip_first_s=0.0)
    assert len(recorded) == REQUESTS
    facts = [instance.facts for instance in recorded.instances]
    assert {fact["fastsim.process.workers"] for fact in facts} == {workers_of(command)}
    assert all(fact["fastsim.process.backlog"] == 2048 for fact in facts)


def test_ctrl_c_loses_nothing(tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, "python -m uvicorn --workers 2") as service:
        service.get_many("blocking", REQUESTS)
        assert service.end(signal.SIGINT)["requests"] == REQUESTS


def test_a_killed_worker_loses_what_it_recorded_last_and_no_more(tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, "python -m uvicorn --workers 2") as service:
        victim = service.workers(2)[0]
        service.get_many("blocking", REQUESTS)
        time.sleep(1.0)  # the promise is one second
        late = service.get_many("blocking", 10)
        os.kill(victim, signal.SIGKILL)
        service.workers(2)  # uvicorn starts another
        late += service.get_many("blocking", 10)
        answer = service.end()
    assert set(late) == {200}
    # Only the ten of the last moment before the kill may be missing.
    assert REQUESTS + 10 <= answer["requests"] <= REQUESTS + 20
    assert answer["requests"] <= answer["seen"]


def test_gunicorn_killing_itself_loses_only_the_last_moment(tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, "gunicorn --preload") as service:
        service.get_many("blocking", REQUESTS)
        time.sleep(1.0)
        for worker in service.workers(2):
            os.kill(worker, signal.SIGKILL)
        service.workers(2)
        answer = service.end()
    assert answer["requests"] == REQUESTS


def test_workers_that_are_replaced_after_some_requests_lose_none(tmp_path: Path) -> None:
    """A request may meet a worker that is about to end: that one never gets to the service."""
    with RecordedCommand(tmp_path, "gunicorn", extra=["--max-requests", "15"]) as service:
        answered, met = 0, set(service.workers(2))
        end = time.monotonic() + 30.0
        while len(met) < 4 and time.monotonic() < end:
            for _ in range(40):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    answered += service.get("items/7") == 200
            time.sleep(0.5)  # Uvicorn counts now and then
            met.update(service.workers(2))
        answer = service.end()
    assert len(met) > 2, "none was replaced"
    assert answered > 0
    assert (answer["lost"], answer["dropped"]) == (0, 0)
    assert answered <= answer["requests"] == answer["recorded"] == answer["seen"]


def test_a_sampled_recording_still_counts_every_request(tmp_path: Path) -> None:
    with RecordedCommand(
        tmp_path, "python -m uvicorn --workers 2", options=["--sample", "0.25"]
    ) as service:
        service.get_many("items/7", 200)
        answer = service.end()
    assert answer["seen"] == 200
    # A fair coin at 0.25 leaves these bounds once in ten thousand runs.
    assert 25 <= answer["requests"] == answer["recorded"] <= 80


def test_the_duration_ends_the_service(tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, options=["--duration", "3s"]) as service:
        service.get_many("items/7", 20)
        answer, said = service._process.communicate(timeout=20)
    assert service._process.returncode == 0
    assert '"requests": 20' in answer
    assert "of the event loop per request" in said


def test_an_endpoint_gets_everything_without_any_file(tmp_path: Path) -> None:
    with receiver() as there:
        command = RecordedCommand(
            Path("none"),
            "python -m uvicorn --workers 2",
            options=["--otlp", "--mode", "light"],
            environment={"OTEL_EXPORTER_OTLP_ENDPOINT": there.url},
        )
        with command as service:
            service.get_many("blocking", REQUESTS)
            answer = service.end()
    assert (answer["exported"], answer["recorded"], answer["requests"]) == (REQUESTS, REQUESTS, 0)
    assert there.span_names().count("GET /blocking") == REQUESTS
    assert f"sent {REQUESTS} requests to the endpoint" in service.said
    assert not Path("none").exists()
