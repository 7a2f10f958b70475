"""Latency histograms as Prometheus has them: a scrape of ``/metrics``, or the answer of a query.

Counters only grow, so what happened is the difference between two scrapes, one appended to the
other in one file; a single one counts from the start of the process. The answer of an instant query
such as ``increase(http_request_duration_seconds_bucket[10m])`` is a difference already. How long it
took is said by the times in the file, by the start of the process, or by who asks (``over_s``).

A percentile is known to lie in its bucket and no better.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fastsim.errors import FileFormatError
from fastsim.load.tools.found import Measured, ToolSummary
from fastsim.load.tools.prometheus_series import Labels, differences, length_s, read_series

NAME = "Prometheus"

_METHODS = ("method", "http_request_method", "http_method", "verb")
_ROUTES = ("handler", "path", "http_route", "route", "endpoint", "path_template", "uri", "url")
_STATUSES = ("status", "status_code", "code", "http_response_status_code", "http_status_code")
_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
_ALIKE = 0.02
"""Histograms whose counts differ by no more are of the same requests."""
_LOWEST = 10.0
"""A latency in the first bucket may be so many times shorter than its bound."""


@dataclass(slots=True)
class Histogram:
    """Requests by their latency."""

    upper_s: list[float]
    """Upper bounds of the buckets, seconds, in order; the last one is infinite."""
    counts: list[float]
    """Requests in each bucket."""
    sum_s: float = 0.0
    """Of all latencies."""
    failed: float = 0.0

    @property
    def requests(self) -> float:
        """How many were counted."""
        return sum(self.counts)

    @property
    def mean_s(self) -> float | None:
        """Mean latency, seconds; None where the sum was not counted."""
        summed = math.isfinite(self.sum_s) and self.sum_s > 0.0
        return self.sum_s / self.requests if summed else None

    def percentile(self, share: float) -> tuple[float, float] | None:
        """Return a quantile, seconds, and how far its logarithm may be off; None beyond the last.

        Latencies are taken to be spread evenly over their bucket, as ``histogram_quantile`` does.
        """
        wanted = share * self.requests
        below, lower = 0.0, 0.0
        for upper, count in zip(self.upper_s, self.counts, strict=True):
            if count > 0.0 and below + count >= wanted:
                if math.isinf(upper):
                    return None
                value = lower + (upper - lower) * (wanted - below) / count
                least = lower if lower > 0.0 else upper / _LOWEST
                value = max(value, least)
                return value, max(math.log(upper / value), math.log(value / least))
            below, lower = below + count, upper
        return None


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the metrics of a service say of a while."""

    endpoints: Mapping[str, Histogram]
    """By method and route."""
    total: Histogram
    """Of all, as finely as there is."""
    over_s: float
    cpu_s: float | None
    """CPU that the processes used; None where that was not kept."""
    remarks: list[str] = field(default_factory=list)

    @property
    def rate_per_s(self) -> float:
        """Requests per second."""
        return self.total.requests / self.over_s


def read_prometheus(text: str, name: str, over_s: float | None = None) -> ToolSummary:
    """Read percentiles of each endpoint, as a load tool's.

    Parameters
    ----------
    over_s
        How long it took to count these requests, seconds, where the file does not say.

    Raises
    ------
    FileFormatError
        When there is no histogram of requests in it, or none was counted.
    InputError
        When nothing says how long it took.
    """
    found = read_metrics(text, name, over_s)
    return ToolSummary(
        tool=NAME,
        total=_measured(found.total),
        rate_per_s=found.rate_per_s,
        duration_s=found.over_s,
        closed=False,
        endpoints={each: _measured(histogram) for each, histogram in found.endpoints.items()},
        view="server",
        remarks=tuple(found.remarks),
    )


def read_metrics(text: str, name: str, over_s: float | None = None) -> Metrics:
    """Read histograms of requests, and the CPU of the processes; as ``read_prometheus``."""
    samples = read_series(text, name)
    series = differences(samples, name)
    families = _histograms(series)
    if not families:
        raise FileFormatError(
            f"{name} holds no histogram of requests",
            hint="FastSim looks for ..._bucket series with a method and a route or handler, as "
            "prometheus-fastapi-instrumentator and OpenTelemetry write them",
            where=name,
        )
    endpoints = _by_endpoint(max(families.values(), key=_told))
    _count_failures(endpoints, series)
    total = _total(endpoints, families.values())
    if total.requests < 1.0:
        raise FileFormatError(f"{name} counts no request", where=name)
    lasted_s, said = length_s(samples, over_s, name)
    cpu = [value for (metric, _), value in series.items() if metric == "process_cpu_seconds_total"]
    return Metrics(endpoints, total, lasted_s, sum(cpu) if cpu else None, said)


_Family = dict[tuple[str, str, str], Histogram]
"""By method, route and status."""


