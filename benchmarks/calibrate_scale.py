"""How fast and in how much memory trace files are read.

Files of 10,000, 100,000 and 1,000,000 spans are generated into a temporary directory; each
is read in a process of its own, because peak memory is the process's. ``json.loads`` of
the same lines is measured beside it: the ratio does not depend on the machine. What fitting takes
after that is given in CPU, with the peak memory of both.

    .venv/bin/python benchmarks/calibrate_scale.py [--spans 10000 --spans 100000]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastsim import spans as names
from fastsim.step_columns import name_of, pack_rows

SIZES = (10_000, 100_000, 1_000_000)
START_NS = 1_700_000_000_000_000_000
BATCH = 100


def main() -> None:
    """Generate, measure in children, print one line per file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, action="append")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure)
        return
    print(
        f"{'file':30} {'spans/s':>10} {'collected/s':>12} {'MiB peak':>9} {'of json.loads':>14} "
        f"{'fit, CPU s':>11} {'MiB':>6}"
    )
    with tempfile.TemporaryDirectory() as directory:
        for size in options.spans or SIZES:
            for kind in ("plain", "recorded"):
                if kind == "recorded" and size > 500_000:
                    continue  # 2 GB
                path = Path(directory) / f"{kind}.jsonl"
                write(path, kind, size)
                found = {what: child(what, path) for what in ("loads", "read", "collect", "fit")}
                own = found["read"]["seconds"]
                print(
                    f"{size:>9,} {kind:20} {size / own:>10,.0f} "
                    f"{size / found['collect']['seconds']:>12,.0f} "
                    f"{found['read']['mib']:>9,.0f} {own / found['loads']['seconds']:>13.2f}× "
                    f"{found['fit']['seconds']:>11.1f} {found['fit']['mib']:>6,.0f}",
                    flush=True,
                )


def child(what: str, path: Path) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, str(path)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(answer.stdout)
    return result


def measure(what: str, path: str) -> None:
    """Read one file and print seconds and peak memory."""
    from fastsim.calibrate.build import build_model
    from fastsim.calibrate.readers import read_spans
    from fastsim.calibrate.requests import collect_requests

    begin = time.perf_counter()
    if what == "fit":
        requests = collect_requests(read_spans([path]))
        begin = time.process_time()
        build_model(requests)
        print(json.dumps({"seconds": time.process_time() - begin, "mib": peak_mib()}))
        return
    if what == "loads":
        with Path(path).open("rb") as file:
            for line in file:
                json.loads(line)
    elif what == "read":
        for _ in read_spans([path]):
            pass
    else:
        collect_requests(read_spans([path]))
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "mib": peak_mib()}))


def peak_mib() -> float:
    """Return the most memory that this process has used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(path: Path, kind: str, size: int) -> None:
    """Write a file of exports with ``BATCH`` spans each."""
    make = plain_span if kind == "plain" else recorded_span
    attributes = [pair("service.name", "shop"), pair("service.instance.id", "one")]
    with path.open("w") as file:
        for begin in range(0, size, BATCH):
            batch = [make(number) for number in range(begin, min(begin + BATCH, size))]
            scope = {"scope": {"name": "fastapi"}, "spans": batch}
            document = {"resource": {"attributes": attributes}, "scopeSpans": [scope]}
            file.write(json.dumps({"resourceSpans": [document]}, separators=(",", ":")) + "\n")


def plain_span(number: int) -> dict[str, Any]:
    """One request of a server span and four client spans, as instrumentations write them."""
    place = number % 5
    request = number - place
    start = START_NS + request * 1_000_000 + place * 100_000
    if place == 0:
        attributes = [
            pair("http.request.method", "GET"),
            pair("http.route", "/items/{item_id}"),
            pair("http.response.status_code", 200),
            pair("url.path", f"/items/{number}"),
            pair("server.address", "127.0.0.1:8000"),
            pair("user_agent.original", "python-httpx/0.28.1"),
        ]
    else:
        attributes = [
            pair("db.system.name", "postgresql"),
            pair("db.namespace", "shop"),
            pair("db.query.text", "SELECT id, name, price FROM items WHERE id = $1"),
            pair("server.address", "127.0.0.1"),
            pair("server.port", 5432),
        ]
    span: dict[str, Any] = {
        "traceId": f"{request + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "name": "GET /items/{item_id}" if place == 0 else "SELECT",
        "kind": 2 if place == 0 else 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + (900_000 if place == 0 else 50_000)),
        "attributes": attributes,
        "status": {},
    }
    return span | ({"parentSpanId": f"{request + 1:016x}"} if place else {})


def recorded_span(number: int) -> dict[str, Any]:
    """A request as FastSim records it: ten steps."""
    start = number * 1_000_000
    rows: list[int] = []
    for step in range(0, 10, 2):
        begin = start + 90_000 * step
        rows += (1 if step else 0, 0, begin - 90_000, begin, 90_000, 80_000)
        rows += (begin - 900, begin - 90, -1, 0, 500, begin)
    rows += (1, 0, begin + 90_000, begin + 180_000, -1, 0, begin + 179_000, -1, -1, 0, 0, 0)
    columns: dict[str, Any] = {
        names.FORMAT: names.FORMAT_VERSION,
        names.START_UNIX_NS: START_NS + number * 1_000_000,
        names.START_CLOCK_NS: start,
        names.RESPONSE_NS: 900_000,
        names.END_NS: 900_000,
        names.STEPS: pack_rows(rows),
        names.STEP_NAMES: [name_of(1, "db", "socket", "asyncpg", "app.py:3 read")],
    }
    span = plain_span(number * 5)
    span["attributes"] += [pair(key, value) for key, value in columns.items()]
    return span


def pair(key: str, value: object) -> dict[str, Any]:
    """Return an attribute as OTLP/JSON writes it."""
    return {"key": key, "value": union(value)}


def union(value: object) -> dict[str, Any]:
    """Return a value as OTLP/JSON writes it."""
    if isinstance(value, list):
        return {"arrayValue": {"values": [union(item) for item in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


if __name__ == "__main__":
    main()
