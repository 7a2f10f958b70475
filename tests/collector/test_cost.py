"""What recording costs the event loop is measured in the process that records."""

import asyncio
import json
from pathlib import Path
from typing import Any

from fastsim.collector import FastSimMiddleware
from fastsim.collector.cost import measure_timer_cost
from fastsim.collector.faults import fault_count


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await asyncio.sleep(0.001)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def ignore(_message: Any = None) -> Any:
    return {}


def test_a_request_and_each_of_its_steps_cost_something() -> None:
    async def measure() -> Any:
        return measure_timer_cost(FastSimMiddleware.for_nobody)

    before = fault_count()
    cost = asyncio.run(measure())
    assert 0.0 < cost.per_step_s < cost.per_request_s
    # Two clocks and a few sums.
    assert 0.0 < cost.per_pass_s < cost.per_request_s
    assert fault_count() == before


def test_the_recording_says_so_and_the_account_knows_the_whole(tmp_path: Path) -> None:
    async def serve() -> None:
        recorder = FastSimMiddleware(app, output=tmp_path)
        for _ in range(10):
            scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
            await recorder(scope, ignore, ignore)
        recorder.flush()

    asyncio.run(serve())
    [file] = tmp_path.glob("*.jsonl")
    groups = [json.loads(line)["resourceSpans"][0] for line in file.read_text().splitlines()]
    facts = {item["key"]: item["value"] for item in groups[0]["resource"]["attributes"]}
    per_request, per_step, per_pass = (
        int(facts[f"fastsim.process.timer_{what}_ns"]["intValue"])
        for what in ("request", "step", "turn")
    )
    assert 0 < per_step < per_request
    assert 0 < per_pass < per_request
    [account] = [json.loads(path.read_text()) for path in tmp_path.glob("*.account")]
    assert account["recorded"] == 10
    # In place it is dearer than on code that does nothing, by how much depends on the machine.
    assert account["timer_ns"] > 0
    # What was measured first left nothing behind.
    assert sum(len(group["scopeSpans"][0]["spans"]) for group in groups) == 10
