"""Tools that write every request: vegeta, k6, JMeter, hey, oha."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from fastsim.errors import FileFormatError
from fastsim.load.tools.found import ToolRequests

_FEWEST = 2


class _Request(NamedTuple):
    name: str
    at_s: float
    latency_s: float
    ok: bool


def read_vegeta(text: str, name: str) -> ToolRequests:
    """Read results that ``vegeta encode`` wrote, one JSON a line.

    Raises
    ------
    FileFormatError
        When a line is no result, or there are none.
    """
    return _collected("vegeta", map(_vegeta, _lines(text, name)), name, closed=False)


def _vegeta(value: dict[str, Any]) -> _Request:
    at_s, latency = _moment(value["timestamp"]), float(value["latency"]) / 1e9
    what = f"{value.get('method') or 'GET'} {_path(str(value.get('url', '/')))}"
    return _Request(what, at_s, latency, _good(value["code"]) and not value.get("error"))


def read_k6_points(text: str, name: str) -> ToolRequests:
    """Read what k6 wrote with ``--out json=``: the points of ``http_req_duration``.

    Raises
    ------
    FileFormatError
        When a line is torn, or there is no request.
    """
    points = (value for value in _lines(text, name) if _is_k6_request(value))
    return _collected("k6", map(_k6, points), name, closed=None)


def _is_k6_request(value: dict[str, Any]) -> bool:
    return value.get("metric") == "http_req_duration" and value.get("type") == "Point"


def _k6(value: dict[str, Any]) -> _Request:
    data, tags = value["data"], value["data"].get("tags") or {}
    latency = float(data["value"]) / 1e3
    what = str(tags.get("name") or tags.get("url") or "/")
    if "://" in what or what.startswith("/"):
        what = f"{tags.get('method', 'GET')} {_path(what)}"
    status = str(tags.get("status", "200"))
    good = str(tags.get("expected_response", "true")) == "true" and status != "0"
    # A point is stamped when the answer was there.
    return _Request(what, _moment(data["time"]) - latency, latency, good)


def read_jmeter(text: str, name: str) -> ToolRequests:
    """Read a JMeter result file (JTL) in CSV.

    Raises
    ------
    FileFormatError
        When a row is torn, or there is none.
    """
    return _collected("JMeter", map(_jmeter, _rows(text)), name, closed=True)


def _jmeter(row: dict[str, str]) -> _Request:
    url = row.get("URL") or ""
    what = f"GET {_path(url)}" if url and not url.startswith("null") else row["label"]
    at_s, latency = float(row["timeStamp"]) / 1e3, float(row["elapsed"]) / 1e3
    return _Request(what, at_s, latency, row["success"].lower() == "true")


def read_hey(text: str, name: str) -> ToolRequests:
    """Read what ``hey -o csv`` wrote; it knows one request only, and does not name it.

    Raises
    ------
    FileFormatError
        When a row is torn, or there is none.
    """
    columns = ("offset", "response-time", "status-code")
    return _collected("hey", _unnamed(text, columns), name, closed=True)


def read_oha(text: str, name: str) -> ToolRequests:
    """Read what oha wrote as CSV; it knows one request only, and does not name it.

    Raises
    ------
    FileFormatError
        When a row is torn, or there is none.
    """
    columns = ("request-start", "request-duration", "status")
    return _collected("oha", _unnamed(text, columns), name, closed=None)


def _unnamed(text: str, columns: tuple[str, str, str]) -> Iterator[_Request]:
    """Read a table of when requests were sent, how long they took, and their status."""
    at, took, status = columns
    for row in _rows(text):
        yield _Request("", float(row[at]), float(row[took]), _good(row[status]))


def _good(status: object) -> bool:
    return 200 <= int(str(status)) < 400


def _lines(text: str, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise FileFormatError(
                f"{name} line {number} is torn: {line[:60]!r}", where=f"{name}:{number}"
            )
        yield value


def _rows(text: str) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    for row in reader:
        yield {str(key).strip(): value or "" for key, value in row.items()}


def _moment(text: object) -> float:
    """Read a time such as ``2026-11-27T13:00:00.123456789+02:00``, seconds since 1970."""
    # Python reads microseconds; the rest is added by hand.
    match = re.fullmatch(r"(.*?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?", str(text))
    if match is None:
        raise ValueError(f"{text!r} is no time")
    whole = datetime.fromisoformat(match[1] + (match[3] or "+00:00").replace("Z", "+00:00"))
    return whole.timestamp() + (float(f"0.{match[2]}") if match[2] else 0.0)


def _path(url: str) -> str:
    return re.sub(r"^\w+://[^/]*", "", url) or "/"


def _collected(
    tool: str, requests: Iterable[_Request], name: str, *, closed: bool | None
) -> ToolRequests:
    found: list[_Request] = []
    try:
        found += requests
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"{name} is not what {tool} writes, from its {len(found) + 1}th request on: {error}",
            where=name,
        ) from None
    whole = [r for r in found if math.isfinite(r.at_s) and 0.0 <= r.latency_s < math.inf]
    if len(whole) < _FEWEST:
        raise FileFormatError(f"{name} holds {len(whole)} requests", where=name)
    whole.sort(key=lambda request: request.at_s)
    names = list(dict.fromkeys(request.name for request in whole))
    place = {name: number for number, name in enumerate(names)}
    at_s = np.array([request.at_s for request in whole])
    return ToolRequests(
        tool=tool,
        endpoints=tuple(names),
        endpoint=np.array([place[request.name] for request in whole], np.int64),
        at_s=at_s - at_s[0],
        latency_s=np.array([request.latency_s for request in whole]),
        ok=np.array([request.ok for request in whole], np.bool_),
        closed=closed,
        skipped=len(found) - len(whole),
    )
