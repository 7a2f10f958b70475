"""The demo, step by step: measure the machine, record and measure in turns, predict, compare.

The machine decides what the loads are: shares of the capacity that is measured first. Recording
and measuring take turns in short slices, two processes of one service of which one is idle
while the other works, so that the machine's changing speed hits both alike. The twin is fitted
to the recorded slices and sees nothing of the others but when their requests arrived.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from fastsim import spans
from fastsim.calibrate.build import build_model, hash_inputs, read_requests
from fastsim.calibrate.client_path import fit_client_overhead
from fastsim.calibrate.drift import code_speed
from fastsim.calibrate.growth import loop_share, per_request_s
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.selfcheck import check_warnings, replay_recording
from fastsim.calibrate.taken import fit_taken
from fastsim.demo.saturation import RATE_TOLERANCE, compare_saturation
from fastsim.demo.servers import EXAMPLES, Cores, Services
from fastsim.demo.turns import (
    Bar,
    Measured,
    Settings,
    Shop,
    Turn,
    inside,
    take_turns,
    undisturbed,
)
from fastsim.load.capacity import measure_capacity
from fastsim.load.driver import LoadResult
from fastsim.load.outcome import to_run
from fastsim.load.slices import join
from fastsim.load.traffic_file import read_traffic_file
from fastsim.model import ClientPath, Resource, ServiceModel, Traffic
from fastsim.report.html import render_html
from fastsim.report.json import to_json
from fastsim.result import CompareRow, Comparison, Run
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin import (
    ArrivalReplay,
    Forecast,
    LiveSample,
    compare,
    forecast_run,
    together,
)
from fastsim.twin.compare import TOTAL
from fastsim.twin.doubt import in_surroundings, processor_warnings
from fastsim.twin.processes import Processes, shared
from fastsim.yaml_writing import dump_yaml

RECORDING, LIVE, LIVE_POOL = "recording", "live", "live-pool"
POOL = "sqlalchemy"
RECORDED_POOL = 5

SAME_SPEED = 0.04
"""Code whose CPU differs by less between two recordings ran at the same speed."""

T = TypeVar("T")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Case:
    """One deployment that was predicted and measured."""

    title: str
    slices: list[Turn[LoadResult]]
    pool: int
    requests: RequestSet
    """What the recorder saw of it."""

    def live(self) -> Run:
        """Return what clients saw, without what was disturbed."""
        run = to_run(join([each.result for each in undisturbed(self.slices)]))
        return run.model_copy(update={"title": self.title})

    @property
    def taken(self) -> float | None:
        """Share of the loop's time that others took of that."""
        return _taken(self.requests, undisturbed(self.slices))

    @property
    def busy_s(self) -> float | None:
        """Busy time of the loop per request of that, seconds."""
        return per_request_s(_only(self.requests, undisturbed(self.slices)), spans.LOOP_BUSY_NS)


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
    recording, live, other = (directory / name for name in (RECORDING, LIVE, LIVE_POOL))
    with Services(directory, cores) as services:
        bar("starting the services", 0.02)
        small = {"SHOP_DB_POOL": str(settings.other_pool)}
        usual = {"SHOP_DB_POOL": str(RECORDED_POOL)}
        urls = (
            services.start_shop(recording, usual),
            services.start_shop(live, usual),
            services.start_shop(other, small),
        )
        first, second, third = (Shop(url, services.pids[url]) for url in urls)
        bar("measuring what this machine can do", 0.08)
        with cores.use(cores.others):
            capacity = measure_capacity(urls[1], mix, duration_s=2.0, seed=settings.seed).per_s
            say(
                f"this machine saturates at about {capacity:.3g} requests/s; loads are shares of "
                "that, measured anew before every turn"
            )
            measured = take_turns((first, second, third), mix, capacity, settings, bar)
        services.stop_shops()
    bar("calibrating", 0.72)
    with shared(None) as jobs:
        jobs.start()
        model = _calibrate(recording, measured, directory, jobs)
        bar("predicting and comparing", 0.85)
        seen = {name: read_requests([directory / name]) for name in (LIVE, LIVE_POOL)}
        shares = {entry.endpoint: entry.share for entry in mix}
        result = _compare(model, measured, seen, settings, jobs, mix=shares)
    result.notes += _notes(cores, measured, settings)
    if result.table.verdict == "off":
        result.notes += _speeds(model, read_requests([recording]), seen[LIVE])
    bar("writing the report", 0.97)
    result.report = _write(result, directory)
    return result


def _calibrate(
    recording: Path, measured: Measured, directory: Path, jobs: Processes
) -> ServiceModel:
    turns = undisturbed(measured.recorded)
    recorded = to_run(join([each.result for each in turns]))
    requests = _only(read_requests([recording], skip_first_s=0.0), turns)
    model = build_model(
        requests, command="fastsim demo", data_sha256=hash_inputs([recording]), jobs=jobs
    )
    found = replay_recording(model, requests, jobs=jobs)
    overhead = fit_client_overhead(recorded, requests, found.before_application_s)
    model = model.model_copy(
        update={
            "self_check": found.rows,
            "warnings": check_warnings(found) + model.warnings,
            "client": ClientPath(overhead=overhead),
            "traffic": _traffic(turns, requests),
        }
    )
    (directory / "model.yaml").write_text(dump_yaml(model), encoding="utf-8")
    return model


