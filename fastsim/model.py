"""ServiceModel: what calibration found, or what somebody wrote by hand.

``model.yaml`` is this class as text. Times are seconds inside and human units
(``20ms``) in the file. Nothing here samples or fits: see ``fastsim.twin`` and
``fastsim.calibrate``.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from fastsim.laws import (
    Constant,
    Counts,
    Distribution,
    Empirical,
    Expon,
    Fit,
    Gamma,
    InvGauss,
    Lognorm,
    Mixture,
    Pareto,
    Part,
    Simple,
    Weibull,
)
from fastsim.limit import Limit, Scope
from fastsim.loop_costs import (
    BackgroundWork,
    ColdCost,
    LoopCosts,
    Pauses,
    RecorderCost,
    SpeedDoubt,
    Wander,
)
from fastsim.program import (
    AcquireStep,
    Branch,
    CallStep,
    Change,
    ChooseStep,
    CpuStep,
    LimitStep,
    ParallelStep,
    ReleaseStep,
    RepeatStep,
    RespondStep,
    Step,
    StreamStep,
    ThreadStep,
    UseStep,
    WaitStep,
    Way,
    YieldStep,
    all_steps,
    changed,
)
from fastsim.spans import Via
from fastsim.units import Duration, Rate, Share

__all__ = [
    "AcquireStep",
    "BackgroundWork",
    "Branch",
    "Burst",
    "CallStep",
    "CheckRow",
    "ChooseStep",
    "ClientPath",
    "ColdCost",
    "Constant",
    "Counts",
    "CpuStep",
    "Distribution",
    "Empirical",
    "Endpoint",
    "Expon",
    "Fit",
    "Gamma",
    "HandOver",
    "InvGauss",
    "Limit",
    "LimitStep",
    "Lognorm",
    "LoopCosts",
    "Mixture",
    "ParallelStep",
    "Pareto",
    "Part",
    "Pauses",
    "Process",
    "Provenance",
    "RateWindow",
    "RecorderCost",
    "ReleaseStep",
    "RepeatStep",
    "Resource",
    "RespondStep",
    "Scope",
    "ServiceModel",
    "Simple",
    "SpeedDoubt",
    "Step",
    "StreamStep",
    "ThreadStep",
    "Traffic",
    "UseStep",
    "Variant",
    "WaitStep",
    "Wander",
    "Way",
    "Weibull",
    "YieldStep",
    "all_steps",
]


class Variant(Part):
    """One path that requests of an endpoint take."""

    name: str = "main"
    share: Share = 1.0
    requests: int = 0
    failed: bool = Field(False, description="answers with status 500 or above")
    steps: list[Step]


class Endpoint(Part):
    """One route: how often it is asked for and the paths its requests take."""

    name: str = Field(description="method and route template, for example GET /items/{id}")
    share: Share = Field(description="part of all requests")
    requests: int = Field(0, description="requests recorded")
    variants: list[Variant] = Field(min_length=1)

    def with_steps(self, change: Change, in_threads: Change | None = None) -> Self:
        """Return the endpoint with every step of its paths changed; see ``program.changed``."""
        variants = [
            each.model_copy(update={"steps": changed(each.steps, change, in_threads)})
            for each in self.variants
        ]
        return self.model_copy(update={"variants": variants})


# --- the service ------------------------------------------------------------------------------


HandOver = Literal["direct", "wake", "peer"]


class Resource(Part):
    """Something with a limited number of slots: a pool of a process, or a database's own limit."""

    capacity: int = Field(ge=1)
    hand_over: HandOver = Field(
        "direct",
        description="a free slot goes to who waits first (pools), or, as asyncio.Semaphore does, "
        "to nobody else until the one it woke has run; or who waits does so at the peer that is "
        "called, which needs no event loop to serve the next",
    )
    timeout: Duration | None = Field(
        None, gt=0.0, description="who waited so long for a slot gives up, and its request fails"
    )
    scope: Scope = Field(
        "worker", description="each worker process has so many slots, each machine, or all together"
    )

    @model_validator(mode="after")
    def _hands_over_as_it_can(self) -> Self:
        if self.hand_over == "wake" and self.scope != "worker":
            raise ValueError("hand_over: wake is that of asyncio.Semaphore, which one process has")
        if self.hand_over == "peer" and self.timeout is not None:
            raise ValueError("hand_over: peer has no timeout: a call that was made is served")
        return self


