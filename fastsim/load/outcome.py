"""Turn what the driver noted into a ``Run``: summaries, time series, warnings.

Requests due in the warm-up are dropped. Times of the ``Run`` count from the end of the
warm-up. What happens in the measured time (throughput, requests in flight) includes
warm-up requests that finish in it, because the service did that work then.
"""

from collections import Counter
from itertools import pairwise
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

import fastsim
from fastsim.load.course import Stretch
from fastsim.load.driver import OUT_OF_SOCKETS, LoadResult
from fastsim.load.intervals import latency_estimates, rate_estimate
from fastsim.result import (
    DriverUse,
    PhaseResult,
    RequestTable,
    Run,
    RunProvenance,
    Series,
    Summary,
)
from fastsim.units import format_duration, format_share

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WINDOW_S = 1.0
_LATE_S = 0.005
_SATURATED = 0.8


def to_run(result: LoadResult, *, command: str = "", inputs: dict[str, str] | None = None) -> Run:
    """Summarise a finished or stopped run.

    Parameters
    ----------
    command, inputs
        Provenance: the command line, and file names with their sha256.
    """
    view = _View(result)
    schedule = result.schedule
    return Run(
        source="live",
        title=urlsplit(result.base_url).netloc,
        seed=schedule.seed,
        rate_per_s=schedule.rate_per_s,
        duration_s=view.duration_s,
        warmup_s=schedule.warmup_s,
        total=view.summary(np.ones(len(schedule), dtype=np.bool_)),
        endpoints={
            name: view.summary(view.endpoint == index) for index, name in enumerate(view.names)
        },
        series=view.series(),
        phases=view.phases(),
        warnings=view.warnings(),
        provenance=RunProvenance(
            command=command, fastsim_version=fastsim.__version__, inputs=inputs or {}
        ),
        driver=view.driver(),
        table=view.table(),
    )


