"""What other load tools measured: told by content, read as requests or as a summary.

Requests (vegeta, k6, JMeter, hey, oha) are compared like those of ``fastsim load``. A summary
(Locust, k6, oha, vegeta, HdrHistogram, Prometheus) has percentiles alone; how far chance may move
those is told by the twin, which runs as long.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from fastsim.errors import FileFormatError
from fastsim.load.tools.found import ToolRequests, ToolSummary
from fastsim.load.tools.prometheus import read_prometheus
from fastsim.load.tools.prometheus_series import is_prometheus
from fastsim.load.tools.requests import read_hey, read_jmeter, read_k6_points, read_oha, read_vegeta
from fastsim.load.tools.summaries import (
    read_hdr,
    read_k6_summary,
    read_locust,
    read_oha_summary,
    read_vegeta_report,
)

__all__ = ["READERS", "ToolRequests", "ToolSummary", "head_of", "read_tool"]

_HEAD = 4096

READERS: Mapping[str, Callable[[str, str], ToolRequests | ToolSummary]] = {
    "Locust statistics": read_locust,
    "k6 points": read_k6_points,
    "k6 summary": read_k6_summary,
    "vegeta results": read_vegeta,
    "vegeta report": read_vegeta_report,
    "oha summary": read_oha_summary,
    "oha requests": read_oha,
    "hey requests": read_hey,
    "JMeter results": read_jmeter,
    "HdrHistogram": read_hdr,
}


def read_tool(path: Path, over_s: float | None = None) -> ToolRequests | ToolSummary | None:
    """Read what another tool measured; None when the file is of none that is known.

    Parameters
    ----------
    over_s
        Over how long metrics were counted, where they do not say.

    Raises
    ------
    FileFormatError
        When it is of one, and torn or empty.
    InputError
        When nothing says over how long metrics were counted.
    """
    if not path.is_file():
        return None
    head = head_of(path)
    metrics = is_prometheus(head)
    name = tool_of(head)
    if name is None and not metrics:
        return None
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror}", where=str(path)) from None
    if name is None:
        return read_prometheus(text, str(path), over_s)
    return READERS[name](text, str(path))


def head_of(path: Path) -> str:
    """Return the first characters of a file, by which it is told what wrote it."""
    with path.open("rb") as file:
        return file.read(_HEAD).decode("utf-8-sig", "replace")


def tool_of(head: str) -> str | None:
    """Tell by the first characters of a file what wrote it; None when nothing known did."""
    first = head.split("\n", 1)[0].strip()
    columns = {column.strip().strip('"') for column in first.split(",")}
    tables = (
        ("Locust statistics", {"Type", "Name", "Request Count", "Requests/s"}),
        ("Locust statistics", {"Timestamp", "User Count", "Type", "Name"}),
        ("JMeter results", {"timeStamp", "elapsed", "label", "success"}),
        ("hey requests", {"response-time", "status-code", "offset"}),
        ("oha requests", {"request-start", "request-duration", "status"}),
    )
    for name, wanted in tables:
        if wanted <= columns:
            return name
    if re.search(r"Value\s+Percentile\s+TotalCount", head):
        return "HdrHistogram"
    if not head.lstrip().startswith("{"):
        return None
    marks = (
        ("k6 points", ('"metric"', '"type"', '"data"')),
        ("k6 summary", ('"metrics"', '"http_req')),
        ("oha summary", ('"summary"', '"requestsPerSec"')),
        ("vegeta report", ('"latencies"', '"bytes_in"')),
        ("vegeta results", ('"attack"', '"latency"', '"timestamp"')),
    )
    return next((name for name, found in marks if all(mark in head for mark in found)), None)
