"""Tools that write percentiles of a whole run: Locust, k6, oha, vegeta, HdrHistogram."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fastsim.errors import FileFormatError
from fastsim.load.tools.found import Measured, ToolSummary
from fastsim.units import DIGITS

_PERCENTILES = {"50%": "p50", "90%": "p90", "95%": "p95", "99%": "p99", "99.9%": "p999"}
_Whole = tuple[Measured, float, float]
"""What was measured of all requests, how many came a second, and over how many seconds."""
_NUMBER = f"({DIGITS})"
_HDR = {0.5: "p50", 0.9: "p90", 0.95: "p95", 0.99: "p99", 0.999: "p999"}


def read_locust(text: str, name: str) -> ToolSummary:
    """Read Locust's ``_stats.csv``: milliseconds, a row for each name and one for all.

    Raises
    ------
    FileFormatError
        When a row is torn, or no request was counted.
    """
    total: Measured | None = None
    rate = 0.0
    endpoints: dict[str, Measured] = {}
    for row in csv.DictReader(io.StringIO(text)):
        if "Timestamp" in row:
            raise FileFormatError(
                f"{name} is Locust's history, which has sliding percentiles",
                hint="name the file that ends in _stats.csv",
                where=name,
            )
        try:
            measured = _locust_row(row)
            if row["Name"] == "Aggregated":
                total, rate = measured, float(row["Requests/s"])
            else:
                endpoints[f"{row['Type']} {row['Name']}".strip()] = measured
        except (KeyError, TypeError, ValueError) as error:
            raise _torn(name, "Locust", error) from None
    if total is None or not 0.0 < rate < math.inf:
        raise FileFormatError(f"{name} counts no request", where=name)
    found = _summary("Locust", total, rate, total.requests / rate, name, closed=True)
    return replace(found, endpoints=endpoints, rounded=True)


def _locust_row(row: Mapping[str, str]) -> Measured:
    latency = {
        metric: float(row[column]) / 1e3
        for column, metric in _PERCENTILES.items()
        if row.get(column) not in {None, "", "N/A"}
    }
    if row.get("Average Response Time"):
        latency["mean"] = float(row["Average Response Time"]) / 1e3
    return Measured(int(row["Request Count"]), int(row["Failure Count"]), latency)


def read_k6_summary(text: str, name: str) -> ToolSummary:
    """Read k6's summary: ``--summary-export``, or what ``handleSummary`` was given.

    Raises
    ------
    FileFormatError
        When it holds no HTTP requests.
    """
    return _read("k6", _k6, text, name, closed=None)


def _k6(document: dict[str, Any]) -> _Whole:
    metrics = document["metrics"]
    duration = _values(metrics["http_req_duration"])
    count = _values(metrics["http_reqs"])
    failed = _values(metrics.get("http_req_failed", {}))
    requests, rate = int(count["count"]), float(count["rate"])
    share = float(failed.get("rate", failed.get("value", 0.0)))
    words = {"avg": "mean", "med": "p50", "p(90)": "p90", "p(95)": "p95", "p(99)": "p99"}
    total = Measured(requests, round(share * requests), _latencies(duration, words, 1e3))
    return total, rate, requests / rate if rate > 0.0 else 0.0


def _values(metric: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = metric.get("values")
    return inner if isinstance(inner, dict) else metric


def read_oha_summary(text: str, name: str) -> ToolSummary:
    """Read oha's JSON; seconds.

    Raises
    ------
    FileFormatError
        When parts of it are missing.
    """
    return _read("oha", _oha, text, name, closed=None)


def _oha(document: dict[str, Any]) -> _Whole:
    summary, percentiles = document["summary"], document["latencyPercentiles"]
    found = {key: value for key, value in percentiles.items() if value is not None}
    codes = {int(code): int(n) for code, n in document["statusCodeDistribution"].items()}
    errors = sum(int(n) for n in document.get("errorDistribution", {}).values())
    failed = errors + sum(n for code, n in codes.items() if not 200 <= code < 400)
    words = {"p50": "p50", "p90": "p90", "p95": "p95", "p99": "p99", "p99.9": "p999"}
    latency = _latencies(found, words, 1.0) | {"mean": float(summary["average"])}
    total = Measured(sum(codes.values()) + errors, failed, latency)
    return total, float(summary["requestsPerSec"]), float(summary["total"])


def read_vegeta_report(text: str, name: str) -> ToolSummary:
    """Read ``vegeta report -type=json``; nanoseconds.

    Raises
    ------
    FileFormatError
        When parts of it are missing.
    """
    return _read("vegeta", _vegeta, text, name, closed=False)


def _vegeta(document: dict[str, Any]) -> _Whole:
    words = {"mean": "mean", "50th": "p50", "90th": "p90", "95th": "p95", "99th": "p99"}
    requests = int(document["requests"])
    failed = round(requests * (1.0 - float(document["success"])))
    total = Measured(requests, failed, _latencies(document["latencies"], words, 1e9))
    return total, float(document["rate"]), float(document["duration"]) / 1e9


def read_hdr(text: str, name: str) -> ToolSummary:
    """Read a percentile table of HdrHistogram, as wrk2 prints it; milliseconds.

    Raises
    ------
    FileFormatError
        When it has no percentiles, or does not say over what time it was measured.
    """
    rows: list[tuple[float, float, int]] = []
    for line in text.splitlines():
        match = re.fullmatch(rf"\s*{_NUMBER}\s+{_NUMBER}\s+(\d+)\s+(?:[\d.]+|inf)?\s*", line)
        if match is not None:
            rows.append((float(match[1]) / 1e3, float(match[2]), int(match[3])))
    rate = re.search(rf"Requests/sec:\s*{_NUMBER}", text)
    if not rows:
        raise FileFormatError(f"{name} has no percentiles", where=name)
    if rate is None or float(rate[1]) <= 0.0:
        raise FileFormatError(
            f"{name} does not say how many requests a second it is about",
            hint="keep the whole output of wrk2, with its line Requests/sec",
            where=name,
        )
    latency = {
        metric: next(value for value, share, _ in rows if share >= wanted - 1e-9)
        for wanted, metric in _HDR.items()
        if rows[-1][1] >= wanted
    }
    mean = re.search(rf"#\[Mean\s*=\s*{_NUMBER}", text)
    if mean is not None:
        latency["mean"] = float(mean[1]) / 1e3
    requests = max(count for _, _, count in rows)
    total = Measured(requests, 0, latency)
    per_s = float(rate[1])
    return _summary("HdrHistogram", total, per_s, requests / per_s, name, closed=False)


def _summary(
    tool: str, total: Measured, rate: float, duration: float, name: str, *, closed: bool | None
) -> ToolSummary:
    known = [value for value in total.latency_s.values() if 0.0 < value < math.inf]
    if not known or total.requests < 1 or not 0.0 < rate < math.inf or not duration > 0.0:
        raise FileFormatError(f"{name} counts no request", where=name)
    return ToolSummary(tool, total, rate, duration, closed)


def _read(
    tool: str,
    parse: Callable[[dict[str, Any]], _Whole],
    text: str,
    name: str,
    *,
    closed: bool | None,
) -> ToolSummary:
    """Read a JSON document that ``parse`` finds the whole run in."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FileFormatError(f"{name} is torn: {error}", where=name) from None
    if not isinstance(document, dict):
        raise FileFormatError(f"{name} is no JSON object", where=name)
    try:
        total, rate, duration = parse(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _torn(name, tool, error) from None
    return _summary(tool, total, rate, duration, name, closed=closed)


def _latencies(
    found: Mapping[str, Any], words: Mapping[str, str], per_s: float
) -> dict[str, float]:
    """Return the latencies that are known, seconds, by what they are called here."""
    return {metric: float(found[key]) / per_s for key, metric in words.items() if key in found}


def _torn(name: str, tool: str, error: Exception) -> FileFormatError:
    what = f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
    return FileFormatError(f"{name} is not what {tool} writes: {what}", where=name)
