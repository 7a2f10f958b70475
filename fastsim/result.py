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


class Block(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(extra="forbid")


class Estimate(Block):
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

    def times(self, factor: float) -> "Estimate":
        """Return the estimate of so many times as much."""
        low, high = (None if each is None else each * factor for each in (self.low, self.high))
        return self.model_copy(update={"value": self.value * factor, "low": low, "high": high})


class Latency(Block):
    """Latency summary, seconds."""

    mean: Estimate
    p50: Estimate
    p90: Estimate
    p95: Estimate
    p99: Estimate
    p999: Estimate


class Summary(Block):
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


class ResourceUse(Block):
    """Use of one resource, pooled over workers."""

    capacity: int | float
    rate_per_s: float | None = Field(None, description="of a limit; its use is relative to that")
    utilisation: Estimate
    mean_wait_s: float = 0.0
    max_queue: int = 0


class LoopUse(Block):
    """The event loops, averaged over workers."""

    utilisation: Estimate
    lag_mean_s: float = Field(0.0, description="mean delay from ready to running")
    lag_p99_s: float = 0.0
    ready_queue_mean: float = 0.0
    ready_queue_max: int = 0


class Series(Block):
    """Windows of equal length over the run; lists have one entry per window."""

    window_s: float
    start_s: list[float] = Field(default_factory=list)
    arrivals: list[int] = Field(default_factory=list)
    completions: list[int] = Field(default_factory=list)
    p50_s: list[float | None] = Field(default_factory=list)
    p95_s: list[float | None] = Field(default_factory=list)
    utilisation: list[float] = Field(default_factory=list)
    in_flight: list[float] = Field(default_factory=list)


class SloResult(Block):
    """One goal and whether it was met."""

    text: str
    metric: str
    endpoint: str | None
    limit: float
    value: float
    low: float | None = None
    high: float | None = None
    met: bool
    phase: str | None = Field(None, description="in which it is furthest from being met")


class PhaseResult(Block):
    """What one phase of the traffic was like: the requests that arrived in it."""

    name: str
    start_s: float
    length_s: float
    begin_per_s: float = Field(description="rate of arrivals when it begins")
    end_per_s: float = Field(description="and when it ends; in between it changes evenly")
    total: Summary = Field(description="without where the time goes")
    utilisation: float | None = Field(description="of the event loops in the mean, 0 to 1")
    waiting: float = Field(description="requests in flight when it ends")


class RequestTable(Block):
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


class DriverUse(Block):
    """How well the load driver itself kept up; all counted requests."""

    lag_mean_s: float = Field(description="sent minus scheduled")
    lag_p99_s: float
    lag_max_s: float
    cpu_per_request_s: float
    cpu_share: float = Field(description="CPU of the sending thread over elapsed time, 0 to 1")


class CapacityFound(Block):
    """From which load something is full."""

    per_s: float
    resource: str = Field(description="event loop, thread pool or the name of a resource")
    demand_s: float = Field(description="time a request keeps it, or one slot of it, busy")
    behind: list[str] = Field(
        default_factory=list, description="full as well, because their holders wait for it"
    )


class Advice(Block):
    """What one change of the deployment would do at the same load."""

    change: str
    metric: str
    endpoint: str | None = None
    value: float | None = Field(description="seconds; absent under overload")
    before: float | None = Field(description="without the change")
    effect: Effect


class RunProvenance(Block):
    """How to repeat the run."""

    command: str = ""
    fastsim_version: str = ""
    inputs: dict[str, str] = Field(default_factory=dict, description="file name to sha256")
    against: str = Field("", description="how the twin did against what was measured live")


class Run(Block):
    """The result of ``run``, ``load`` or a recording."""

    schema_version: Literal[1] = 1
    kind: Literal["run"] = "run"
    source: Literal["twin", "live"]
    title: str = ""
    seed: int | None = None
    rate_per_s: float
    users: int | None = Field(
        None, description="twin: who sent the requests, each waiting for its answer"
    )
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
    phases: list[PhaseResult] = Field(
        default_factory=list, description="of traffic whose rate changes"
    )
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


class CompareRow(Block):
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


class Comparison(Block):
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
    busy: CompareRow | None = Field(
        None, description="event loop's busy time per request, where the live run was recorded"
    )
    at_live_busy: list[CompareRow] = Field(
        default_factory=list,
        description="rows that count as they would be if the twin's loop were as busy per request "
        "as live's: on a machine as fast; they say more, and decide nothing",
    )
    reasons: list[str] = Field(
        default_factory=list, description="off: steps of the live recording that differ for sure"
    )
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()
