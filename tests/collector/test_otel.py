"""The service's own OpenTelemetry is ridden on, whenever it appears, and never disturbed.

Each case is a process of its own, since a global provider can be set only once.
"""

import json
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

import pytest

from tests.collector.test_traps import server_spans

PROGRAM = """
import contextlib, json, sys
from fastapi import FastAPI
from fastapi.testclient import TestClient
from fastsim.collector import instrument

output, mode, requests = sys.argv[1], sys.argv[2], int(sys.argv[3])
exported = []

def make_provider(sampler=None):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    class Exporter(InMemorySpanExporter):
        def export(self, spans):
            exported.extend(spans)
            return super().export(spans)

    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(Exporter()))
    return provider

def set_provider(sampler=None):
    from opentelemetry import trace
    trace.set_tracer_provider(make_provider(sampler))

def contrib(app, **options):
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    FastAPIInstrumentor.instrument_app(app, exclude_spans=["send", "receive"], **options)

def at_start(app): ...
def later(app): ...

{setup}

@contextlib.asynccontextmanager
async def lifespan(app):
    in_lifespan(app) if "in_lifespan" in globals() else None
    yield

app = FastAPI(lifespan=lifespan)
at_start(app)

@app.get("/users/{name}")
async def user(name: str):
    return name

loaded = "opentelemetry" in sys.modules
with TestClient(instrument(app, output=output, mode=mode)) as client:
    client.get("/users/first")
    later(app)
    for number in range(requests - 1):
        assert client.get(f"/users/{number}").json() == str(number)
print(json.dumps({
    "servers": [f"{span.context.span_id:016x}" for span in exported if span.kind.name == "SERVER"],
    "loaded": "opentelemetry" in sys.modules and not loaded,
}))
"""

SETUPS = {
    "none": "",
    "contrib at import": "def at_start(app): set_provider(); contrib(app)",
    "contrib in lifespan": "def in_lifespan(app): set_provider(); contrib(app)",
    "provider in lifespan, instrumented at import": (
        "def at_start(app): contrib(app)\ndef in_lifespan(app): set_provider()"
    ),
    "private provider": "def at_start(app): contrib(app, tracer_provider=make_provider())",
    "FastAPI's own": "def at_start(app): set_provider()",
    "FastAPI's own, in lifespan": "def in_lifespan(app): set_provider()",
    "FastAPI's own, later": "def later(app): set_provider()",
    "sampled": (
        "def at_start(app):\n"
        "    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased\n"
        "    set_provider(ParentBased(TraceIdRatioBased(0.3))); contrib(app)"
    ),
}


class Told(NamedTuple):
    ours: list[dict[str, Any]]
    """Server spans that were recorded."""
    users: list[str]
    """Ids of the server spans that the service's own exporter got."""
    loaded: bool
    """Whether OpenTelemetry came into a process that did not ask for it."""


def run(setup: str, output: Path, *, mode: str = "auto", requests: int = 12) -> Told:
    program = PROGRAM.replace("{setup}", SETUPS[setup])
    command = [sys.executable, "-c", program, str(output), mode, str(requests)]
    where = Path(__file__).parents[2]
    done = subprocess.run(
        command, check=True, timeout=60, cwd=where, capture_output=True, text=True
    )
    told = json.loads(done.stdout)
    return Told(server_spans(output), told["servers"], told["loaded"])


def without_us(setup: str) -> int:
    """Return how many server spans the service's exporter gets where nothing is recorded."""
    program = PROGRAM.replace("{setup}", SETUPS[setup]).replace(
        "instrument(app, output=output, mode=mode)", "app"
    )
    command = [sys.executable, "-c", program, "", "", "12"]
    where = Path(__file__).parents[2]
    done = subprocess.run(command, check=True, timeout=60, cwd=where, stdout=PIPE, text=True)
    return len(json.loads(done.stdout)["servers"])


@pytest.mark.parametrize("setup", [setup for setup in SETUPS if setup != "sampled"])
def test_every_request_has_its_route_and_the_service_all_of_its_spans(
    setup: str, tmp_path: Path
) -> None:
    told = run(setup, tmp_path)
    assert [span["name"] for span in told.ours] == ["GET /users/{name}"] * 12
    assert len(told.users) == without_us(setup)
    if setup != "private provider":  # made before anybody watched, and known to nobody else
        # Ours are the service's own wherever it made one.
        assert set(told.users) <= {span["spanId"] for span in told.ours}
    assert not told.loaded


def test_what_the_services_sampler_leaves_out_is_recorded_all_the_same(tmp_path: Path) -> None:
    told = run("sampled", tmp_path, requests=60)
    assert [span["name"] for span in told.ours] == ["GET /users/{name}"] * 60
    # A coin of 0.3 thrown 60 times shows none, or always the same, once in 10**9.
    assert 0 < len(told.users) < 60
    assert set(told.users) < {span["spanId"] for span in told.ours}


def test_the_services_spans_can_be_left_alone(tmp_path: Path) -> None:
    told = run("contrib at import", tmp_path, mode="light")
    assert [span["name"] for span in told.ours] == ["GET /users/{name}"] * 12
    assert len(told.users) == 12
    assert not set(told.users) & {span["spanId"] for span in told.ours}
