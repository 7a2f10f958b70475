"""ServiceModel: what calibration found, or what somebody wrote by hand.

``model.yaml`` is this class as text. Times are seconds inside and human units
(``20ms``) in the file. Nothing here samples or fits: see ``fastsim.twin`` and
``fastsim.calibrate``.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fastsim.spans import StepKind, Via
from fastsim.units import Duration, Rate, Share

MODEL_VERSION = 1


class Part(BaseModel):
    """A block of a FastSim file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


# --- distributions -----------------------------------------------------------------------


class Fit(Part):
    """How a distribution was found, and how well it describes the data."""

    n: int = Field(ge=0, description="observations used")
    censored: Share = Field(0.0, description="share of observations known only as an interval")
    distance: float | None = Field(
        None, description="largest gap between fitted and observed distribution function, 0 to 1"
    )
    accepted: bool = Field(True, description="false when no family passed and the data were kept")
    low: Duration | None = Field(None, description="smallest value observed")
    high: Duration | None = Field(None, description="largest value observed")
    median_low: Duration | None = Field(None, description="90 % interval of the median, low end")
    median_high: Duration | None = Field(None, description="90 % interval of the median, high end")


class _Distribution(Part):
    shift: Duration = Field(0.0, description="added to every value; the shortest possible time")
    fit: Fit | None = None


class Constant(_Distribution):
    """Always the same time."""

    family: Literal["constant"] = "constant"
    value: Duration = Field(ge=0.0)


class Expon(_Distribution):
    """Exponential."""

    family: Literal["expon"] = "expon"
    mean: Duration = Field(gt=0.0)


class Gamma(_Distribution):
    """Gamma; ``shape`` 1 is exponential, larger is more regular."""

    family: Literal["gamma"] = "gamma"
    mean: Duration = Field(gt=0.0)
    shape: float = Field(gt=0.0)


class Lognorm(_Distribution):
    """Log-normal; ``sigma`` is the standard deviation of the logarithm."""

    family: Literal["lognorm"] = "lognorm"
    median: Duration = Field(gt=0.0)
    sigma: float = Field(gt=0.0)


class Weibull(_Distribution):
    """Weibull (minimum); ``shape`` below 1 has a heavy tail."""

    family: Literal["weibull"] = "weibull"
    scale: Duration = Field(gt=0.0)
    shape: float = Field(gt=0.0)


class InvGauss(_Distribution):
    """Inverse Gaussian with the given mean; variance = mean**3 / (shape * mean)."""

    family: Literal["invgauss"] = "invgauss"
    mean: Duration = Field(gt=0.0)
    shape: float = Field(gt=0.0, description="dimensionless: mean squared over variance")


class Pareto(_Distribution):
    """Generalised Pareto above ``shift``; ``tail`` 0 is exponential, above 0 heavy."""

    family: Literal["pareto"] = "pareto"
    scale: Duration = Field(gt=0.0)
    tail: float = Field(ge=0.0, lt=1.0)


Simple = Annotated[
    Constant | Expon | Gamma | Lognorm | Weibull | InvGauss | Pareto,
    Field(discriminator="family"),
]


class Mixture(_Distribution):
    """A draw comes from ``parts[i]`` with probability ``weights[i]``."""

    family: Literal["mixture"] = "mixture"
    weights: list[float] = Field(min_length=1)
    parts: list[Simple] = Field(min_length=1)

    @model_validator(mode="after")
    def _match(self) -> Self:
        if len(self.weights) != len(self.parts):
            raise ValueError(f"{len(self.weights)} weights for {len(self.parts)} parts")
        if min(self.weights) < 0.0 or not sum(self.weights) > 0.0:
            raise ValueError("weights must not be negative and must add up to more than 0")
        return self


