"""Scenario: a model, the traffic to expect, the deployment to try, the goals to meet.

Everything not said is inherited from the model.
"""

import re
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from fastsim.bursts import Bursts
from fastsim.errors import InputError
from fastsim.model import HandOver, Limit, Part, Resource, Scope, ServiceModel
from fastsim.phases import Phase, check_phases
from fastsim.units import Duration, Rate, Share, parse_duration, parse_share

MOST_USERS = 100_000
MOST_PROCESSES = 4096
"""Workers and cores of one machine; each worker is an event loop that is simulated."""


Spacing = Literal["poisson", "uniform", "bursty"]


class Users(Part):
    """Closed traffic: users who wait for the answer, think, and ask again."""

    count: int = Field(1, ge=1, le=MOST_USERS)
    think: Duration = Field(0.0, ge=0.0, description="mean time from an answer to the next request")
    steady: bool = Field(
        False, description="think as long every time; by chance (exponentially) otherwise"
    )


class TrafficPlan(Part):
    """Open-loop traffic: when requests arrive and which endpoint they ask for."""

    rate: Rate | None = Field(None, description="mean arrivals; the recorded rate when absent")
    phases: list[Phase] = Field(
        default_factory=list,
        description="the rate over time, phase after phase; together they are the measured time",
    )
    users: Users | None = Field(
        None, description="instead of a rate: users who wait for answers before they ask again"
    )
    duration: Duration = 60.0
    warmup: Duration | None = Field(
        None,
        description="simulated before the measured time and not counted; when absent until the "
        "service is full and steady, 5 s at least",
    )
    arrivals: Spacing = Field(
        "poisson",
        description="poisson: by chance; uniform: evenly spaced; bursty: in clusters as they were "
        "recorded",
    )
    bursts: Bursts | None = Field(
        None, description="a rate that jumps: times the mean, for how long, how often"
    )
    source: str | None = Field(
        None,
        description="where requests come from instead: a recording (traces.jsonl x2 in 10min) or a "
        "function of your own (holiday.py:arrivals)",
    )
    mix: dict[str, Share] = Field(
        default_factory=dict, description="endpoint shares; the recorded mix when empty"
    )

    @model_validator(mode="after")
    def _phases_alike(self) -> Self:
        try:
            check_phases(self.phases, self.rate)
            check_users(self)
            check_bursts(self)
            check_source(self)
        except InputError as error:
            raise ValueError(f"{error.message}; {error.hint}") from None
        return self


def check_users(traffic: TrafficPlan) -> None:
    """Refuse users beside what only arrivals of their own have.

    Raises
    ------
    InputError
        When a rate, phases or a spacing are given as well.
    """
    if traffic.users is None:
        return
    others = {"rate": traffic.rate, "phases": traffic.phases or None, "bursts": traffic.bursts}
    given = [name for name, value in others.items() if value is not None]
    if traffic.arrivals != "poisson":
        given.append("arrivals")
    if given:
        raise InputError(
            f"users decide themselves when they ask: {given[0]} says it a second time",
            hint=f"leave users or {given[0]} out",
        )


def check_bursts(traffic: TrafficPlan) -> None:
    """Refuse bursts beside arrivals that are something else.

    Raises
    ------
    InputError
        When requests come evenly, or as they were recorded, as well.
    """
    if traffic.bursts is not None and traffic.arrivals != "poisson":
        raise InputError(
            f"bursts are arrivals of their own, not {traffic.arrivals} ones",
            hint="leave arrivals out",
        )


def check_source(traffic: TrafficPlan) -> None:
    """Refuse a source of requests beside something else that says when they come.

    Raises
    ------
    InputError
        When there are phases, bursts, users or a spacing as well.
    """
    if traffic.source is None:
        return
    others = {
        "phases": bool(traffic.phases),
        "bursts": traffic.bursts is not None,
        "users": traffic.users is not None,
        "arrivals": traffic.arrivals != "poisson",
    }
    given = [name for name, said in others.items() if said]
    if given:
        raise InputError(
            f"{traffic.source} says when requests come: {given[0]} says it a second time",
            hint=f"leave source or {given[0]} out",
        )


Balancing = Literal["round robin", "random", "least connections", "power of two"]


