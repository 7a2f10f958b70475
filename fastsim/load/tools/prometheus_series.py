"""Series of Prometheus, from the text of a scrape or the answer of a query, and how they grew."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastsim.errors import FileFormatError, InputError
from fastsim.units import DIGITS

_TEXT = r'"(?:[^"\\]|\\.)*"'
_LINE = re.compile(
    r"^([a-zA-Z_:][\w:]*)(?:\{((?:[^" + '"' + r"}]|" + _TEXT + r")*)\})?"
    rf"\s+([-+]?(?:{DIGITS}(?:[eE][-+]?\d+)?|Inf|NaN))(?:\s+(-?{DIGITS}))?\s*(?:#.*)?$"
)
_LABEL = re.compile(r"([a-zA-Z_]\w*)\s*=\s*(" + _TEXT + ")")
_MANY = 1e12
"""Times in scrapes are milliseconds, in queries and start times seconds, since 1970."""

Labels = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """One value of one series."""

    name: str
    labels: Labels
    value: float
    at_s: float | None


def is_prometheus(head: str) -> bool:
    """Tell whether a file that begins like this holds metrics."""
    if head.lstrip().startswith("{"):
        return '"resultType"' in head and '"le"' in head
    return re.search(r"^# (?:HELP|TYPE) \w+|^\w+\{[^\n]*\ble=\"", head, re.MULTILINE) is not None


def read_series(text: str, name: str) -> list[Sample]:
    """Read the values of all series, those of one in the order in which they were taken.

    Raises
    ------
    FileFormatError
        When it is no answer of a query, and looks like one.
    """
    return list(_query(text, name) if text.lstrip().startswith("{") else _scrapes(text))


def _scrapes(text: str) -> Iterator[Sample]:
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        labels = tuple(
            (key, re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value[1:-1]))
            for key, value in _LABEL.findall(found[2] or "")
        )
        at = None if found[4] is None else float(found[4])
        if at is not None and at >= _MANY:
            at /= 1e3
        yield Sample(found[1], labels, float(found[3]), at)


def _query(text: str, name: str) -> Iterator[Sample]:
    try:
        for series in json.loads(text)["data"]["result"]:
            labels = dict(series["metric"])
            metric = str(labels.pop("__name__", "requests_bucket" if "le" in labels else ""))
            pairs = tuple((str(key), str(value)) for key, value in labels.items())
            points = series["values"] if "values" in series else [series["value"]]
            for at, value in points:
                yield Sample(metric, pairs, float(value), float(at))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FileFormatError(
            f"{name} is no answer of a Prometheus query", hint="save it whole", where=name
        ) from None


def differences(samples: Iterable[Sample], name: str) -> dict[tuple[str, Labels], float]:
    """Return by how much each series grew; all of it where it stands there once.

    Raises
    ------
    FileFormatError
        When a counter went back.
    """
    seen: defaultdict[tuple[str, Labels], list[float]] = defaultdict(list)
    for sample in samples:
        if not math.isnan(sample.value):
            seen[sample.name, sample.labels].append(sample.value)
    # A series that was not there at first began at 0.
    most = max((len(values) for values in seen.values()), default=0)
    grown = {}
    for key, values in seen.items():
        first = values[0] if most > 1 and len(values) == most else 0.0
        if most > 1 and values[-1] < first and key[0].endswith(("_bucket", "_count", "_total")):
            raise FileFormatError(
                f"{name}: {key[0]} went back from {first:g} to {values[-1]:g}",
                hint="the process began anew between the scrapes; take two of the same one",
                where=name,
            )
        grown[key] = values[-1] - first
    return grown


def length_s(samples: Iterable[Sample], over_s: float | None, name: str) -> tuple[float, list[str]]:
    """Return over how long they were counted, seconds, and what to say of it.

    Raises
    ------
    InputError
        When nothing says it.
    """
    times = [sample.at_s for sample in samples if sample.at_s is not None]
    if over_s is not None:
        return over_s, []
    if times and max(times) > min(times):
        return max(times) - min(times), []
    started = [s.value for s in samples if s.name == "process_start_time_seconds"]
    if times and started and max(times) > max(started):
        since = max(times) - max(started)
        return since, ["counted since the process began, its first requests included"]
    raise InputError(
        f"{name} does not say how long it counted",
        hint="say it: --over 10min",
        where="--over",
    )
