"""The recorder runs beside any application: nothing of FastSim is installed where it runs.

The first tests make an environment that has what these tests have, FastSim excepted. ``make
beside`` makes others, with old and new FastAPI, pydantic 1 and 2 and every Python that is there,
and names them in FASTSIM_BESIDE.
"""

import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import RequestSet, collect_requests
from tests.live.starters import HERE, RecordedCommand

pytestmark = pytest.mark.live

ENVIRONMENTS = [
    Path(name) for name in os.environ.get("FASTSIM_BESIDE", "").split(os.pathsep) if name
]
ASKED = {"items/7": 20, "group": 5, "thread": 5, "v1/fast/x": 5, "loaded": 1}
ROUTES = {
    "GET /items/{number}": 20,
    "GET /group": 5,
    "GET /thread": 5,
    "GET /v1/fast/{name}": 5,
    "GET /loaded": 1,
}
WAYS = {
    "module": "{python} -m uvicorn --app-dir {here} beside_app:app --host 127.0.0.1 --port {port}",
    "factory": (
        "{python} -m uvicorn --app-dir {here} --factory beside_app:make_app"
        " --host 127.0.0.1 --port {port}"
    ),
    "workers": (
        "{python} -m uvicorn --app-dir {here} beside_app:app"
        " --host 127.0.0.1 --port {port} --workers 2"
    ),
    "script": "{python} {here}/beside_app.py {port}",
}


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the same libraries, and no FastSim."""
    where = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(where)], check=True)
    python = where / "bin" / "python"
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", purelib], check=True, capture_output=True, text=True)
    # Paths named in files there, as that of FastSim itself, are not followed from here.
    Path(site.stdout.strip(), "others.pth").write_text(sysconfig.get_path("purelib"))
    found = subprocess.run(
        [python, "-c", "import fastsim"], check=False, capture_output=True, cwd=where
    )
    assert b"No module named 'fastsim'" in found.stderr
    return python


def read(directory: Path) -> RequestSet:
    return collect_requests(open_traces([directory]), skip_first_s=0.0)


def record(python: Path, way: str, output: Path) -> tuple[RequestSet, list[str]]:
    """Ask for everything once; return what was recorded and what came into the process."""
    command = WAYS[way].format(python=python, here=HERE, port="{port}")
    # Not here: the directory that Python starts in is searched for modules, FastSim's too.
    with RecordedCommand(output / "traces", command, directory=output) as service:
        for path, count in ASKED.items():
            assert set(service.get_many(path, count)) == {200}, path
        loaded = json.loads(service.read("loaded"))
        answer = service.end()
    asked = sum(ASKED.values()) + 1
    assert (answer["requests"], answer["seen"]) == (asked, asked)
    assert (answer["dropped"], answer["recorder_faults"]) == (0, 0)
    return read(output / "traces"), loaded


def loaded_without_us(python: Path) -> list[str]:
    """Return what the service brings into its process by itself."""
    program = (
        "import asyncio, beside_app, json, uvicorn; print(json.dumps(beside_app.loaded_now()))"
    )
    found = subprocess.run([python, "-c", program], check=True, stdout=subprocess.PIPE, cwd=HERE)
    loaded: list[str] = json.loads(found.stdout)
    return loaded


def check(recorded: RequestSet) -> None:
    names = [recorded.endpoints[index] for index in recorded.endpoint]
    assert {name: names.count(name) for name in set(names)} == ROUTES | {"GET /loaded": 2}
    assert recorded.recorded.all()
    # Waits of the tasks that a request started are its own.
    for row, timeline in recorded.timelines():
        if names[row] == "GET /group":
            assert len(set(timeline.task)) >= 4


@pytest.mark.parametrize("way", WAYS)
def test_nothing_has_to_be_installed_beside_the_service(
    way: str, other_python: Path, tmp_path: Path
) -> None:
    recorded, loaded = record(other_python, way, tmp_path)
    check(recorded)
    assert loaded == loaded_without_us(other_python)


@pytest.mark.skipif(not ENVIRONMENTS, reason="make beside names the environments")
@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
@pytest.mark.parametrize("way", WAYS)
def test_other_versions(environment: Path, way: str, tmp_path: Path) -> None:
    python = environment / "bin" / "python"
    recorded, loaded = record(python, way, tmp_path)
    check(recorded)
    assert loaded == loaded_without_us(python)


def test_a_launcher_that_goes_first_is_followed(tmp_path: Path) -> None:
    """As ``opentelemetry-instrument`` does: its own sitecustomize first, then execute."""
    soon = {"OTEL_BSP_SCHEDULE_DELAY": "50", "PYTHONUNBUFFERED": "1"}
    with RecordedCommand(tmp_path, "opentelemetry-instrument", environment=soon) as service:
        assert set(service.get_many("items/7", 10)) == {200}
        time.sleep(0.5)  # a signal ends Uvicorn before its exporter wrote what it still had
        answer = service.end()
    assert answer["requests"] == 10
    recorded = read(tmp_path)
    assert {recorded.endpoints[index] for index in recorded.endpoint} == {"GET /items/{item}"}
    # Both were there: the launcher's provider, and our recording on its spans.
    [instance] = recorded.instances
    assert instance.facts["fastsim.process.opentelemetry"]
    assert service.said.count("SpanKind.SERVER") == 10


def test_plain_starlette(tmp_path: Path) -> None:
    with RecordedCommand(tmp_path, "starlette") as service:
        assert set(service.get_many("items/7", 10)) == {200}
        assert set(service.get_many("v1/fast/x", 10)) == {200}
        service.end()
    recorded = read(tmp_path)
    assert {recorded.endpoints[index] for index in recorded.endpoint} == {
        "GET /items/{number}",
        "GET /v1/fast/{name}",
    }