class Network(Part):
    """The way between who sends the requests (balancer or client) and the service."""

    rtt: Duration = Field(0.0, ge=0.0, description="there and back, at least")
    jitter: Duration = Field(
        0.0, ge=0.0, description="mean of what comes on top of that, exponentially distributed"
    )


class Deployment(Part):
    """What runs the service; absent fields keep what was recorded."""

    replicas: int | None = Field(
        None, ge=1, le=MOST_PROCESSES, description="machines or containers, each with its workers"
    )
    balancer: Balancing = Field("round robin", description="which replica gets a request")
    network: Network = Network()
    workers: int | None = Field(None, ge=1, le=MOST_PROCESSES)
    cores: int | None = Field(None, ge=1, le=MOST_PROCESSES)
    cpu_quota: float | None = Field(
        None, gt=0.0, description="cores that the container may use in the mean of 100 ms"
    )
    thread_tokens: int | None = Field(None, ge=1)
    limit_concurrency: int | None = Field(None, ge=1)
    resources: dict[str, Resource] = Field(default_factory=dict)
    limits: dict[str, Limit] = Field(default_factory=dict)


class Scenario(Part):
    """What to ask the twin."""

    version: Literal[1] = 1
    kind: Literal["scenario"] = "scenario"
    model: str = Field(description="path of model.yaml, relative to this file")
    traffic: TrafficPlan = TrafficPlan()
    deployment: Deployment = Deployment()
    slo: list[str] = Field(default_factory=list)
    seed: int = Field(1, ge=0)
    replications: int = Field(8, ge=1)


class ResolvedDeployment(Part):
    """A deployment with every field known: scenario over model.

    Workers, cores and quota are those of one replica.
    """

    replicas: int = 1
    balancer: Balancing = "round robin"
    network: Network = Network()
    workers: int
    cores: int
    loop: Literal["asyncio", "uvloop"]
    thread_tokens: int
    limit_concurrency: int | None
    gil: bool
    resources: dict[str, int]
    hand_over: dict[str, HandOver] = Field(default_factory=dict)
    cpu_quota: float | None = None
    timeouts: dict[str, float] = Field(
        default_factory=dict, description="seconds, of the resources that have one"
    )
    scopes: dict[str, Scope] = Field(default_factory=dict, description="worker where not named")
    limits: dict[str, Limit] = Field(default_factory=dict)
    python: str = ""
    handover: float | None = Field(None, description="seconds; see LoopCosts.handover")

    def is_peer(self, resource: str) -> bool:
        """Tell whether who waits for a slot waits at a peer."""
        return self.hand_over.get(resource) == "peer"

    @property
    def processes(self) -> int:
        """Workers of all replicas."""
        return self.replicas * self.workers

    def copies(self, scope: Scope) -> int:
        """Return how many there are of what each worker, each replica, or the service has."""
        return {"worker": self.processes, "replica": self.replicas, "service": 1}[scope]


def resolve_deployment(model: ServiceModel, deployment: Deployment) -> ResolvedDeployment:
    """Fill what the scenario leaves open from what was recorded.

    Raises
    ------
    InputError
        When there are too many processes to simulate, or it makes something else of a peer.
    """
    process = model.process
    replicas, workers = deployment.replicas or 1, deployment.workers or process.workers
    require_few_processes(replicas, workers)
    _require_same_peers(model, deployment)
    resources = {name: resource.capacity for name, resource in model.resources.items()}
    resources |= {name: resource.capacity for name, resource in deployment.resources.items()}
    return ResolvedDeployment(
        replicas=replicas,
        balancer=deployment.balancer,
        network=deployment.network,
        workers=workers,
        cores=deployment.cores or process.cores,
        cpu_quota=deployment.cpu_quota or process.cpu_quota,
        loop=process.loop,
        thread_tokens=deployment.thread_tokens or process.thread_tokens,
        limit_concurrency=deployment.limit_concurrency or process.limit_concurrency,
        gil=process.gil,
        resources=resources,
        hand_over={
            name: resource.hand_over
            for name, resource in (model.resources | _naming(deployment, "hand_over")).items()
        },
        timeouts={
            name: resource.timeout
            for name, resource in (model.resources | _naming(deployment, "timeout")).items()
            if resource.timeout is not None
        },
        scopes={
            name: resource.scope
            for name, resource in (model.resources | _naming(deployment, "scope")).items()
            if resource.scope != "worker"
        },
        limits={name: _limit(name, limit, deployment) for name, limit in model.limits.items()},
        python=process.python,
        handover=handover_on(model, workers, deployment.cores or process.cores),
    )