def _traffic(turns: Sequence[Turn[LoadResult]], requests: RequestSet) -> Traffic:
    """Return what was asked within the slices: between them the other services had their turns."""
    asked = [each.result.schedule for each in turns]
    duration_s = sum(each.duration_s for each in asked)
    busy = loop_share(requests, spans.LOOP_BUSY_NS)
    return Traffic(rate=sum(map(len, asked)) / duration_s, duration=duration_s, utilisation=busy)


def _only(requests: RequestSet, turns: Sequence[Turn[T]]) -> RequestSet:
    """Return the requests with those outside of some turns marked as to be left out."""
    return replace(requests, warm_up=~inside(requests.start_ns, turns))


def _compare(
    model: ServiceModel,
    measured: Measured,
    seen: dict[str, RequestSet],
    settings: Settings,
    jobs: Processes,
    *,
    mix: Mapping[str, float],
) -> DemoResult:
    """Ask the twin at the arrivals that were live, and set both side by side.

    Parameters
    ----------
    seen
        What the recorder saw of the live services, which says what other processes took of them.
    mix
        Share of each endpoint in what all were asked.
    """
    other_pool = f"{settings.other:.0%}, pool {settings.other_pool}"
    cases = (
        _Case(f"{settings.predicted:.0%} load", measured.predicted, RECORDED_POOL, seen[LIVE]),
        _Case(other_pool, measured.other, settings.other_pool, seen[LIVE_POOL]),
    )
    result = DemoResult(model, Comparison(mode="arrival replay", rows=[], verdict="cannot tell"))
    rows: list[CompareRow] = []
    lives = [each.live() for each in cases]
    samples = [
        replace(LiveSample.of_run(live), recorded=True, taken=each.taken, busy_s=each.busy_s)
        for each, live in zip(cases, lives, strict=True)
    ]
    forecasts = [
        _forecast(model, sample, case.pool, settings, jobs)
        for sample, case in zip(samples, cases, strict=True)
    ]
    asked = zip(cases, lives, samples, forecasts, strict=True)
    for number, (case, live, sample, forecast) in enumerate(asked):
        wanted = _wanted(sample, endpoints=3 if number == 0 else 1)
        found = compare(
            forecast.replications, sample, mode="arrival replay", counting=wanted
        ).model_copy(update={"title": case.title})
        result.live_runs.append(live)
        result.twin_runs.append(forecast.run.model_copy(update={"title": case.title}))
        result.comparisons.append(found)
        rows += [_titled(row, case.title) for row in found.rows if row.counts or _refutes(row)]
    bursts = undisturbed(measured.capacity_per_s)
    beside = in_surroundings(model, _taken(seen[LIVE], bursts))
    rates = [each.result for each in bursts]
    saturation = compare_saturation(
        beside,
        rates,
        mix=mix,
        length_s=settings.burst_s * len(rates),
        replications=settings.replications // 2,
        seed=settings.seed,
        jobs=jobs,
    )
    rows.append(saturation)
    result.table = Comparison(
        mode="arrival replay",
        busy=result.comparisons[0].busy,
        at_live_busy=[
            _titled(row, case.title)
            for case, found in zip(cases, result.comparisons, strict=True)
            for row in found.at_live_busy
        ],
        title=f"shop, this machine saturates at {np.median(rates):.3g}/s",
        rows=rows,
        tolerance={metric: result.comparisons[0].tolerance[metric] for metric in ("p50", "p95")}
        | {"rate": RATE_TOLERANCE},
        verdict=together([row.verdict for row in rows if row.counts or _refutes(row)]),
        needed_s=_needed_s(result.comparisons),
        warnings=model.warnings
        + processor_warnings(
            model.loop, sum(run.duration_s for run in result.live_runs) / len(cases)
        ),
    )
    return result


def _taken(requests: RequestSet, turns: Sequence[Turn[T]]) -> float | None:
    found = fit_taken(_only(requests, turns))
    return None if found is None else found.share


def _needed_s(found: list[Comparison]) -> float | None:
    """Return how long a live run would tell all of them, seconds; None if none would."""
    needed = [each.needed_s for each in found if each.verdict == "cannot tell"]
    known = [length_s for length_s in needed if length_s is not None]
    return max(known) if known and len(known) == len(needed) else None


def _forecast(
    model: ServiceModel, live: LiveSample, pool: int, settings: Settings, jobs: Processes
) -> Forecast:
    model = in_surroundings(model.with_recorder(), live.taken)
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


def _speeds(model: ServiceModel, recorded: RequestSet, live: RequestSet) -> list[str]:
    """Say whether the same code took the same CPU in the recorded and the measured slices."""
    cold = model.loop.cold
    ratio = code_speed(live, cold).ratio_to(code_speed(recorded, cold))
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


def _notes(cores: Cores, measured: Measured, settings: Settings) -> list[str]:
    requests = sum(len(each.result.schedule) for each in undisturbed(measured.recorded))
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
    every = measured.all()
    disturbed = [each for each in every if each.disturbed]
    if disturbed:
        most = max((each.taken or 0.0) for each in disturbed)
        notes.append(
            f"other processes disturbed {len(disturbed)} of {len(every)} slices (they took up to "
            f"{most:.0%} of the shop's time), which were left out where enough others are; on a "
            "quieter machine more can be told"
        )
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
