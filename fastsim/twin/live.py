"""Live measurements as the twin's counterpart: requests with arrival, latency and success.

A sample comes from a ``Run`` of ``fastsim load`` (client view) or from a recording (server
view); here it is fitted to a model and simulated at its own size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from fastsim.errors import InputError
from fastsim.load.intervals import mean_estimate, quantile_estimate, rate_estimate
from fastsim.load.tools.found import ToolRequests
from fastsim.model import ServiceModel
from fastsim.result import Estimate, Run
from fastsim.scenario import Deployment, TrafficPlan, Users
from fastsim.twin.doubt import in_surroundings
from fastsim.twin.live_summary import (
    LiveSummary,
    LiveValue,
    left_out_sentence,
    nothing_in_common,
)
from fastsim.twin.metrics import growth
from fastsim.twin.plan import ArrivalReplay
from fastsim.twin.planning import make_plan
from fastsim.twin.processes import Jobs, OnProgress
from fastsim.twin.replicate import Replications, replicate
from fastsim.twin.statistics import METRICS, PROBABILITIES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Mode = Literal["free", "arrival replay"]

PILES_UP = 0.03
"""Share of the arrivals that must stay behind to call a single live run overloaded."""

ALL = 1.02
"""Requests that one stands for up to which all are there."""

REGULAR = 0.1
"""Coefficient of variation of the gaps below which arrivals were evenly spaced."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveSample:
    """Requests of a live service in order of arrival; arrays have one entry per request.

    Parameters
    ----------
    at_s
        Arrival, seconds from the start of the measured time. Earlier requests (below 0)
        warmed the service up: they are simulated but not compared.
    latency_s, ok
        Up to the end of the response; whether it was a success.
    throughput
        Successes per second where they were counted more completely than here.
    """

    endpoints: tuple[str, ...]
    endpoint: Ints
    at_s: Floats
    latency_s: Floats
    ok: Flags
    rate_per_s: float
    duration_s: float
    throughput: Estimate | None = None
    title: str = ""
    warmup_s: float | None = None
    """Load before the measured time, seconds; 0 if the service began idle, None if unknown."""
    recorded: bool = False
    """Whether the recorder watched: it makes the service slower."""
    stand_for: Floats | None = None
    """How many requests of the service each stands for, where these are a sample."""
    taken: float | None = None
    """Share of the event loop's busy time that other processes took, where it was recorded."""
    busy_s: float | None = None
    """Busy time of the event loops per request, seconds, where it was recorded."""

    @classmethod
    def of_run(cls, run: Run, *, where: str | None = None) -> Self:
        """Take the requests out of a live run.

        Raises
        ------
        InputError
            When it is not a live run or does not hold its requests.
        """
        if run.source != "live" or run.table is None:
            raise InputError(
                "not a live run with its requests",
                hint="write one with fastsim load ... -o live.json",
                where=where,
            )
        table = run.table
        order = np.argsort(np.array(table.scheduled_s, np.float64), kind="stable")
        return cls(
            endpoints=tuple(table.endpoints),
            endpoint=np.array(table.endpoint, np.int64)[order],
            at_s=np.array(table.scheduled_s, np.float64)[order],
            latency_s=np.array(table.latency_s, np.float64)[order],
            ok=np.array(table.ok, np.bool_)[order],
            rate_per_s=run.rate_per_s,
            duration_s=run.duration_s,
            throughput=run.total.throughput,
            title=run.title,
            warmup_s=run.warmup_s,
        )

    @classmethod
    def of_tool(cls, found: ToolRequests, names: Mapping[str, str]) -> Self:
        """Take what another load tool measured.

        Parameters
        ----------
        names
            What its names of requests are called here.
        """
        duration_s = float(found.at_s[-1]) + 1e-9
        return cls(
            endpoints=tuple(names.get(name, name) for name in found.endpoints),
            endpoint=found.endpoint,
            at_s=found.at_s,
            latency_s=found.latency_s,
            ok=found.ok,
            rate_per_s=(len(found.at_s) - 1) / duration_s,
            duration_s=duration_s,
            title=found.tool,
        ).joined()

    def joined(self) -> Self:
        """Return the sample with endpoints of one name as one."""
        names = list(dict.fromkeys(self.endpoints))
        place = np.array([names.index(name) for name in self.endpoints], np.int64)
        return replace(self, endpoints=tuple(names), endpoint=place[self.endpoint])

    @property
    def requests(self) -> int:
        """How many requests are compared."""
        return int(self.measured.sum())

    @property
    def evenly_spaced(self) -> bool:
        """Whether requests came as far from each other as from the next."""
        gaps_s = np.diff(self.at_s[self.measured])
        return len(gaps_s) > 1 and bool(gaps_s.std() < REGULAR * gaps_s.mean())

    @property
    def sampled(self) -> bool:
        """Whether others came among these requests, nobody knows when."""
        return self.stand_for is not None and float(self.stand_for.mean()) > ALL

    def has(self, endpoint: str) -> bool:
        """Tell whether there are requests of an endpoint."""
        return bool(self.chosen(endpoint).any())

    def latency(self, endpoint: str | None, metric: str) -> LiveValue | None:
        """Return a latency of an endpoint, or of all; None without any success."""
        latency_s = self.latency_s[self.chosen(endpoint) & self.ok]
        if not len(latency_s):
            return None
        if metric == "mean":
            return LiveValue(mean_estimate(latency_s), len(latency_s))
        share = PROBABILITIES[METRICS.index(metric) - 1]
        return LiveValue(quantile_estimate(latency_s, share), len(latency_s))

    def failures(self, endpoint: str | None) -> tuple[int, int]:
        """Return how many requests failed, and how many were answered or failed."""
        chosen = self.chosen(endpoint)
        return int((chosen & ~self.ok).sum()), int(chosen.sum())

    @property
    def measured(self) -> Flags:
        """Which requests are compared."""
        inside: Flags = (self.at_s >= 0.0) & (self.at_s < self.duration_s)
        return inside

    @property
    def piles_up(self) -> bool:
        """Whether requests in flight grew by more than 3 % of the arrivals: overload."""
        done_s = self.at_s + self.latency_s
        growth_per_s = growth(self.at_s, done_s, 0.0, self.duration_s)
        return growth_per_s > PILES_UP * len(self.at_s) / self.duration_s

    def chosen(self, endpoint: str | None) -> Flags:
        """Mark the compared requests of an endpoint; of all without one."""
        if endpoint is None:
            return self.measured
        if endpoint not in self.endpoints:
            return np.zeros(len(self.at_s), np.bool_)
        mine: Flags = self.measured & (self.endpoint == self.endpoints.index(endpoint))
        return mine

    def successes_per_s(self) -> Estimate:
        """Return successful responses per second of the measured time."""
        if self.throughput is not None:
            return self.throughput
        found = rate_estimate((self.at_s + self.latency_s)[self.ok], 0.0, self.duration_s)
        return found if self.stand_for is None else found.times(float(self.stand_for.mean()))

    def shares(self) -> dict[str, float]:
        """Return each endpoint's part of the compared requests."""
        measured = self.measured
        weights = None if self.stand_for is None else self.stand_for[measured]
        counts = np.bincount(self.endpoint[measured], weights, len(self.endpoints))
        total = max(1.0, float(counts.sum()))
        return {
            name: float(count) / total for name, count in zip(self.endpoints, counts, strict=True)
        }

    def known_to(self, endpoints: Sequence[str]) -> tuple[Self, list[str]]:
        """Leave out endpoints the twin does not have; return the rest and what to say.

        Raises
        ------
        NotEnoughDataError
            When nothing is left.
        """
        known = np.array([name in endpoints for name in self.endpoints], np.bool_)
        keep: Flags = known[self.endpoint]
        if not (keep & self.measured).any():
            raise nothing_in_common(self.endpoints, endpoints)
        shares = self.shares()
        missing = {name: shares[name] for name in shares if name not in endpoints and shares[name]}
        if not missing:
            return self, []
        left_out = sum(missing.values())
        rest = replace(
            self,
            endpoint=self.endpoint[keep],
            at_s=self.at_s[keep],
            latency_s=self.latency_s[keep],
            ok=self.ok[keep],
            stand_for=None if self.stand_for is None else self.stand_for[keep],
            rate_per_s=self.rate_per_s * (1.0 - left_out),
            throughput=None,
        )
        return rest, [left_out_sentence(missing)]


