"""Check that the twin gives back the recording it was fitted to.

The recorded arrivals are replayed through the twin several times with fresh durations, and
judged as any comparison is (``fastsim.twin.equivalence``). Where the twin is off, it is said
which part of the time differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.growth import replayed_s, stand_for, to_replay
from fastsim.calibrate.loop_costs import utilisation
from fastsim.calibrate.parallel import ON_LOOP
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.unseen import with_unseen
from fastsim.model import CheckRow, ServiceModel
from fastsim.scenario import Deployment, ResolvedDeployment, resolve_deployment
from fastsim.twin import Compared, Judgement, judge, sample_at, simulate
from fastsim.twin.processes import Processes
from fastsim.units import format_duration, format_share

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

REPLAYS = 20
TOLERANCE = 0.10
METRICS = {"p50": 0.5, "p95": 0.95}
FEWEST = {"p50": 50, "p95": 100}
"""Recorded requests of an endpoint from which a metric is checked."""

_LISTED = 4
_SHORTEST_S = 1e-9  # the clock's resolution
_SAME_USE = 0.03
"""Utilisations closer than this do not explain anything."""


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """Result of replaying the recording."""

    rows: list[CheckRow]
    before_application_s: dict[str, float]
    """Per endpoint, typical time from arrival to the first instruction of the application."""
    utilisation: float
    reasons: list[str] = field(default_factory=list)
    """For endpoints that are off: which part of their time differs."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """Mean seconds a request of an endpoint spends in code on the loop, and not."""

    code_s: float
    rest_s: float


@dataclass(frozen=True, slots=True)
class _Replay:
    """The arrivals of a recording, in order, and how long its requests took."""

    names: list[str]
    rows: IntArray
    """Of the request set."""
    arrival_s: FloatArray
    endpoint: IntArray
    """Index into ``names``."""
    counted: npt.NDArray[np.bool_]
    """Not of the warm-up."""
    recorded_s: FloatArray
    stand_for: FloatArray
    """How many requests each stands for."""
    deployment: ResolvedDeployment

    @classmethod
    def of(cls, model: ServiceModel, requests: RequestSet) -> "_Replay":
        names = [endpoint.name for endpoint in model.endpoints]
        known = np.array([names.index(n) if n in names else -1 for n in requests.endpoints])
        endpoint = known[requests.endpoint]
        used = np.flatnonzero((endpoint >= 0) & ~requests.rejected)
        arrival = (requests.start_ns[used] - requests.start_ns[used].min()) / 1e9
        order = np.argsort(arrival, kind="stable")
        rows = used[order]
        return cls(
            names=names,
            rows=rows,
            arrival_s=replayed_s(arrival[order], requests),
            endpoint=endpoint[rows],
            counted=~requests.warm_up[rows],
            recorded_s=served_s(requests)[rows],
            stand_for=stand_for(requests)[rows],
            deployment=resolve_deployment(model, Deployment()),
        )

    def run(self, model: ServiceModel, seed: int, number: int) -> "_Replayed":
        """Simulate them once, among requests as sampling left out."""
        own = seed * 1000 + number
        arrivals = with_unseen(self.arrival_s, self.endpoint, self.stand_for, seed=own)
        workload = sample_at(model, arrivals.at_s, arrivals.endpoint, own)
        outcome = simulate(workload, self.deployment, model.loop, seed=number)
        mine = np.flatnonzero(arrivals.of >= 0)
        start_s = outcome.start_s[mine]
        return _Replayed(
            of=arrivals.of[mine],
            latency_s=outcome.respond_s[mine] - start_s,
            before_s=start_s - workload.arrival_s[mine],
            running_s=outcome.running_s[mine],
            busy=float(outcome.loop_busy_s.mean() / max(outcome.end_s, 1e-9)),
        )

    def means(self, of: IntArray, latency_s: FloatArray) -> FloatArray:
        """Return the mean of each endpoint, without the warm-up; nan without requests.

        Parameters
        ----------
        of, latency_s
            Of some of the requests: which, and how long they took.
        """
        counted, endpoint = self.counted[of], self.endpoint[of]
        weight = np.bincount(endpoint, counted, len(self.names))
        total = np.bincount(endpoint, np.where(counted, latency_s, 0.0), len(self.names))
        return np.where(weight > 0, total / np.maximum(weight, 1.0), np.nan)


@dataclass(frozen=True, slots=True)
class _Replayed:
    """What became of recorded requests in the twin, one entry each."""

    of: IntArray
    """Which of the recording's arrivals."""
    latency_s: FloatArray
    before_s: FloatArray
    """From arrival to the first instruction of the application."""
    running_s: FloatArray
    busy: float
    """Share of the time that the event loop was busy."""


