"""Run: what a simulation or a live measurement found. SI units only.

The same shape holds twin and live results, so that ``compare`` and ``report``
treat them alike. Keys end in their unit.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Finding = Literal["agrees", "off", "cannot tell"]
"""What an equivalence test says; see ``fastsim.twin.equivalence``."""


Effect = Literal["meets the goal", "helps", "does not help", "still overloaded"]
"""What a change of the deployment does."""


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Estimate(_Block):
    """A value with its 95 % interval; the bounds are absent when they are not known."""

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = "s"
    doubt: float | None = Field(
        None,
        description="twin: half the width, as a logarithm, that the interval would have by doubt "
        "about the fitted model alone",
    )


class Latency(_Block):
    """Latency summary, seconds."""

    mean: Estimate
    p50: Estimate
    p90: Estimate
    p95: Estimate
    p99: Estimate
    p999: Estimate


class Summary(_Block):
    """One endpoint, or all of them together."""

    requests: int = Field(description="requests counted (arrived in the measured time)")
    completed: int
    failed: int = 0
    in_flight: int = Field(0, description="arrived but not finished when the run ended")
    errors: dict[str, int] = Field(default_factory=dict, description="failed requests by cause")
    throughput: Estimate
    latency: Latency | None = Field(None, description="client view; absent without completions")
    server_latency: Latency | None = Field(
        None, description="server-span view: from the first instruction of the application"
    )
    breakdown: dict[str, float] = Field(
        default_factory=dict,
        description="mean seconds per request by cause; adds up to the mean client latency",
    )


class ResourceUse(_Block):
    """Use of one resource, pooled over workers."""

    capacity: int | float
    rate_per_s: float | None = Field(None, description="of a limit; its use is relative to that")
    utilisation: Estimate
    mean_wait_s: float = 0.0
    max_queue: int = 0


class LoopUse(_Block):
    """The event loops, averaged over workers."""

    utilisation: Estimate
    lag_mean_s: float = Field(0.0, description="mean delay from ready to running")
    lag_p99_s: float = 0.0
    ready_queue_mean: float = 0.0
    ready_queue_max: int = 0


class Series(_Block):
    """Windows of equal length over the run; lists have one entry per window."""

    window_s: float
    start_s: list[float] = Field(default_factory=list)
    arrivals: list[int] = Field(default_factory=list)
    completions: list[int] = Field(default_factory=list)
    p50_s: list[float | None] = Field(default_factory=list)
    p95_s: list[float | None] = Field(default_factory=list)
    utilisation: list[float] = Field(default_factory=list)
    in_flight: list[float] = Field(default_factory=list)


class SloResult(_Block):
    """One goal and whether it was met."""

    text: str
    metric: str
    endpoint: str | None
    limit: float
    value: float
    low: float | None = None
    high: float | None = None
    met: bool


class RequestTable(_Block):
    """One row per request, as columns. ``endpoint[i]`` indexes ``endpoints``."""

    endpoints: list[str]
    endpoint: list[int]
    scheduled_s: list[float]
    lag_s: list[float] = Field(default_factory=list, description="live: sent minus scheduled")
    latency_s: list[float] = Field(description="from the scheduled time; failed ones included")
    ok: list[bool]
    trace_id: list[str] = Field(
        default_factory=list, description="live: as sent in traceparent, 32 hexadecimal digits"
    )


class DriverUse(_Block):
    """How well the load driver itself kept up; all counted requests."""

    lag_mean_s: float = Field(description="sent minus scheduled")
    lag_p99_s: float
    lag_max_s: float
    cpu_per_request_s: float
    cpu_share: float = Field(description="CPU of the sending thread over elapsed time, 0 to 1")


class CapacityFound(_Block):
    """From which load something is full."""

    per_s: float
    resource: str = Field(description="event loop, thread pool or the name of a resource")
    demand_s: float = Field(description="time a request keeps it, or one slot of it, busy")
    behind: list[str] = Field(
        default_factory=list, description="full as well, because their holders wait for it"
    )


class Advice(_Block):
    """What one change of the deployment would do at the same load."""

    change: str
    metric: str
    endpoint: str | None = None
    value: float | None = Field(description="seconds; absent under overload")
    before: float | None = Field(description="without the change")
    effect: Effect


class RunProvenance(_Block):
    """How to repeat the run."""

    command: str = ""
    fastsim_version: str = ""
    inputs: dict[str, str] = Field(default_factory=dict, description="file name to sha256")


class Run(_Block):
    """The result of ``run``, ``load`` or a recording."""

    schema_version: Literal[1] = 1
    kind: Literal["run"] = "run"
    source: Literal["twin", "live"]
    title: str = ""
    seed: int | None = None
    rate_per_s: float
    duration_s: float
    warmup_s: float | None = Field(
        None, description="load before the measured time, seconds; 0 if the service began idle"
    )
    replications: int = 1
    total: Summary
    endpoints: dict[str, Summary]
    loop: LoopUse | None = None
    resources: dict[str, ResourceUse] = Field(default_factory=dict)
    series: Series | None = None
    slo: list[SloResult] = Field(default_factory=list)
    verdict: Literal["yes", "no", "none"] = "none"
    capacity: CapacityFound | None = Field(None, description="twin: where the deployment is full")
    advice: list[Advice] = Field(
        default_factory=list, description="twin: obvious changes, most helpful first"
    )
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()
    driver: DriverUse | None = Field(None, description="live runs of fastsim load")
    table: RequestTable | None = None


class CompareRow(_Block):
    """One metric of one endpoint: live against twin."""

    endpoint: str
    metric: str
    unit: str = "s"
    requests: int = Field(description="live requests behind the value")
    live: float
    live_low: float | None = None
    live_high: float | None = None
    twin: float
    twin_low: float | None = None
    twin_high: float | None = None
    error: float = Field(description="twin over live, minus 1 (difference for ratios)")
    error_low: float | None = Field(
        None, description="the error could be, with 95 % for all rows together, from"
    )
    error_high: float | None = Field(None, description="to; absent when nothing is known")
    counts: bool = Field(description="the verdict needs this row to agree")
    verdict: Finding


class Comparison(_Block):
    """Twin against live."""

    schema_version: Literal[1] = 1
    kind: Literal["comparison"] = "comparison"
    mode: Literal["free", "arrival replay", "full replay"]
    title: str = ""
    rows: list[CompareRow]
    tolerance: dict[str, float] = Field(default_factory=dict)
    verdict: Finding = Field(
        description="off if a row that counts is off, agrees if all that count agree"
    )
    needed_s: float | None = Field(
        None, description="cannot tell: length of a live run at this load that would, seconds"
    )
    reasons: list[str] = Field(
        default_factory=list, description="off: steps of the live recording that differ for sure"
    )
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()


class LimitPoint(_Block):
    """One load that the search for a limit tried."""

    rate_per_s: float
    margin: float | None = Field(
        description="largest value over its goal's limit, mean of the replications; below 1 "
        "every goal is met; absent under overload"
    )
    met: bool
    utilisation: float = Field(description="of the busiest loop or resource, 0 to 1")


class Limit(_Block):
    """The highest load at which goals are met, and where the service saturates."""

    schema_version: Literal[1] = 1
    kind: Literal["limit"] = "limit"
    title: str = ""
    seed: int
    replications: int
    goals: list[str]
    rate: Estimate | None = Field(description="highest load that meets every goal; absent if none")
    decided_by: str = Field(description="the goal that is missed first; empty without goals")
    saturation: Estimate = Field(description="what the service gets done when it is overloaded")
    saturated: str = Field(description="what is full then")
    points: list[LimitPoint]
    verdict: Literal["yes", "no"]
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()


class Candidate(_Block):
    """One deployment that was considered."""

    settings: dict[str, float]
    cost: float
    margin: float | None = Field(None, description="as in LimitPoint; absent if not simulated")
    meets: float | None = Field(
        None, description="probability that it meets every goal, given the simulations"
    )
    verdict: Literal["meets", "misses", "open", "implied"] = Field(
        description="implied: not simulated, because a larger one misses"
    )
    utilisation: float | None = None


class Size(_Block):
    """The cheapest deployment that meets goals."""

    schema_version: Literal[1] = 1
    kind: Literal["size"] = "size"
    title: str = ""
    seed: int
    rate_per_s: float
    goals: list[str]
    prices: dict[str, float]
    best: Candidate | None
    confidence: float | None = Field(
        None, description="probability that the choice meets and nothing cheaper does"
    )
    considered: int
    simulated: int
    candidates: list[Candidate] = Field(description="simulated ones, cheapest first")
    pareto: list[Candidate] = Field(description="no other is both cheaper and further from a miss")
    verdict: Literal["yes", "no"]
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()


class OutlookHour(_Block):
    """One hour to come."""

    start: str = Field(description="UTC, ISO 8601")
    rate_per_s: float = Field(description="mean of the hour, in the median")
    low_per_s: float = Field(description="of a band of 90 %")
    high_per_s: float
    utilisation: float = Field(description="of the busiest loop or resource, 0 to 1")
    margin: float | None = Field(
        description="largest value over its goal's limit in its busiest time; absent under overload"
    )
    missed: float = Field(description="chance that a goal is missed, 0 to 1")


class LoadOutlook(_Block):
    """What the history says of the load."""

    history_hours: int
    ends: str = Field(description="end of the history, UTC")
    peak_now_per_s: float = Field(description="busiest hour of its last week")
    peak_then_per_s: float = Field(description="busiest hour of the last week to come")
    growth_per_month: float | None = Field(description="as a share; absent when nothing tells")
    growth_low: float | None = None
    growth_high: float | None = None
    growth_asked: bool = Field(description="given, not seen in the history")
    within_hour: float = Field(description="busiest minutes over the mean of their hour")
    exceptional: list[tuple[str, float]] = Field(
        default_factory=list, description="days left out, and how many times the usual they had"
    )


class Backtest(_Block):
    """The last week of a history, forecast from what was before it."""

    hours: int
    covered: float = Field(description="share of the hours inside the band")
    confidence: float = Field(description="the share that should be")
    median_error: float = Field(description="typical distance of an hour, as a share")
    peak_error: float = Field(description="busiest hour, forecast over true, minus 1")


class OutlookWay(_Block):
    """A change of the deployment that holds longer."""

    change: str
    holds_up_to: Estimate
    breaks: str | None = Field(description="when goals are missed then; absent within the horizon")


class Outlook(_Block):
    """The load to come, and when a deployment no longer meets its goals."""

    schema_version: Literal[1] = 1
    kind: Literal["forecast"] = "forecast"
    title: str = ""
    seed: int
    goals: list[str]
    limit: Limit
    holds_up_to: Estimate | None = Field(description="highest rate that meets the goals")
    load: LoadOutlook
    breaks: str | None = Field(
        description="first hour in which a goal is more likely missed than met; absent if none"
    )
    breaks_earliest: str | None = Field(description="first hour with a chance of 5 % for that")
    hours: list[OutlookHour]
    ways: list[OutlookWay] = Field(default_factory=list)
    backtest: Backtest | None = None
    verdict: Literal["yes", "no"]
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()
