"""ServiceModel: what calibration found, or what somebody wrote by hand.

``model.yaml`` is this class as text. Times are seconds inside and human units
(``20ms``) in the file. Nothing here samples or fits: see ``fastsim.twin`` and
``fastsim.calibrate``.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self

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
from fastsim.loop_costs import ColdCost, LoopCosts, Pauses, RecorderCost, SpeedDoubt, Wander
from fastsim.spans import StepKind, Via
from fastsim.units import Duration, Rate, Share

__all__ = [
    "AcquireStep",
    "Branch",
    "Burst",
    "CheckRow",
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
    "Resource",
    "RespondStep",
    "ServiceModel",
    "Simple",
    "SpeedDoubt",
    "Step",
    "StreamStep",
    "ThreadStep",
    "Traffic",
    "Variant",
    "WaitStep",
    "Wander",
    "Weibull",
    "YieldStep",
    "all_steps",
]


# --- steps ---------------------------------------------------------------------------------


class _Step(Part):
    label: str = Field("", description="library or peer, for people")
    where: str = Field("", description="the service's own code, file.py:function")


class CpuStep(_Step):
    """Code on the event loop; nothing else of this worker runs meanwhile."""

    do: Literal["cpu"] = "cpu"
    time: Distribution
    blocking: Share = Field(
        0.0, description="part of the time that holds the loop without using a core"
    )


class WaitStep(_Step):
    """Suspended until something outside the loop answers; the loop is free meanwhile."""

    do: Literal["wait"] = "wait"
    kind: StepKind
    via: Via = Via.SOCKET
    time: Distribution
    thread_cpu: Duration = Field(
        0.0, ge=0.0, description="via thread: CPU of the other thread, which needs the GIL for it"
    )


class YieldStep(_Step):
    """Suspended only to be queued again at once, as ``asyncio.sleep(0)`` does."""

    do: Literal["yield"] = "yield"


class ThreadStep(_Step):
    """Work in the thread pool: ``cpu`` needs the GIL, ``off_gil`` does not."""

    do: Literal["thread"] = "thread"
    cpu: Distribution
    off_gil: Distribution | None = None


class StreamStep(_Step):
    """``chunks`` times: wait ``gap``, then ``cpu`` on the loop. A streamed LLM answer."""

    do: Literal["stream"] = "stream"
    kind: StepKind
    via: Via = Via.SOCKET
    chunks: Counts
    gap: Distribution
    cpu: Distribution


class AcquireStep(_Step):
    """Take one slot of a resource; waits in first-come order when none is free."""

    do: Literal["acquire"] = "acquire"
    resource: str


class ReleaseStep(_Step):
    """Give the slot back."""

    do: Literal["release"] = "release"
    resource: str


class RespondStep(_Step):
    """The last byte of the response leaves; later steps do not count as latency."""

    do: Literal["respond"] = "respond"


class Branch(Part):
    """Tasks of a parallel step that all take the same steps."""

    count: Counts = Field(Counts(values=[1], weights=[1.0]), description="how many there are")
    steps: "list[Step]" = Field(min_length=1)


class ParallelStep(_Step):
    """Start several tasks and wait for all of them, as ``asyncio.gather`` does."""

    do: Literal["parallel"] = "parallel"
    branches: list[Branch] = Field(min_length=1)


Step = Annotated[
    CpuStep
    | WaitStep
    | YieldStep
    | ThreadStep
    | StreamStep
    | AcquireStep
    | ReleaseStep
    | RespondStep
    | ParallelStep,
    Field(discriminator="do"),
]


Branch.model_rebuild()


def all_steps(steps: "Iterable[Step]") -> "Iterator[Step]":
    """Yield steps and, after a parallel one, those of its branches."""
    for step in steps:
        yield step
        if isinstance(step, ParallelStep):
            for branch in step.branches:
                yield from all_steps(branch.steps)


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


# --- the service ------------------------------------------------------------------------------


HandOver = Literal["direct", "wake"]


class Resource(Part):
    """Something with a limited number of slots per worker process."""

    capacity: int = Field(ge=1)
    hand_over: HandOver = Field(
        "direct",
        description="a free slot goes to who waits first (pools), or, as asyncio.Semaphore does, "
        "to nobody else until the one it woke has run",
    )


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
    service: str
    provenance: Provenance = Provenance()
    warnings: list[str] = Field(default_factory=list)
    process: Process = Process()
    traffic: Traffic | None = None
    client: ClientPath = ClientPath()
    loop: LoopCosts = LoopCosts()
    resources: dict[str, Resource] = Field(default_factory=dict)
    endpoints: list[Endpoint] = Field(min_length=1)
    self_check: list[CheckRow] = Field(default_factory=list)

    def with_recorder(self) -> Self:
        """Return the model of the service as it runs while the recorder watches."""
        return self.model_copy(update={"loop": self.loop.with_recorder()})

    @model_validator(mode="after")
    def _known_resources(self) -> Self:
        for endpoint in self.endpoints:
            for variant in endpoint.variants:
                for step in all_steps(variant.steps):
                    if isinstance(step, (AcquireStep, ReleaseStep)) and (
                        step.resource not in self.resources
                    ):
                        raise ValueError(
                            f"{endpoint.name} uses resource {step.resource!r}, "
                            "which is not listed under resources"
                        )
        return self