class Process(Part):
    """The process that was recorded."""

    workers: int = Field(1, ge=1)
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    cores: int = Field(1, ge=1)
    cpu_quota: float | None = Field(None, description="cores the container may use, if limited")
    thread_tokens: int = Field(40, ge=1)
    python: str = ""
    gil: bool = True
    limit_concurrency: int | None = None


class RateWindow(Part):
    """A stretch of time with a mean rate of arrivals."""

    length: Duration = Field(gt=0.0)
    rate: Rate


class Burst(Part):
    """Arrivals in clusters: the rate jumps between a high and a low level at random.

    Variance over mean of the number of arrivals in a time ``t`` is 1 for very short ``t`` and
    ``dispersion`` for ``t`` far beyond ``memory``.
    """

    dispersion: float = Field(gt=1.0)
    memory: Duration = Field(gt=0.0)


class Traffic(Part):
    """The traffic that was recorded."""

    rate: Rate
    duration: Duration
    dispersion: float | None = Field(
        None, description="variance over mean of requests per second; 1 is Poisson"
    )
    pattern: Literal["poisson", "varying", "bursty", "regular"] = Field(
        "poisson",
        description="by chance; at a rate that changed; in clusters; more evenly than by chance",
    )
    curve: list[RateWindow] = Field(
        default_factory=list, description="the rate over time, if it changed beyond chance"
    )
    burst: Burst | None = None
    utilisation: Share | None = Field(None, description="busy share of the event loop")


class ClientPath(Part):
    """What a client sees on top of the server: network and its own work, per request."""

    overhead: Duration = 0.0


class CheckRow(Part):
    """One line of the self-check: recorded against replayed by the twin."""

    endpoint: str
    metric: str
    recorded: Duration
    twin: Duration
    error: float = Field(description="twin over recorded, minus 1")
    error_low: float = Field(description="the error could be, with 95 % for all rows, from")
    error_high: float = Field(description="to")
    verdict: Literal["agrees", "off", "cannot tell"]


class Provenance(Part):
    """Where the model came from."""

    command: str = ""
    fastsim: str = ""
    data_sha256: str = ""
    recorded_at: str = ""


class ServiceModel(Part):
    """A calibrated (or hand-written) service."""

    version: Literal[1] = 1
    kind: Literal["model"] = "model"
    service: str = "service"
    provenance: Provenance = Provenance()
    warnings: list[str] = Field(default_factory=list)
    process: Process = Process()
    traffic: Traffic | None = None
    client: ClientPath = ClientPath()
    loop: LoopCosts = LoopCosts()
    resources: dict[str, Resource] = Field(default_factory=dict)
    limits: dict[str, Limit] = Field(default_factory=dict)
    endpoints: list[Endpoint] = Field(min_length=1)
    self_check: list[CheckRow] = Field(default_factory=list)

    def with_recorder(self) -> Self:
        """Return the model of the service as it runs while the recorder watches."""
        return self.model_copy(update={"loop": self.loop.with_recorder()})

    @model_validator(mode="after")
    def _known_resources(self) -> Self:
        for name, limit in self.limits.items():
            if limit.rate is None and limit.station is None:
                raise ValueError(f"limit {name!r} has no rate; write, for example, rate: 10/s")
        for endpoint in self.endpoints:
            for variant in endpoint.variants:
                for step in all_steps(variant.steps):
                    if isinstance(step, LimitStep) and step.limit not in self.limits:
                        raise ValueError(
                            f"{endpoint.name} has limit {step.limit!r}, which is not listed under "
                            f"limits; write there, for example, {step.limit}: {{rate: 10/s}}"
                        )
                    if isinstance(step, (AcquireStep, ReleaseStep, UseStep)) and (
                        step.resource not in self.resources
                    ):
                        raise ValueError(
                            f"{endpoint.name} uses resource {step.resource!r}, which is not listed "
                            f"under resources; write there, for example, {step.resource}: 10"
                        )
                    self._calls_a_peer(endpoint.name, step)
        return self

    def _calls_a_peer(self, endpoint: str, step: Step) -> None:
        """Make sure that a slot of a peer is held by one call, as long as it is served."""
        if not isinstance(step, (AcquireStep, ReleaseStep, UseStep)):
            return
        if self.resources[step.resource].hand_over != "peer":
            return
        match step:
            case UseStep(steps=[WaitStep(via=Via.SOCKET)]):
                return
        raise ValueError(
            f"{endpoint}: {step.resource!r} is a peer (hand_over: peer), whose slot is held by one "
            f"call; write: use: {step.resource}, steps: [http: 20ms], with nothing else inside"
        )