class _View:
    """The result's columns, shifted to the measured time."""

    def __init__(self, result: LoadResult) -> None:
        schedule = result.schedule
        self.result = result
        self.names = list(dict.fromkeys(target.endpoint for target in schedule.targets))
        of_target = np.array([self.names.index(t.endpoint) for t in schedule.targets])
        self.endpoint = of_target[schedule.target]
        self.due_s = schedule.at_s - schedule.warmup_s
        self.done_s = result.done_s - schedule.warmup_s
        self.duration_s = schedule.duration_s
        if result.stopped:
            self.duration_s = min(self.duration_s, max(0.0, result.elapsed_s - schedule.warmup_s))
        self.latency_s = result.done_s - schedule.at_s
        self.lag_s = result.sent_s - schedule.at_s
        failed = np.array([bool(cause) for cause in result.cause], dtype=np.bool_)
        self.sent = ~np.isnan(result.sent_s)
        self.finished = ~np.isnan(result.done_s)
        self.ok = self.finished & ~failed
        self.counted = self.sent & (self.due_s >= 0.0)

    def summary(self, chosen: Flags) -> Summary:
        counted = chosen & self.counted
        ok = counted & self.ok
        failed = np.flatnonzero(counted & self.finished & ~self.ok)
        causes = Counter(self.result.cause[index] for index in failed)
        return Summary(
            requests=int(counted.sum()),
            completed=int(ok.sum()),
            failed=len(failed),
            in_flight=int((counted & ~self.finished).sum()),
            errors=dict(sorted(causes.items())),
            throughput=rate_estimate(self.done_s[chosen & self.ok], 0.0, self.duration_s),
            latency=latency_estimates(self.latency_s[ok]),
        )

    def series(self) -> Series:
        # A stopped run ends mid-window: a shorter last window would read as a drop.
        windows = int(np.floor(self.duration_s / WINDOW_S + 1e-9))
        if not windows:
            return Series(window_s=WINDOW_S)
        edges = np.arange(windows + 1, dtype=np.float64) * WINDOW_S
        quantiles = self._quantiles(edges)
        return Series(
            window_s=WINDOW_S,
            start_s=edges[:-1].tolist(),
            arrivals=np.histogram(self.due_s[self.counted], edges)[0].tolist(),
            completions=np.histogram(self.done_s[self.ok], edges)[0].tolist(),
            p50_s=[pair[0] for pair in quantiles],
            p95_s=[pair[1] for pair in quantiles],
            in_flight=(np.diff(self._time_in_flight(edges)) / WINDOW_S).tolist(),
        )

    def phases(self) -> list[PhaseResult]:
        """Return what each phase was like, as far as the run went."""
        schedule = self.result.schedule
        course, rate = schedule.course, schedule.rate_per_s
        return [
            stretch.result(
                rate,
                self._phase(stretch),
                utilisation=None,
                waiting=float(
                    (self.due_s[self.sent] < stretch.end_s).sum()
                    - (self.done_s[self.finished] < stretch.end_s).sum()
                ),
            )
            for stretch in (course.told_apart if course is not None else ())
            if stretch.start_s < self.duration_s
        ]

    def _phase(self, stretch: Stretch) -> Summary:
        due = (self.due_s >= stretch.start_s) & (self.due_s < stretch.end_s)
        found = self.summary(due)
        done_s = self.done_s[self.ok]
        end_s = min(stretch.end_s, self.duration_s)
        rate = rate_estimate(done_s, stretch.start_s, end_s)
        return found.model_copy(update={"throughput": rate})

    def _quantiles(self, edges: Floats) -> list[tuple[float | None, float | None]]:
        """Return p50 and p95 of the requests due in each window."""
        rows = np.flatnonzero(self.counted & self.ok)
        cuts = np.searchsorted(self.due_s[rows], edges).tolist()
        found: list[tuple[float | None, float | None]] = []
        for first, last in pairwise(cuts):
            if first == last:
                found.append((None, None))
                continue
            p50_s, p95_s = np.quantile(self.latency_s[rows[first:last]], [0.5, 0.95])
            found.append((float(p50_s), float(p95_s)))
        return found

    def _time_in_flight(self, at_s: Floats) -> Floats:
        # The integral of the number in flight up to each moment.
        return _time_since(self.due_s[self.sent], at_s) - _time_since(
            self.done_s[self.finished], at_s
        )

    def table(self) -> RequestTable:
        rows = np.flatnonzero(self.counted & self.finished)
        return RequestTable(
            endpoints=self.names,
            endpoint=self.endpoint[rows].tolist(),
            scheduled_s=self.due_s[rows].tolist(),
            lag_s=self.lag_s[rows].tolist(),
            latency_s=self.latency_s[rows].tolist(),
            ok=self.ok[rows].tolist(),
            trace_id=[self.result.trace_ids[row] for row in rows],
        )

    def driver(self) -> DriverUse | None:
        if not self.counted.any():
            return None
        lag_s = self.lag_s[self.counted]
        elapsed_s = max(self.result.elapsed_s, 1e-9)
        return DriverUse(
            lag_mean_s=float(lag_s.mean()),
            lag_p99_s=float(np.quantile(lag_s, 0.99)),
            lag_max_s=float(lag_s.max()),
            cpu_per_request_s=self.result.cpu_s / int(self.sent.sum()),
            cpu_share=self.result.cpu_s / elapsed_s,
        )

    def warnings(self) -> list[str]:
        found = []
        use = self.driver()
        if self.result.stopped:
            found.append(
                f"stopped early: {format_duration(self.duration_s)} of "
                f"{format_duration(self.result.schedule.duration_s)} measured"
            )
        if use is not None and use.lag_p99_s > _LATE_S:
            found.append(
                f"the driver was late: 1 % of the requests left more than "
                f"{format_duration(use.lag_p99_s, 3)} after they were due, which counts as latency"
            )
        if use is not None and use.cpu_share > _SATURATED:
            found.append(
                f"the driver used {format_share(use.cpu_share, 3)} of a core: "
                "latencies include its own queue; lower the rate"
            )
        if OUT_OF_SOCKETS in self.result.cause:
            found.append("the driver ran out of sockets or open files: those failures are its own")
        return found


def _time_since(moments_s: Floats, at_s: Floats) -> Floats:
    """Return the sum over moments of max(0, at - moment), for each ``at_s``."""
    ordered = np.sort(moments_s)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    before = np.searchsorted(ordered, at_s)
    result: Floats = before * at_s - sums[before]
    return result
