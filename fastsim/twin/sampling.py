"""Make a Workload of a model: when requests arrive, and which program each of them runs.

What the requests draw is drawn when they run (``fastsim.twin.draws``). A change to one step, or
to the deployment, leaves all other draws as they were: common random numbers.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fastsim.bursts import Bursts
from fastsim.errors import InputError, UnknownNameError
from fastsim.load.arrivals import Jumps, Rates
from fastsim.load.course import Course
from fastsim.load.source import Source
from fastsim.means import mix_mean_s
from fastsim.model import ServiceModel
from fastsim.scenario import Spacing, Users
from fastsim.streams import stream
from fastsim.twin.compiling import compile_model
from fastsim.twin.draws import key_of, uniforms
from fastsim.twin.tables import Choice
from fastsim.twin.users import UserTraffic, idle_cycle_s, most_requests
from fastsim.twin.workload import FloatArray, IntArray, Workload

_APART = 20.0
"""Mean distance of requests that hardly meet, in mean lengths of one."""


def sample(
    model: ServiceModel,
    *,
    rate_per_s: float,
    duration_s: float,
    seed: int,
    mix: Mapping[str, float] | None = None,
    arrivals: Spacing = "poisson",
    bursts: Bursts | None = None,
    warmup_s: float = 0.0,
    course: Course | None = None,
) -> Workload:
    """Draw open-loop traffic and everything its requests do.

    Parameters
    ----------
    rate_per_s
        Mean arrivals per second.
    duration_s, warmup_s
        Length of the traffic, seconds, and of what comes before it.
    mix
        Share per endpoint; the recorded mix when None or empty.
    arrivals
        ``poisson`` (independent), ``uniform`` (evenly spaced) or ``bursty`` (in clusters, as they
        were recorded).
    bursts
        Other clusters than those.
    course
        The rate over time, after the warm-up.

    Raises
    ------
    InputError
        When the rate or duration is not positive, or the mix has no weight.
    UnknownNameError
        When the mix names an endpoint the model does not have.
    """
    if not rate_per_s > 0.0 or not duration_s > 0.0:
        raise InputError(f"rate and duration must be positive, not {rate_per_s} and {duration_s}")
    rates = Rates.of(rate_per_s, duration_s, warmup_s=warmup_s, course=course)
    jumps = None if bursts is None else Jumps.by_hand(bursts)
    if arrivals == "bursty" and model.traffic is not None and model.traffic.burst is not None:
        jumps = Jumps.of(model.traffic.rate, model.traffic.burst)
    if jumps is not None:
        rates = rates.jumping(jumps, stream(seed, "bursts"))
    times = rates.arrivals(stream(seed, "arrivals"), evenly=arrivals == "uniform")
    return sample_at(model, times, _endpoints(model, times - warmup_s, seed, mix, course), seed)


def _endpoints(
    model: ServiceModel,
    at_s: FloatArray,
    seed: int,
    mix: Mapping[str, float] | None,
    course: Course | None,
) -> IntArray:
    """Draw what each request asks for."""
    uniform = uniforms(key_of(seed, "mix"), np.arange(len(at_s)))
    chosen = _chosen(model, mix, uniform)
    for stretch in course.stretches if course is not None else ():
        if stretch.mix:
            rows = slice(*np.searchsorted(at_s, [stretch.start_s, stretch.end_s]).tolist())
            chosen[rows] = _chosen(model, stretch.mix, uniform[rows])
    return chosen


def _chosen(model: ServiceModel, mix: Mapping[str, float] | None, uniform: FloatArray) -> IntArray:
    shares = _shares(model, mix)
    which = Choice(shares.tolist(), [float(number) for number in range(len(shares))])
    return which.many(uniform).astype(np.int64)


def sample_at(
    model: ServiceModel, arrival_s: FloatArray, endpoint: IntArray, seed: int
) -> Workload:
    """Make a workload of requests that arrive at given times for given endpoints.

    Parameters
    ----------
    arrival_s
        Shape (n,), seconds, not decreasing.
    endpoint
        Shape (n,), index into ``model.endpoints``.
    """
    arrival_s, endpoint = np.asarray(arrival_s, np.float64), np.asarray(endpoint, np.int64)
    often = np.bincount(endpoint, minlength=len(model.endpoints)) / max(len(endpoint), 1)
    program = compile_model(model, often.tolist())
    entry = np.array(program.entries, np.int64)[endpoint]
    return Workload(program, arrival_s, endpoint, entry, seed)


def sample_source(
    model: ServiceModel,
    source: Source,
    *,
    rate_per_s: float,
    duration_s: float,
    seed: int,
    mix: Mapping[str, float] | None = None,
    warmup_s: float = 0.0,
) -> Workload:
    """Take the requests of a source, and draw everything they do.

    Parameters
    ----------
    mix
        Share per endpoint of the requests of which the source does not say what they ask for.

    Raises
    ------
    InputError
        When the source has no requests, or fails.
    UnknownNameError
        When it names an endpoint the model does not have.
    """
    came = source.arrivals(rate_per_s, duration_s, seed).warmed_up(warmup_s, duration_s)
    names = [endpoint.name for endpoint in model.endpoints]
    for name in came.names:
        if name not in names:
            raise UnknownNameError("endpoint", name, names, where="source")
    endpoint = came.in_terms_of(names)
    drawn = _chosen(model, mix, uniforms(key_of(seed, "mix"), np.arange(len(endpoint))))
    endpoint = np.where(endpoint < 0, drawn, endpoint)
    return sample_at(model, came.at_s + warmup_s, endpoint, seed)


def _shares(model: ServiceModel, mix: Mapping[str, float] | None) -> FloatArray:
    names = [endpoint.name for endpoint in model.endpoints]
    if mix:
        for name in mix:
            if name not in names:
                raise UnknownNameError("endpoint", name, names)
        shares = np.array([mix.get(name, 0.0) for name in names])
    else:
        shares = np.array([endpoint.share for endpoint in model.endpoints])
    if not shares.sum() > 0.0:
        raise InputError("the mix gives no endpoint any share")
    return shares


def sample_apart(
    model: ServiceModel, requests: int, mix: Mapping[str, float] | None = None
) -> Workload:
    """Draw requests so far apart that they hardly meet, in the mean."""
    rate = 1.0 / max(_APART * mix_mean_s(model, mix), 1e-3)
    return sample(
        model, rate_per_s=rate, duration_s=requests / rate, seed=0, mix=mix, arrivals="uniform"
    )


def sample_users(
    model: ServiceModel,
    users: Users,
    *,
    duration_s: float,
    seed: int,
    mix: Mapping[str, float] | None = None,
) -> Workload:
    """Make room for the requests of users who wait for answers, and the users.

    Parameters
    ----------
    duration_s
        How long they go on, seconds.
    """
    cycle_s = max(idle_cycle_s(model, users, mix), 1e-6)
    count = most_requests(users, duration_s, cycle_s)
    endpoint = _chosen(model, mix, uniforms(key_of(seed, "mix"), np.arange(count)))
    traffic = UserTraffic(
        count=users.count,
        think_s=users.think,
        steady=users.steady,
        overhead_s=model.client.overhead,
        until_s=duration_s,
        seed=seed,
        cycle_s=cycle_s,
    )
    return replace(sample_at(model, np.full(count, np.nan), endpoint, seed), users=traffic)
