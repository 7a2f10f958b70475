"""A coarse model from metrics alone: histograms of latency, and the CPU of the processes.

The last resort of who has no traces. Code is the CPU of a process per request, the same for every
endpoint, because no metric tells them apart; the rest of an endpoint's latency is one wait, whose
law is fitted to the buckets as to intervals. Queueing for the event loop is in the latencies and is
taken out of the waits until the twin, at the rate that was counted, gives the counted means.
"""

import numpy as np
import numpy.typing as npt

from fastsim import __version__
from fastsim.calibrate.fit import fit_distribution
from fastsim.calibrate.loop_queueing import shortened
from fastsim.distributions import mean, scaled
from fastsim.errors import InputError, NotEnoughDataError
from fastsim.load.tools.prometheus import Histogram, Metrics
from fastsim.model import (
    CpuStep,
    Distribution,
    Endpoint,
    Gamma,
    LoopCosts,
    Process,
    Provenance,
    ServiceModel,
    SpeedDoubt,
    Traffic,
    Variant,
    WaitStep,
)
from fastsim.scenario import TrafficPlan
from fastsim.spans import StepKind, Via
from fastsim.twin import forecast_run

FloatArray = npt.NDArray[np.float64]

LEAST_REQUESTS = 200
CODE_SHAPE = 4.0
"""Of the gamma law that code is taken to follow: it varies by half its mean."""
CODE_DOUBT = 0.25
"""Standard error of an endpoint's code, relative: nobody knows how endpoints differ."""
MOST_CODE = 0.9
"""No more of an endpoint's mean latency is taken for code."""
FITTED = 4_000
BEYOND = 4.0
"""A latency above the last bound is at most so many times it."""
_SIMULATED = 4_000


def model_from_metrics(
    metrics: Metrics,
    *,
    service: str,
    busy: float | None = None,
    loops: int = 1,
    command: str = "",
    data_sha256: str = "",
) -> ServiceModel:
    """Fit a coarse model.

    Parameters
    ----------
    busy
        CPU of each process, of one core, where it is not among the metrics.
    loops
        Processes (event loops) that served these requests.

    Raises
    ------
    NotEnoughDataError
        With fewer than 200 requests.
    InputError
        When nothing says how much CPU was used.
    """
    requests = metrics.total.requests
    if requests < LEAST_REQUESTS:
        raise NotEnoughDataError(
            f"the metrics count {requests:.0f} requests",
            hint=f"count at least {LEAST_REQUESTS}, for longer",
        )
    used_s = metrics.cpu_s if busy is None else busy * metrics.over_s * loops
    if used_s is None:
        raise InputError(
            "these metrics do not tell code from waiting: there is no process_cpu_seconds_total",
            hint="say the CPU of each process, of one core: --busy 40%",
            where="--busy",
        )
    code_s = used_s / requests
    endpoints = [
        Endpoint(
            name=name,
            share=histogram.requests / requests,
            requests=round(histogram.requests),
            variants=_variants(histogram, code_s),
        )
        for name, histogram in sorted(metrics.endpoints.items())
    ]
    model = ServiceModel(
        service=service,
        provenance=Provenance(command=command, fastsim=__version__, data_sha256=data_sha256),
        warnings=_said(metrics, code_s),
        process=Process(workers=loops, cores=loops),
        traffic=Traffic(
            rate=metrics.rate_per_s,
            duration=metrics.over_s,
            utilisation=min(used_s / (metrics.over_s * loops), 1.0),
        ),
        loop=LoopCosts(doubt=SpeedDoubt(error=CODE_DOUBT)),
        endpoints=endpoints,
    )
    counted_s = {name: _mean_s(histogram) for name, histogram in metrics.endpoints.items()}
    return shortened(model, lambda tried, number: _means(tried, counted_s, metrics, number))


def _variants(histogram: Histogram, code_s: float) -> list[Variant]:
    """Return a path that succeeds, and one that fails where some did; both take as long."""
    mean_s = _mean_s(histogram)
    code = CpuStep(time=Gamma(mean=max(min(code_s, MOST_CODE * mean_s), 1e-9), shape=CODE_SHAPE))
    wait = WaitStep(kind=StepKind.IO, via=Via.SOCKET, time=_wait(histogram, mean_s, code_s))
    failed = histogram.failed / histogram.requests
    paths = [Variant(name="main", share=1.0 - failed, steps=[code, wait])]
    if failed > 0.0:
        paths.append(Variant(name="failed", share=failed, failed=True, steps=[code, wait]))
    return paths


def _wait(histogram: Histogram, mean_s: float, code_s: float) -> Distribution:
    """Return the law of what is no code; as long as the whole latency less the code."""
    counts = np.array(histogram.counts)
    count = min(round(histogram.requests), FITTED)
    upper = np.array(histogram.upper_s)
    lower = np.concatenate([[0.0], upper[:-1]])
    upper = np.where(np.isinf(upper), BEYOND * np.maximum(lower, mean_s), upper)
    # As many of each bucket as there are, rounded so that none is lost.
    ends = np.round(np.cumsum(counts) / counts.sum() * count).astype(np.int64)
    each = np.diff(ends, prepend=0)
    law = fit_distribution(np.repeat(upper, each), np.repeat(upper - lower, each))
    wanted_s = max(mean_s - code_s, (1.0 - MOST_CODE) * mean_s)
    now_s = mean(law)
    return scaled(law, wanted_s / now_s) if now_s > 0.0 else law


def _mean_s(histogram: Histogram) -> float:
    """Return the mean latency, seconds: as it was counted, else by the middles of the buckets."""
    if histogram.mean_s is not None:
        return histogram.mean_s
    upper = np.array(histogram.upper_s)
    lower = np.concatenate([[0.0], upper[:-1]])
    middle = np.where(np.isinf(upper), lower, (lower + upper) / 2.0)
    return float(np.average(middle, weights=histogram.counts))


def _means(
    model: ServiceModel, counted_s: dict[str, float], metrics: Metrics, number: int
) -> dict[str, tuple[float, float]]:
    """Return the mean latency of each endpoint, as counted and of the twin, seconds."""
    rate = metrics.rate_per_s
    found = forecast_run(
        model,
        traffic=TrafficPlan(rate=rate, duration=max(_SIMULATED / rate, 5.0)),
        replications=3,
        seed=1 + number,
    )[1]
    means: dict[str, tuple[float, float]] = {}
    for name, live_s in counted_s.items():
        each = np.concatenate([run.latency_s(name, "server") for run in found.runs])
        if len(each):
            means[name] = (live_s, float(each.mean()))
    return means


def _said(metrics: Metrics, code_s: float) -> list[str]:
    return [
        (
            "from metrics alone: the code of every endpoint is taken to be the CPU of a process "
            f"per request, {code_s * 1e3:.3g} ms, and the rest of its latency one wait, known to "
            "the buckets of its histogram; pools, threads and what endpoints differ by are not "
            "seen (traces, or fastsim record, see them)"
        ),
        *metrics.remarks,
    ]
