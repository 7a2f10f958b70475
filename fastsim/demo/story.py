"""The demo, step by step: record, calibrate, predict, measure, compare, report.

Predictions are made and written down before the load they predict is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fastsim.calibrate.build import build_model, hash_inputs, read_requests
from fastsim.calibrate.client_path import fit_client_overhead
from fastsim.calibrate.drift import CodeSpeed, code_speed
from fastsim.calibrate.selfcheck import check_warnings, replay_recording
from fastsim.demo.servers import EXAMPLES, Cores, Services
from fastsim.load.outcome import to_run
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import Mix, read_traffic_file
from fastsim.model import ClientPath, Resource, ServiceModel
from fastsim.report.html import render_html
from fastsim.report.json import to_json
from fastsim.result import Comparison, Run
from fastsim.scenario import Deployment, TrafficPlan
from fastsim.twin import Forecast, LiveSample, Replications, compare, forecast_run
from fastsim.twin.whatif import with_cpu_scaled
from fastsim.yaml_writing import dump_yaml

POOL = "sqlalchemy"
RECORDED_POOL = 5
WARMUP_S = 2.0

SAME_SPEED = 0.04
"""Code whose CPU differs by less between two recordings ran at the same speed."""

Say = Callable[[str], None]
Bar = Callable[[str, float], None]
"""Called with what goes on and the part of the whole demo that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the demo does; rates per second, durations in seconds."""

    recorded_rate: float = 45.0
    recorded_s: float = 18.0
    predicted_rate: float = 80.0
    predicted_s: float = 16.0
    other_pool: int = 2
    other_rate: float = 60.0
    other_s: float = 11.0
    replications: int = 12
    seed: int = 7

    @property
    def higher(self) -> float:
        """How many times the recorded rate is predicted."""
        return self.predicted_rate / self.recorded_rate


@dataclass(frozen=True, slots=True)
class _Case:
    """One thing to predict and then to measure."""

    title: str
    rate: float
    duration_s: float
    pool: int
    seed: int


@dataclass(slots=True)
class DemoResult:
    """Everything the demo found."""

    model: ServiceModel
    comparisons: list[Comparison] = field(default_factory=list)
    corrected: list[Comparison] = field(default_factory=list)
    """Comparisons again with the speed the machine had, where it had changed."""
    outcomes: list[bool] = field(default_factory=list)
    """Per case, whether the twin agrees as predicted or at the speed the machine had."""
    twin_runs: list[Run] = field(default_factory=list)
    live_runs: list[Run] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """What else differed between recording and measurement, as far as it can be told."""
    report: Path | None = None

    @property
    def agrees(self) -> bool:
        """Whether the twin agrees with live in every case."""
        return all(self.outcomes)


def run_demo(directory: Path, settings: Settings, say: Say, bar: Bar) -> DemoResult:
    """Do the whole demo; files go to ``directory``, which must exist and be empty."""
    mix = read_traffic_file(EXAMPLES / "shop" / "traffic.yaml")
    cores = Cores()
    with Services(directory, cores) as services:
        bar("recording the shop", 0.05)
        recording = directory / "recording"
        recorded = _measure(
            services,
            mix,
            _Case("recording", settings.recorded_rate, settings.recorded_s, RECORDED_POOL, 1),
            recording,
            settings.seed,
        )
        (directory / "recording.json").write_text(to_json(recorded), encoding="utf-8")
        bar("calibrating", 0.35)
        result, speed = _calibrate(recording, recorded, directory)
        say(
            f"recorded {recorded.total.requests} requests at {settings.recorded_rate:g}/s and "
            f"fitted {directory / 'model.yaml'}"
        )
        cases = [
            _Case(
                f"{settings.predicted_rate:g}/s, {settings.higher:.1f} times the recorded rate",
                settings.predicted_rate,
                settings.predicted_s,
                RECORDED_POOL,
                2,
            ),
            _Case(
                f"{settings.other_rate:g}/s with a connection pool of {settings.other_pool} "
                f"instead of {RECORDED_POOL}",
                settings.other_rate,
                settings.other_s,
                settings.other_pool,
                3,
            ),
        ]
        bar("predicting", 0.45)
        predictions = [_predict(result, case, settings) for case in cases]
        for number, (case, prediction) in enumerate(zip(cases, predictions, strict=True)):
            bar(f"measuring {case.title}", 0.55 + 0.25 * number)
            live = _measure(services, mix, case, directory / f"live-{number + 1}", settings.seed)
            _judge(result, case, prediction, live)
            _explain(result, case, settings, speed, directory / f"live-{number + 1}")
    result.notes += _notes(cores)
    bar("writing the report", 0.97)
    result.report = _write(result, directory)
    return result


def _measure(services: Services, mix: Mix, case: _Case, recording: Path, seed: int) -> Run:
    """Start the shop as the case says, send its traffic, stop the shop."""
    services.start_shop(recording, {"SHOP_DB_POOL": str(case.pool)})
    try:
        schedule = draw_schedule(
            mix,
            rate_per_s=case.rate,
            duration_s=case.duration_s,
            warmup_s=WARMUP_S,
            seed=seed * 100 + case.seed,
        )
        with services.cores.use(services.cores.others):
            sent = run_load(services.url, schedule)
        if sent.stopped:
            raise KeyboardInterrupt
    finally:
        services.stop_shop()
    return to_run(sent).model_copy(update={"title": case.title})


def _calibrate(recording: Path, recorded: Run, directory: Path) -> tuple[DemoResult, CodeSpeed]:
    requests = read_requests([recording])
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
    return DemoResult(model), code_speed(requests, model.loop.cold)


def _explain(
    result: DemoResult, case: _Case, settings: Settings, speed: CodeSpeed, recording: Path
) -> None:
    """Say how busy the live loop was, and judge again if the machine ran at another speed."""
    live = code_speed(read_requests([recording]), result.model.loop.cold)
    twin = result.twin_runs[len(result.live_runs) - 1].loop
    if live.utilisation is not None and twin is not None:
        result.reasons.append(
            f"{case.title}: event loop {live.utilisation:.0%} busy live, "
            f"{twin.utilisation.value:.0%} in the twin"
        )
    ratio = live.ratio_to(speed)
    if ratio is None or abs(ratio - 1.0) <= SAME_SPEED:
        result.outcomes.append(result.comparisons[-1].verdict == "agrees")
        return
    change = f"{abs(ratio - 1.0):.0%} {'less' if ratio < 1.0 else 'more'} CPU"
    result.reasons.append(
        f"{case.title}: the same code took {change} live than when it was recorded. Either the "
        "machine changed (other work on it), which no model can foresee, or load changes the cost "
        "of code more than the model knows; below, the twin is asked again at that speed"
    )
    again = _forecast(with_cpu_scaled(result.model, ratio), case, settings)
    found = compare(again.replications, LiveSample.of_run(result.live_runs[-1]))
    corrected = found.model_copy(update={"title": f"{case.title}, at the live machine's speed"})
    result.corrected.append(corrected)
    result.outcomes.append("agrees" in {result.comparisons[-1].verdict, corrected.verdict})


def _predict(result: DemoResult, case: _Case, settings: Settings) -> Replications:
    forecast = _forecast(result.model, case, settings)
    result.twin_runs.append(forecast.run.model_copy(update={"title": case.title}))
    return forecast.replications


def _forecast(model: ServiceModel, case: _Case, settings: Settings) -> Forecast:
    resources = {POOL: Resource(capacity=case.pool)} if case.pool != RECORDED_POOL else {}
    return forecast_run(
        model,
        traffic=TrafficPlan(rate=case.rate, duration=case.duration_s, warmup=WARMUP_S),
        deployment=Deployment(resources=resources),
        replications=settings.replications,
        seed=settings.seed,
        jobs=1,
        with_table=True,
    )


def _judge(result: DemoResult, case: _Case, prediction: Replications, live: Run) -> None:
    found = compare(prediction, LiveSample.of_run(live))
    result.comparisons.append(found.model_copy(update={"title": case.title}))
    result.live_runs.append(live)


def _notes(cores: Cores) -> list[str]:
    notes = [
        "Twin and live both ran with the recorder attached. Latencies are the client's.",
        "Latency counts from the moment a request was due, so no queue is hidden.",
        "The prediction was made before the load it predicts was sent; arrivals are independent.",
    ]
    if cores.separate:
        notes.append("The shop had one core of its own; driver and dependencies had the others.")
    else:
        notes.append(
            "Only one core: driver, dependencies and shop disturbed each other, "
            "so live latencies are too long."
        )
    return notes


def _write(result: DemoResult, directory: Path) -> Path:
    for number, (twin, live, found) in enumerate(
        zip(result.twin_runs, result.live_runs, result.comparisons, strict=True), start=1
    ):
        for name, value in (("twin", twin), ("live", live), ("comparison", found)):
            (directory / f"{name}-{number}.json").write_text(to_json(value), encoding="utf-8")
    report = directory / "report.html"
    report.write_text(
        render_html(
            title="FastSim demo: the twin against the live shop",
            comparisons=[*result.comparisons, *result.corrected],
            runs=result.twin_runs,
            live=result.live_runs,
            model=result.model,
            notes=[*result.notes, *result.reasons],
        ),
        encoding="utf-8",
    )
    return report