def _histograms(series: Mapping[tuple[str, Labels], float]) -> dict[str, _Family]:
    cumulated: defaultdict[str, defaultdict[tuple[str, str, str], defaultdict[float, float]]]
    cumulated = defaultdict(lambda: defaultdict(lambda: defaultdict(float)))
    sums: defaultdict[tuple[str, tuple[str, str, str]], float] = defaultdict(float)
    for (metric, pairs), value in series.items():
        labels = dict(pairs)
        base, _, what = metric.rpartition("_")
        if what == "bucket" and "le" in labels:
            cumulated[base][_place(labels)][_bound_s(labels["le"], base)] += value
        elif what == "sum":
            sums[base, _place(labels)] += value * _unit_s(base)
    found: dict[str, _Family] = {}
    for base, places in cumulated.items():
        if not re.search(r"request|http|server", base):
            continue
        found[base] = {
            place: _histogram(bounds, sums.get((base, place), math.nan))
            for place, bounds in places.items()
        }
    return found


def _place(labels: Mapping[str, str]) -> tuple[str, str, str]:
    def first(names: Iterable[str]) -> str:
        return next((labels[name] for name in names if labels.get(name)), "")

    return first(_METHODS).upper(), first(_ROUTES), first(_STATUSES)


def _bound_s(text: str, base: str) -> float:
    try:
        return float(text.replace("+Inf", "inf")) * _unit_s(base)
    except ValueError:
        return math.inf


def _unit_s(base: str) -> float:
    return 1e-3 if re.search(r"milliseconds|_ms$|_millis$", base) else 1.0


def _histogram(cumulated: Mapping[float, float], sum_s: float) -> Histogram:
    upper = sorted(cumulated)
    counts, below = [], 0.0
    for bound in upper:
        counts.append(max(cumulated[bound] - below, 0.0))
        below = max(below, cumulated[bound])
    return Histogram(upper, counts, sum_s)


def _told(family: _Family) -> tuple[bool, float, int]:
    """Rank families: with routes, with many requests, with many buckets."""
    routed = [histogram for (_, route, _), histogram in family.items() if route]
    requests = sum(histogram.requests for histogram in routed or family.values())
    return bool(routed), requests, max(len(each.upper_s) for each in family.values())


def _by_endpoint(family: _Family) -> dict[str, Histogram]:
    found: dict[str, Histogram] = {}
    for (method, route, status), histogram in family.items():
        name = f"{method} {route}".strip()
        if histogram.requests <= 0.0:
            continue
        histogram.failed = histogram.requests if status.startswith("5") else 0.0
        found[name] = _joined(found[name], histogram) if name in found else histogram
    return found


def _joined(one: Histogram, other: Histogram) -> Histogram:
    """Add two histograms up; of the same bounds, as those of one family are."""
    counts: defaultdict[float, float] = defaultdict(float)
    for each in (one, other):
        for upper, count in zip(each.upper_s, each.counts, strict=True):
            counts[upper] += count
    bounds = sorted(counts)
    failed = one.failed + other.failed
    return Histogram(bounds, [counts[at] for at in bounds], one.sum_s + other.sum_s, failed)


def _count_failures(
    endpoints: Mapping[str, Histogram], series: Mapping[tuple[str, Labels], float]
) -> None:
    """Take failures from counters of requests by status, where histograms have no status."""
    if any(histogram.failed for histogram in endpoints.values()):
        return
    failed: defaultdict[str, float] = defaultdict(float)
    for (metric, pairs), value in series.items():
        method, route, status = _place(dict(pairs))
        if metric.endswith("requests_total") and status.startswith("5"):
            failed[f"{method} {route}".strip()] += value
    for name, histogram in endpoints.items():
        histogram.failed = min(failed.get(name, 0.0), histogram.requests)


def _total(endpoints: Mapping[str, Histogram], families: Iterable[_Family]) -> Histogram:
    """Return the histogram of all requests: the finest of those that count as many."""
    total: Histogram | None = None
    for histogram in endpoints.values():
        total = histogram if total is None else _joined(total, histogram)
    if total is None:
        return Histogram([math.inf], [0.0])
    finest = total
    for family in families:
        whole: Histogram | None = None
        for histogram in family.values():
            whole = histogram if whole is None else _joined(whole, histogram)
        if whole is None or abs(whole.requests - total.requests) > _ALIKE * total.requests:
            continue
        if len(whole.upper_s) > len(finest.upper_s):
            finest = Histogram(whole.upper_s, whole.counts, whole.sum_s, total.failed)
    return finest


def _measured(histogram: Histogram) -> Measured:
    latency: dict[str, float] = {}
    within: dict[str, float] = {}
    if histogram.mean_s is not None:
        latency["mean"] = histogram.mean_s
    for metric, share in _PERCENTILES.items():
        found = histogram.percentile(share)
        if found is not None:
            latency[metric], within[metric] = found
    return Measured(round(histogram.requests), round(histogram.failed), latency, within)