def require_few_processes(replicas: int, workers: int) -> None:
    """Refuse a deployment of more processes than can be simulated.

    Raises
    ------
    InputError
        When there are too many.
    """
    if replicas * workers > MOST_PROCESSES:
        raise InputError(
            f"{replicas} replicas of {workers} workers are {replicas * workers} processes; "
            f"the twin simulates {MOST_PROCESSES} at most"
        )


def handover_on(model: ServiceModel, workers: int, cores: int) -> float | None:
    """Return the fitted cost where threads share the loop's core as they did when recorded."""
    process = model.process
    recorded, asked = process.cores > process.workers, cores > workers
    return model.loop.handover if recorded == asked else None


def _limit(name: str, limit: Limit, deployment: Deployment) -> Limit:
    """Return a limit with what the deployment says of it."""
    said = deployment.limits.get(name)
    if said is None:
        return limit
    return limit.model_copy(update={key: getattr(said, key) for key in said.model_fields_set})


def _require_same_peers(model: ServiceModel, deployment: Deployment) -> None:
    """Refuse a deployment that makes a peer of a pool or a pool of a peer, or has it give up."""
    for name, resource in _naming(deployment, "hand_over").items():
        known = model.resources.get(name)
        if known is not None and (known.hand_over == "peer") != (resource.hand_over == "peer"):
            is_one = "is a peer" if known.hand_over == "peer" else "is no peer"
            raise InputError(
                f"{name!r} {is_one} in the model, which no deployment changes",
                hint="say so in the model: what calls do while they wait is another there",
                where=f"deployment.resources.{name}.hand_over",
            )
    for name in _naming(deployment, "timeout"):
        if name in model.resources and model.resources[name].hand_over == "peer":
            raise InputError(
                f"{name!r} is a peer, whose calls have no timeout: one that was made is served",
                where=f"deployment.resources.{name}.timeout",
            )


def _naming(deployment: Deployment, field: str) -> dict[str, Resource]:
    """Return the resources for which the deployment says anything of a field."""
    return {
        name: resource
        for name, resource in deployment.resources.items()
        if field in resource.model_fields_set
    }


def setting_name(path: str) -> str:
    """Return what people call a key of a scenario: ``workers``, ``db`` for its capacity.

    >>> setting_name("deployment.resources.db.capacity")
    'db'
    """
    keys = path.split(".")
    if keys[:2] == ["deployment", "resources"] and len(keys) > 3:
        return ".".join(keys[2:-1]) if keys[-1] == "capacity" else ".".join(keys[2:])
    return keys[-1]


_SLO = re.compile(
    r"(?:(?P<endpoint>[A-Z]+ /\S*)\s*:\s*)?(?P<metric>mean|p50|p90|p95|p99|p999|p99\.9|errors)"
    r"\s*(?P<op><=?)\s*(?P<limit>\S.*)"
)


class Slo(BaseModel):
    """One goal, for example ``p95 < 100ms`` or ``GET /chat: errors < 0.5%``."""

    text: str
    endpoint: str | None
    metric: str
    limit: float = Field(description="seconds, or a ratio for errors")


def parse_slo(text: str) -> Slo:
    """Read one goal.

    Raises
    ------
    InputError
        When the text does not follow the grammar or its unit is wrong.

    >>> parse_slo("p95 < 100ms").limit
    0.1
    """
    match = _SLO.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"{text!r} is not a goal",
            hint="write it like 'p95 < 100ms', 'GET /items: p99 < 1s' or 'errors < 0.5%'",
        )
    metric = match["metric"].replace("99.9", "999")
    limit_text = match["limit"].strip()
    limit = parse_share(limit_text) if metric == "errors" else parse_duration(limit_text)
    if limit <= 0.0:
        raise InputError(
            f"nothing can meet the goal {text!r}: it has to be below {limit_text}",
            hint="give a limit above 0, such as 'errors < 0.5%'",
        )
    return Slo(text=text.strip(), endpoint=match["endpoint"], metric=metric, limit=limit)
