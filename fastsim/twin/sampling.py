"""Make a Workload of a model: when requests arrive, and which program each of them runs.

What the requests draw is drawn when they run (``fastsim.twin.draws``). A change to one step, or
to the deployment, leaves all other draws as they were: common random numbers.
"""

from collections.abc import Mapping

import numpy as np

from fastsim.errors import InputError, UnknownNameError
from fastsim.model import ServiceModel
from fastsim.twin.compiling import compile_model
from fastsim.twin.draws import key_of, uniforms
from fastsim.twin.streams import stream
from fastsim.twin.tables import Choice
from fastsim.twin.workload import FloatArray, IntArray, Workload


def sample(
    model: ServiceModel,
    *,
    rate_per_s: float,
    duration_s: float,
    seed: int,
    mix: Mapping[str, float] | None = None,
    arrivals: str = "poisson",
) -> Workload:
    """Draw open-loop traffic and everything its requests do.

    Parameters
    ----------
    rate_per_s
        Mean arrivals per second.
    duration_s
        Length of the traffic, seconds.
    mix
        Share per endpoint; the recorded mix when None or empty.
    arrivals
        ``poisson`` (independent) or ``uniform`` (evenly spaced).

    Raises
    ------
    InputError
        When the rate or duration is not positive, or the mix has no weight.
    UnknownNameError
        When the mix names an endpoint the model does not have.
    """
    if not rate_per_s > 0.0 or not duration_s > 0.0:
        raise InputError(f"rate and duration must be positive, not {rate_per_s} and {duration_s}")
    times = _arrival_times(rate_per_s, duration_s, seed, arrivals)
    shares = _shares(model, mix)
    which = Choice(shares.tolist(), [float(number) for number in range(len(shares))])
    drawn = which.many(uniforms(key_of(seed, "mix"), np.arange(len(times))))
    return sample_at(model, times, drawn.astype(np.int64), seed)


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


def _arrival_times(rate: float, duration_s: float, seed: int, arrivals: str) -> FloatArray:
    if arrivals == "uniform":
        return np.arange(0.5 / rate, duration_s, 1.0 / rate)
    rng = stream(seed, "arrivals")
    blocks: list[FloatArray] = []
    last = 0.0
    while last < duration_s:
        block = last + np.cumsum(rng.exponential(1.0 / rate, int(rate * duration_s) + 100))
        blocks.append(block)
        last = float(block[-1])
    times = np.concatenate(blocks)
    return times[times < duration_s]


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
