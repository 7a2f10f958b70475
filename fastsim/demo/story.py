"""The demo, step by step: measure the machine, record and measure in turns, predict, compare.

The machine decides what the loads are: shares of the capacity that is measured first. Recording
and measuring take turns in short slices, two processes of one service of which one is idle
while the other works, so that the machine's changing speed hits both alike. The twin is fitted
to the recorded slices and sees nothing of the others but when their requests arrived.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fastsim.calibrate.build import build_model, hash_inputs, read_requests
from fastsim.calibrate.client_path import fit_client_overhead
from fastsim.calibrate.drift import code_speed
from fastsim.calibrate.selfcheck import check_warnings, replay_recording
from fastsim.demo.servers import EXAMPLES, Cores, Services
from fastsim.load.capacity import measure_capacity
from fastsim.load.driver import LoadResult
from fastsim.load.outcome import to_run
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.slices import join
from fastsim.load.traffic_file import Mix, read_traffic_file
from fastsim.model import ClientPath, Resource, ServiceModel
from fastsim.report.html import render_html
from fastsim.report.json import to_json
from fastsim.result import CompareRow, Comparison, Run
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin import (
    ArrivalReplay,
    Compared,
    Forecast,
    LiveSample,
    compare,
    forecast_run,
    judge,
    together,
)
from fastsim.twin.capacity import find_capacity
from fastsim.twin.compare import TOTAL
from fastsim.twin.doubt import busy_loop_sd, processor_warnings
from fastsim.twin.planning import make_plan
from fastsim.twin.processes import Jobs, shared
from fastsim.twin.statistics import normal_quantile, student_quantile
from fastsim.yaml_writing import dump_yaml

POOL = "sqlalchemy"
RECORDED_POOL = 5

SAME_SPEED = 0.04
"""Code whose CPU differs by less between two recordings ran at the same speed."""

DISTURBED_S = 0.02
"""A slice in which 1 % of the requests left later than this is taken again, once."""

CAPACITY_TOLERANCE = 0.10

Say = Callable[[str], None]
Bar = Callable[[str, float], None]
"""Called with what goes on and the part of the whole demo that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the demo does; loads are shares of the measured capacity, durations in seconds."""

    recorded: float = 0.40
    predicted: float = 0.75
    other_pool: int = 2
    other: float = 0.55
    """Load with the other pool."""
    rounds: int = 4
    recorded_slice_s: float = 3.2
    predicted_slice_s: float = 5.5
    other_slice_s: float = 2.5
    warm_up_s: float = 2.0
    """Load before anything counts: code runs slowly the first hundred times."""
    burst_s: float = 1.2
    """Length of each measurement of the capacity."""
    replications: int = 40
    seed: int = 7


@dataclass(slots=True)
class _Measured:
    """What the slices gave."""

    recorded: list[LoadResult] = field(default_factory=list)
    predicted: list[LoadResult] = field(default_factory=list)
    other: list[LoadResult] = field(default_factory=list)
    capacity_per_s: list[float] = field(default_factory=list)
    repeated: int = 0
    """Slices that were taken again."""
    warm_up_s: float = 0.0
    """For how long the recorded service warmed up, from its first request."""


@dataclass(slots=True)
class DemoResult:
    """Everything the demo found."""

    model: ServiceModel
    table: Comparison
    """The few values that the demo is about."""
    comparisons: list[Comparison] = field(default_factory=list)
    """The whole of each comparison behind it."""
    twin_runs: list[Run] = field(default_factory=list)
    live_runs: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    report: Path | None = None


def run_demo(directory: Path, settings: Settings, say: Say, bar: Bar) -> DemoResult:
    """Do the whole demo; files go to ``directory``, which must exist and be empty."""
    mix = read_traffic_file(EXAMPLES / "shop" / "traffic.yaml")
    cores = Cores()
    recording, live, other = (directory / name for name in ("recording", "live", "live-pool"))
    with Services(directory, cores) as services:
        bar("starting the services", 0.02)
        small = {"SHOP_DB_POOL": str(settings.other_pool)}
        usual = {"SHOP_DB_POOL": str(RECORDED_POOL)}
        urls = (
            services.start_shop(recording, usual),
            services.start_shop(live, usual),
            services.start_shop(other, small),
        )
        bar("measuring what this machine can do", 0.08)
        with cores.use(cores.others):
            capacity = measure_capacity(urls[1], mix, duration_s=3.0, seed=settings.seed).per_s
            say(
                f"this machine saturates at about {capacity:.3g} requests/s; loads are shares of "
                "that, measured anew before every turn"
            )
            measured = _take_turns(urls, mix, capacity, settings, bar)
        services.stop_shops()
    bar("calibrating", 0.72)
    joined = to_run(join(measured.recorded))
    model = _calibrate(recording, joined, directory, measured.warm_up_s)
    bar("predicting and comparing", 0.85)
    result = _compare(model, measured, settings)
    result.notes += _notes(cores, measured, settings)
    if result.table.verdict == "off":
        result.notes += _speeds(model, recording, live)
    bar("writing the report", 0.97)
    result.report = _write(result, directory)
    return result


def _take_turns(
    urls: tuple[str, str, str], mix: Mix, capacity: float, settings: Settings, bar: Bar
) -> _Measured:
    """Record, measure, measure with the other pool, and saturate, in turns."""
    found = _Measured()
    # The service that is measured has warmed up while its capacity was.
    begun = time.monotonic()
    _slice(urls[0], mix, settings.recorded * capacity, settings.warm_up_s, settings.seed)
    found.warm_up_s = time.monotonic() - begun
    _slice(urls[2], mix, settings.other * capacity, settings.warm_up_s, settings.seed)
    for number in range(settings.rounds):
        # The machine may be slower by now: loads are shares of what it can do at the moment.
        burst = measure_capacity(urls[1], mix, duration_s=settings.burst_s, seed=number + 2)
        found.capacity_per_s.append(burst.per_s)
        capacity = float(np.median(found.capacity_per_s))
        bar(
            f"recording and measuring, turn {number + 1} of {settings.rounds}", 0.15 + 0.14 * number
        )
        for url, share, length_s, kept in (
            (urls[0], settings.recorded, settings.recorded_slice_s, found.recorded),
            (urls[1], settings.predicted, settings.predicted_slice_s, found.predicted),
            (urls[2], settings.other, settings.other_slice_s, found.other),
        ):
            seed = settings.seed * 1000 + number * 10 + len(kept)
            result = _slice(url, mix, share * capacity, length_s, seed)
            if _disturbed(result):
                found.repeated += 1
                result = _slice(url, mix, share * capacity, length_s, seed)
            kept.append(result)
    return found


def _slice(url: str, mix: Mix, rate_per_s: float, length_s: float, seed: int) -> LoadResult:
    schedule = draw_schedule(mix, rate_per_s=rate_per_s, duration_s=length_s, seed=seed)
    result = run_load(url, schedule)
    if result.stopped:
        raise KeyboardInterrupt
    return result


def _disturbed(result: LoadResult) -> bool:
    """Tell whether the driver itself could not keep to its schedule."""
    late_s = result.sent_s - result.schedule.at_s
    return bool(np.quantile(late_s[np.isfinite(late_s)], 0.99) > DISTURBED_S)


def _calibrate(recording: Path, recorded: Run, directory: Path, warm_up_s: float) -> ServiceModel:
    requests = read_requests([recording], skip_first_s=warm_up_s)
    model = build_model(requests, command="fastsim demo", data_sha256=hash_inputs([recording]))
    found = replay_recording(model, requests)
    overhead = fit_client_overhead(recorded, requests, found.before_application_s)
    model = model.model_copy(
        update={
            "self_check": found.rows,
            "warnings": check_warnings(found) + model.warnings,
            "client": ClientPath(overhead=overhead),
        }
    )
    (directory / "model.yaml").write_text(dump_yaml(model), encoding="utf-8")
    return model


def _compare(model: ServiceModel, measured: _Measured, settings: Settings) -> DemoResult:
    """Ask the twin at the arrivals that were live, and set both side by side."""
    cases = (
        (f"{settings.predicted:.0%} load", measured.predicted, RECORDED_POOL),
        (f"{settings.other:.0%}, pool {settings.other_pool}", measured.other, settings.other_pool),
    )
    result = DemoResult(model, Comparison(mode="arrival replay", rows=[], verdict="cannot tell"))
    rows: list[CompareRow] = []
    lives = [to_run(join(slices)).model_copy(update={"title": title}) for title, slices, _ in cases]
    samples = [replace(LiveSample.of_run(live), recorded=True) for live in lives]
    with shared(None) as jobs:
        forecasts = [
            _forecast(model, sample, pool, settings, jobs)
            for sample, (_, _, pool) in zip(samples, cases, strict=True)
        ]
    asked = zip(cases, lives, samples, forecasts, strict=True)
    for number, ((title, _, _), live, sample, forecast) in enumerate(asked):
        wanted = _wanted(sample, endpoints=3 if number == 0 else 1)
        found = compare(
            forecast.replications, sample, mode="arrival replay", counting=wanted
        ).model_copy(update={"title": title})
        result.live_runs.append(live)
        result.twin_runs.append(forecast.run.model_copy(update={"title": title}))
        result.comparisons.append(found)
        rows += [_titled(row, title) for row in found.rows if row.counts or _refutes(row)]
    rows.append(_saturation(model, measured.capacity_per_s, settings))
    result.table = Comparison(
        mode="arrival replay",
        title=f"shop, this machine saturates at {np.median(measured.capacity_per_s):.3g}/s",
        rows=rows,
        tolerance={metric: result.comparisons[0].tolerance[metric] for metric in ("p50", "p95")}
        | {"rate": CAPACITY_TOLERANCE},
        verdict=together([row.verdict for row in rows if row.counts or _refutes(row)]),
        needed_s=_needed_s(result.comparisons),
        warnings=model.warnings
        + processor_warnings(
            model.loop, sum(run.duration_s for run in result.live_runs) / len(cases)
        ),
    )
    return result


def _needed_s(found: list[Comparison]) -> float | None:
    """Return how long a live run would tell all of them, seconds; None if none would."""
    needed = [each.needed_s for each in found if each.verdict == "cannot tell"]
    known = [length_s for length_s in needed if length_s is not None]
    return max(known) if known and len(known) == len(needed) else None


def _forecast(
    model: ServiceModel, live: LiveSample, pool: int, settings: Settings, jobs: Jobs
) -> Forecast:
    model = model.with_recorder()
    names = [endpoint.name for endpoint in model.endpoints]
    live, _ = live.known_to(names)
    code = np.array([names.index(name) if name in names else -1 for name in live.endpoints])
    resources = {POOL: Resource(capacity=pool)} if pool != RECORDED_POOL else {}
    return forecast_run(
        model,
        traffic=TrafficPlan(rate=live.rate_per_s, duration=live.duration_s, warmup=0.0),
        deployment=Deployment(resources=resources),
        replications=settings.replications,
        seed=settings.seed,
        arrivals=ArrivalReplay(live.at_s, code[live.endpoint]),
        doubtful=True,
        jobs=jobs,
        with_table=True,
    )


def _wanted(live: LiveSample, *, endpoints: int) -> set[tuple[str, str]]:
    """Return what the table shows: the total, and the p50 of what is asked for most."""
    shares = live.shares()
    most = sorted(shares, key=lambda name: -shares[name])[:endpoints]
    return {(TOTAL, "p50"), (TOTAL, "p95"), *((name, "p50") for name in most)}


def _titled(row: CompareRow, title: str) -> CompareRow:
    name = title if row.endpoint == TOTAL else f"{title}, {row.endpoint}"
    return row.model_copy(update={"endpoint": name})


def _refutes(row: CompareRow) -> bool:
    return row.endpoint == TOTAL and row.metric == "errors" and row.verdict == "off"


def _saturation(model: ServiceModel, measured: list[float], settings: Settings) -> CompareRow:
    """Return the predicted saturation rate beside the measured one."""
    start = TrafficPlan(rate=settings.predicted * float(np.mean(measured)))
    plan = make_plan(model.with_recorder(), start, Deployment())
    capacity = find_capacity(plan, seed=settings.seed)
    twin = float("nan") if capacity is None else capacity.per_s
    logs = np.log(measured)
    # The mean of a few bursts: its standard error by Student's t.
    bursts = student_quantile(len(logs) - 1) * float(logs.std(ddof=1)) / np.sqrt(len(logs))
    # What the recording does not know about the processor, the twin's capacity does not either.
    recorded = np.hypot(model.loop.doubt.error, busy_loop_sd(model.loop))
    half = float(np.hypot(bursts, normal_quantile() * recorded))
    compared = Compared(
        float(logs.mean()),
        float(np.log(twin)),
        float(np.log1p(CAPACITY_TOLERANCE)),
        least_half=half,
        runs=2,
        log=True,
    )
    [found] = judge([compared])
    return CompareRow(
        endpoint="saturation",
        metric="rate",
        unit="/s",
        requests=0,
        live=float(np.exp(logs.mean())),
        twin=twin,
        error=float(np.expm1(found.error)),
        error_low=float(np.expm1(found.error - found.half)),
        error_high=float(np.expm1(found.error + found.half)),
        counts=True,
        verdict=found.finding,
    )


def _speeds(model: ServiceModel, recording: Path, live: Path) -> list[str]:
    """Say whether the same code took the same CPU in the recorded and the measured slices."""
    cold = model.loop.cold
    ratio = code_speed(read_requests([live]), cold).ratio_to(
        code_speed(read_requests([recording]), cold)
    )
    if ratio is None or abs(ratio - 1.0) <= SAME_SPEED:
        return []
    change = f"{abs(ratio - 1.0):.0%} {'less' if ratio < 1.0 else 'more'} CPU"
    return [
        (
            f"the same code took {change} where it was measured than where it was recorded, slices "
            "taken in turns: load changes the cost of code more than the model knows, or the "
            "machine changed within seconds"
        )
    ]


def _notes(cores: Cores, measured: _Measured, settings: Settings) -> list[str]:
    requests = sum(len(each.schedule) for each in measured.recorded)
    notes = [
        (
            f"fitted to {requests} requests at {settings.recorded:.0%} of the capacity; twin and "
            "live ran with the recorder attached; latencies are the client's, from the moment a "
            "request was due"
        )
    ]
    if not cores.separate:
        notes.append(
            "only one core: driver, dependencies and shop disturbed each other, so live latencies "
            "are too long"
        )
    if measured.repeated:
        notes.append(f"{measured.repeated} disturbed slices were taken again")
    return notes


def _write(result: DemoResult, directory: Path) -> Path:
    for number, (twin, live, found) in enumerate(
        zip(result.twin_runs, result.live_runs, result.comparisons, strict=True), start=1
    ):
        for name, value in (("twin", twin), ("live", live), ("comparison", found)):
            (directory / f"{name}-{number}.json").write_text(to_json(value), encoding="utf-8")
    (directory / "table.json").write_text(to_json(result.table), encoding="utf-8")
    report = directory / "report.html"
    report.write_text(
        render_html(
            title="FastSim demo: the twin against the live shop",
            comparisons=result.comparisons,
            runs=result.twin_runs,
            live=result.live_runs,
            model=result.model,
            notes=result.notes,
        ),
        encoding="utf-8",
    )
    return report