def simulate_live(
    model: ServiceModel,
    live: LiveSample | LiveSummary,
    *,
    mode: Mode = "free",
    deployment: Deployment | None = None,
    users: Users | None = None,
    warmup_s: float | None = None,
    replications: int = 40,
    seed: int = 1,
    jobs: Jobs = 1,
    on_progress: OnProgress | None = None,
) -> Replications:
    """Simulate what was measured live: same rate, length and mix, or the same arrivals.

    The simulation begins as the live run began: idle, or after load as long as there was.

    Parameters
    ----------
    users
        Who sent the requests, each waiting for its answer; they came at their own times when None.
    warmup_s
        Load before the measured time where it is not known how the live run began; as long as the
        service needs to fill when None.

    Raises
    ------
    NotEnoughDataError
        When live and model have no endpoint in common.
    """
    if live.recorded:
        model = model.with_recorder()
    if isinstance(live, LiveSample):
        model = in_surroundings(model, live.taken)
    names = [endpoint.name for endpoint in model.endpoints]
    known, _ = live.known_to(names)
    shares = known.shares()
    traffic = TrafficPlan(
        rate=known.rate_per_s if users is None else None,
        users=users,
        duration=known.duration_s,
        warmup=warmup_s if known.warmup_s is None else known.warmup_s,
        arrivals="uniform" if known.evenly_spaced and users is None else "poisson",
        mix={name: shares.get(name, 0.0) for name in names},
    )
    arrivals = None
    if mode == "arrival replay":
        if not isinstance(known, LiveSample):
            raise InputError(
                f"{known.title} does not say when requests came", hint="leave --mode arrivals out"
            )
        if known.sampled:
            raise InputError(
                f"the traces of {known.title} are a sample: when the others came nobody knows",
                hint="leave --mode arrivals out",
            )
        code = np.array(
            [names.index(name) if name in names else -1 for name in known.endpoints], np.int64
        )
        arrivals = ArrivalReplay(known.at_s, code[known.endpoint])
    plan = make_plan(model, traffic, deployment or Deployment(), arrivals, doubtful=True)
    return replicate(plan, replications=replications, seed=seed, jobs=jobs, on_progress=on_progress)