def replay_recording(
    model: ServiceModel,
    requests: RequestSet,
    *,
    seed: int = 1,
    replays: int = REPLAYS,
    jobs: Processes | None = None,
) -> SelfCheck:
    """Replay the recorded arrivals through the twin and compare server-span latencies.

    Parameters
    ----------
    jobs
        Share the replays, if they are started.
    """
    model, requests = model.with_recorder(), to_replay(requests)
    replay_of = _Replay.of(model, requests)
    names, endpoint, counted = replay_of.names, replay_of.endpoint, replay_of.counted
    recorded = replay_of.recorded_s
    once = partial(replay_of.run, model, seed)
    runs = (jobs or Processes()).each(once, range(replays))
    # All replay the same ones of the recording.
    of = runs[0].of
    endpoint, counted, recorded = endpoint[of], counted[of], recorded[of]
    named: list[tuple[str, str, Compared]] = []
    waits = {}
    reasons = []
    for number, name in enumerate(names):
        mine = counted & (endpoint == number)
        if mine.sum() < FEWEST["p50"]:
            continue
        waits[name] = float(np.median([np.median(run.before_s[mine]) for run in runs]))
        each = [run.latency_s[mine] for run in runs]
        if not all(np.isfinite(values).all() for values in each):
            reasons.append(
                f"{name}: some requests never end in the twin; a path takes slots and does not "
                "give them back, or takes one twice"
            )
            continue
        named += [
            (name, metric, _compared(recorded[mine], each, p))
            for metric, p in METRICS.items()
            if mine.sum() >= FEWEST[metric]
        ]
    judged = judge([compared for _, _, compared in named])
    rows = [
        _row(name, metric, compared, found)
        for (name, metric, compared), found in zip(named, judged, strict=True)
    ]
    use = float(np.mean([run.busy for run in runs]))
    off = list(dict.fromkeys(row.endpoint for row in rows if row.verdict == "off"))
    code_s = _recorded_code_s(requests)[replay_of.rows[of]]
    for name in off:
        mine = counted & (endpoint == names.index(name)) & np.isfinite(code_s)
        if mine.any():
            live = _Parts(float(code_s[mine].mean()), float((recorded - code_s)[mine].mean()))
            code = float(np.mean([run.running_s[mine].mean() for run in runs]))
            total = float(np.mean([run.latency_s[mine].mean() for run in runs]))
            reasons.append(_reason(name, live, _Parts(code, total - code)))
    # With breaks between stretches the replay's share is another.
    if off and requests.served_per_recorded is None:
        reasons += _use_reason(utilisation(requests), use)
    return SelfCheck(rows, waits, use, reasons)


def _recorded_code_s(requests: RequestSet) -> FloatArray:
    """Return seconds of code on the loop before the response, NaN without a timeline."""
    code_s = np.full(len(requests), np.nan)
    for index, line in requests.timelines():
        until = line.end_s if line.response_s is None else line.response_s
        steps = zip(line.kind, line.start_s, line.wall_s, strict=True)
        code_s[index] = sum(
            min(wall, until - start)
            for kind, start, wall in steps
            if kind in ON_LOOP and start < until
        )
    return code_s


def _reason(name: str, live: _Parts, twin: _Parts) -> str:
    """Say which part of an endpoint's time differs more."""
    if abs(twin.code_s - live.code_s) >= abs(twin.rest_s - live.rest_s):
        what, there, here = "its code takes", live.code_s, twin.code_s
    else:
        what, there, here = "it waits (for others and for its turn)", live.rest_s, twin.rest_s
    return (
        f"{name}: {what} {format_duration(here, 3)} in the twin, "
        f"{format_duration(there, 3)} in the recording, in the mean"
    )


def _use_reason(recorded: float | None, twin: float) -> list[str]:
    if recorded is None or abs(recorded - twin) < _SAME_USE:
        return []
    return [
        (
            f"the event loop is {format_share(twin, 2)} busy in the twin, "
            f"{format_share(recorded, 2)} in the recording"
        )
    ]


def served_s(requests: RequestSet) -> FloatArray:
    """Return seconds from the application's first instruction to the end of the response.

    From the timeline where there is one: the server span begins some instructions later.
    """
    served = requests.duration_ns / 1e9
    for index, timeline in requests.timelines():
        if timeline.response_s is not None:
            served[index] = timeline.response_s
    return served


def replayed_means(
    model: ServiceModel, requests: RequestSet, *, seed: int, replays: int = 3
) -> dict[str, tuple[float, float]]:
    """Return the mean latency of each endpoint's requests, recorded and of the twin, seconds."""
    requests = to_replay(requests)
    replay = _Replay.of(model, requests)
    sums = np.zeros(len(replay.names))
    for number in range(replays):
        run = replay.run(model, seed, number)
        sums += replay.means(run.of, run.latency_s) / replays
    live_s = replay.means(run.of, replay.recorded_s[run.of])
    return {
        name: (float(live_s[number]), float(sums[number]))
        for number, name in enumerate(replay.names)
        if np.isfinite(live_s[number])
    }


def _compared(recorded_s: FloatArray, twin_s: Sequence[FloatArray], p: float) -> Compared:
    each = np.array([np.quantile(values, p) for values in twin_s])
    live, centre = np.quantile(recorded_s, p), np.quantile(np.concatenate(twin_s), p)
    return Compared(
        live=float(np.log(max(live, _SHORTEST_S))),
        centre=float(np.log(max(centre, _SHORTEST_S))),
        tolerance=float(np.log1p(TOLERANCE)),
        twin=np.log(np.maximum(each, _SHORTEST_S)),
        log=True,
    )


def _row(endpoint: str, metric: str, compared: Compared, found: Judgement) -> CheckRow:
    low, high = found.error - found.half, found.error + found.half
    return CheckRow(
        endpoint=endpoint,
        metric=metric,
        recorded=float(np.exp(compared.live)),
        twin=float(np.exp(compared.centre)),
        error=round(float(np.expm1(found.error)), 4),
        error_low=round(float(np.expm1(low)), 4),
        error_high=round(float(np.expm1(high)), 4),
        verdict=found.finding,
    )


def check_warnings(found: SelfCheck) -> list[str]:
    """Return a sentence for what is off, and the reasons; nothing if nothing is off."""
    off = [row for row in found.rows if row.verdict == "off"]
    reasons = [f"self-check: {reason}" for reason in found.reasons[:_LISTED]]
    if not off:
        return reasons
    values = ", ".join(f"{row.endpoint} {row.metric} ({row.error:+.0%})" for row in off[:_LISTED])
    more = f" and {len(off) - _LISTED} more" if len(off) > _LISTED else ""
    return [f"self-check: the twin does not repeat its own recording: {values}{more}", *reasons]