class Empirical(_Distribution):
    """The observed quantile curve, linear between points.

    ``values[i]`` is the quantile at ``probabilities[i]``; the first probability is 0 and
    the last 1.
    """

    family: Literal["empirical"] = "empirical"
    probabilities: list[float] = Field(min_length=2)
    values: list[Duration] = Field(min_length=2)

    @model_validator(mode="after")
    def _match(self) -> Self:
        if len(self.probabilities) != len(self.values):
            raise ValueError(
                f"{len(self.probabilities)} probabilities for {len(self.values)} values"
            )
        if sorted(self.probabilities) != self.probabilities or sorted(self.values) != self.values:
            raise ValueError("probabilities and values must not decrease")
        if self.probabilities[0] != 0.0 or self.probabilities[-1] != 1.0:
            raise ValueError("probabilities must start at 0 and end at 1")
        return self


Distribution = Annotated[
    Constant | Expon | Gamma | Lognorm | Weibull | InvGauss | Pareto | Mixture | Empirical,
    Field(discriminator="family"),
]


class Counts(Part):
    """A distribution over whole numbers: ``values[i]`` occurs with weight ``weights[i]``."""

    values: list[int] = Field(min_length=1)
    weights: list[float] = Field(min_length=1)

    @model_validator(mode="after")
    def _match(self) -> Self:
        if len(self.weights) != len(self.values):
            raise ValueError(f"{len(self.weights)} weights for {len(self.values)} values")
        if min(self.weights) < 0.0 or not sum(self.weights) > 0.0:
            raise ValueError("weights must not be negative and must add up to more than 0")
        if min(self.values) < 0:
            raise ValueError("counts must not be negative")
        return self


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


Step = Annotated[
    CpuStep
    | WaitStep
    | YieldStep
    | ThreadStep
    | StreamStep
    | AcquireStep
    | ReleaseStep
    | RespondStep,
    Field(discriminator="do"),
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


# --- the service ------------------------------------------------------------------------------


class ColdCost(Part):
    """What idleness adds to the cost of code: caches are cold and the processor slept.

    Code that runs when the loop slept a share ``s`` of the recent past (exponentially
    weighted over ``memory``) costs ``1 + extra * s`` times what it costs on a busy loop.
    Step times and loop costs in the model are those of a busy loop.
    """

    extra: Share = 0.0
    memory: Duration = Field(0.02, gt=0.0)


class Wander(Part):
    """How the machine's speed changes by itself, for all code alike: a noisy neighbour.

    In each ``window`` all CPU is multiplied by a log-normal factor of mean 1 whose logarithm
    has standard deviation ``sigma`` and is correlated from window to window.
    """

    sigma: float = Field(0.0, ge=0.0, le=1.0)
    window: Duration = Field(0.2, gt=0.0)
    correlation: float = Field(0.0, ge=0.0, lt=1.0)


class LoopCosts(Part):
    """CPU that the event loop spends outside the application's own steps."""

    accept: Duration = Field(0.0, description="per request before the application: read, parse")
    per_suspend: Duration = Field(
        0.0, description="per wait begun: bookkeeping after the code, while the wait runs already"
    )
    per_event: Duration = Field(0.0, description="per finished wait: poll result and its callback")
    per_pass: Duration = Field(0.0, description="per turn of the loop: select and bookkeeping")
    cold: ColdCost = ColdCost()
    wander: Wander = Wander()


class Resource(Part):
    """Something with a limited number of slots per worker process."""

    capacity: int = Field(ge=1)


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


class Traffic(Part):
    """The traffic that was recorded."""

    rate: Rate
    duration: Duration
    dispersion: float | None = Field(
        None, description="variance over mean of requests per second; 1 is Poisson"
    )
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
    floor: float = Field(description="error a perfect twin would show by chance (95 %)")


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

    @model_validator(mode="after")
    def _known_resources(self) -> Self:
        for endpoint in self.endpoints:
            for variant in endpoint.variants:
                for step in variant.steps:
                    if isinstance(step, (AcquireStep, ReleaseStep)) and (
                        step.resource not in self.resources
                    ):
                        raise ValueError(
                            f"{endpoint.name} uses resource {step.resource!r}, "
                            "which is not listed under resources"
                        )
        return self
