"""What a file of another load tool holds."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ToolRequests:
    """Requests in order of arrival."""

    tool: str
    endpoints: tuple[str, ...]
    """As the tool names them: ``GET /items/7``."""
    endpoint: NDArray[np.int64]
    at_s: Floats
    """When they were sent, seconds from the first."""
    latency_s: Floats
    ok: NDArray[np.bool_]
    closed: bool | None
    """Whether who sent them waited for answers before the next; None where it cannot be told."""
    skipped: int = 0
    """Lines that hold no request."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Percentiles of one endpoint, or of all."""

    requests: int
    failed: int
    latency_s: Mapping[str, float]
    """By metric: ``mean``, ``p50``, ``p95`` and so on."""
    within: Mapping[str, float] = field(default_factory=dict)
    """How far the logarithm of a metric may be off, where no more than a bucket is known."""


@dataclass(frozen=True, slots=True)
class ToolSummary:
    """What a tool says of a whole run."""

    tool: str
    total: Measured
    rate_per_s: float
    duration_s: float
    closed: bool | None
    endpoints: Mapping[str, Measured] = field(default_factory=dict)
    rounded: bool = False
    """Whether latencies are rounded as Locust does: to 10 ms from 100 ms on, 100 ms from 1 s on."""
    view: Literal["client", "server"] = "client"
    """Who measured: who sent the requests, or the service."""
    remarks: tuple[str, ...] = ()


def matched(name: str, templates: Iterable[str]) -> str | None:
    """Return the endpoint of a model that a tool's name of a request means; None when none does.

    Paths are compared part by part; what stands in braces in the template is any part. Where
    several fit, the one with most parts in words is meant.

    >>> matched("GET /items/7?x=1", ["GET /items/{id}", "POST /items"])
    'GET /items/{id}'
    """
    method, _, rest = name.strip().partition(" ")
    if not rest:
        method, rest = "", name.strip()
    path = re.sub(r"^\w+://[^/]*", "", rest).split("?", 1)[0].split("#", 1)[0]
    parts = path.strip("/").split("/")
    fitting = [
        template
        for template in templates
        if (not method or template.startswith(f"{method} "))
        and _fits(parts, template.partition(" ")[2].strip("/").split("/"))
    ]
    best = sorted(fitting, key=lambda template: template.count("{"))
    alone = len(best) == 1 or (len(best) > 1 and best[0].count("{") < best[1].count("{"))
    return best[0] if alone else None


def _fits(parts: Sequence[str], template: Sequence[str]) -> bool:
    return len(parts) == len(template) and all(
        given == wanted or (wanted.startswith("{") and bool(given))
        for given, wanted in zip(parts, template, strict=True)
    )
