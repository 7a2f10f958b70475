"""The recorder's own distribution: made of the same files, working with nothing else there."""

import subprocess
import sys
import zipfile
from pathlib import Path

from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import collect_requests

ROOT = Path(__file__).parents[1]

PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from fastsim.collector import instrument, resource

slots = resource("slots", capacity=2)

class App:
    async def __call__(self, scope, receive, send):
        async with slots:
            await asyncio.sleep(0.001)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"plain"})

async def main():
    app = instrument(App(), output=sys.argv[2], service_name="alone")
    async def ignore(message): ...
    for number in range(60):
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await app(scope, ignore, ignore)
    app._fastsim_recorder.flush()

asyncio.run(main())
"""


def test_the_recorder_alone_needs_nothing(tmp_path: Path) -> None:
    wheels, alone, traces = (tmp_path / name for name in ("wheels", "alone", "traces"))
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    where = ROOT / "packaging" / "collector"
    subprocess.run(build, check=True, cwd=where, capture_output=True, timeout=60)
    [wheel] = wheels.glob("fastsim_collector-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
        assert b"Requires-Dist" not in archive.read(metadata)
        archive.extractall(alone)
    # Nothing but the standard library: no site packages, no environment, no current directory.
    isolated = [sys.executable, "-I", "-S", "-c", PROGRAM, str(alone), str(traces)]
    subprocess.run(isolated, check=True, timeout=60)
    recorded = collect_requests(open_traces([traces]), skip_first_s=0.0)
    assert (recorded.service, len(recorded)) == ("alone", 60)
    assert recorded.recorded.all()
