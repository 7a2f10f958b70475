"""The pieces the reports are made of: JSON, pairing, scales, means, wording."""

import json
import math

import pytest

from fastsim.distributions import mean
from fastsim.means import step_mean_s
from fastsim.model import (
    Constant,
    Counts,
    Empirical,
    Expon,
    Lognorm,
    Mixture,
    Pareto,
    StreamStep,
    ThreadStep,
    Weibull,
)
from fastsim.report import to_json
from fastsim.report.cases import latencies_s, pair_cases
from fastsim.report.figures import CURVE_POINTS, _curve
from fastsim.report.series_figure import thinned
from fastsim.report.wording import (
    count,
    distribution_parameters,
    duration,
    interval,
    kind_of,
    share,
    signed_percent,
)
from fastsim.result import Comparison, Estimate, Run, Series
from fastsim.spans import StepKind
from tests.report import results


def test_json_comes_back_as_the_same_run() -> None:
    run = results.run()
    assert Run.model_validate_json(to_json(run)) == run


def test_json_has_no_nan_and_keeps_lists_of_numbers_on_a_line() -> None:
    text = to_json(
        Series(window_s=1.0, start_s=[0.0, 1.0], p50_s=[None, math.nan], p95_s=[math.inf, 1.0])
    )
    json.loads(text, parse_constant=pytest.fail)
    assert '\n  "start_s": [0.0, 1.0],\n' in text
    assert '\n  "p50_s": [null, null],\n' in text
    assert text.endswith("}\n")


def test_json_is_the_same_every_time() -> None:
    assert to_json(results.service_model()) == to_json(results.service_model())


def test_cases_pair_by_title_before_position() -> None:
    twins = [titled("twin", "b"), titled("twin", "a")]
    live = [titled("live", "first"), titled("live", "b")]
    compared = [Comparison(mode="free", title=t, rows=[], verdict="agrees") for t in "ab"]
    cases = pair_cases(compared, twins, live)
    assert [(c.title, c.twin, c.live) for c in cases] == [
        ("a", twins[1], live[0]),
        ("b", twins[0], live[1]),
    ]


def test_runs_without_a_comparison_are_shown_on_their_own() -> None:
    twin, live = titled("twin", ""), titled("live", "x")
    cases = pair_cases([], [twin], [live])
    assert [(c.title, c.twin, c.live) for c in cases] == [("Case 1", twin, live)]


def titled(source: str, title: str) -> Run:
    run = results.run("twin" if source == "twin" else "live")
    return run.model_copy(update={"title": title})


def test_latencies_are_those_of_successful_requests_of_the_endpoint() -> None:
    found = latencies_s(results.run(), "GET /items/{id}")
    assert len(found) == 50
    assert found == sorted(found)
    assert len(latencies_s(results.run(), "POST /chat")) == 40
    assert len(latencies_s(results.run(), "all")) == 90
    assert latencies_s(results.run(), "GET /unknown") == []


def test_curve_stays_within_its_points_and_the_data_it_has() -> None:
    curve = _curve([float(i) for i in range(100_000)])
    assert len(curve) <= CURVE_POINTS
    assert all(math.log10(2) - 0.01 <= at <= 3.0 for at, _ in curve)
    at, value = curve[len(curve) // 2]
    assert value == pytest.approx(99_999 * (1 - 10**-at))
    assert _curve([1.0, 2.0]) == []


def test_thinning_keeps_totals_and_means() -> None:
    size = 1000
    series = Series(
        window_s=1.0,
        start_s=[float(i) for i in range(size)],
        arrivals=[i % 7 for i in range(size)],
        p50_s=[None if i % 2 else 0.01 for i in range(size)],
        p95_s=[0.02] * size,
    )
    thin = thinned(series, most=100)
    assert len(thin.start_s) == 100
    assert thin.window_s == 10.0
    assert sum(thin.arrivals) == sum(series.arrivals)
    assert set(thin.p50_s) == {0.01}
    assert thin.p95_s == pytest.approx([0.02] * 100)


def test_means_follow_the_formulas() -> None:
    assert mean(Lognorm(median=0.02, sigma=0.5)) == pytest.approx(0.02 * math.exp(0.125))
    assert mean(Weibull(scale=0.01, shape=1.0)) == pytest.approx(0.01)
    assert mean(Pareto(scale=0.01, tail=0.5, shift=0.003)) == pytest.approx(0.023)
    parts = Mixture(weights=[3.0, 1.0], parts=[Constant(value=0.01), Expon(mean=0.05)])
    assert mean(parts) == pytest.approx(0.02)
    curve = Empirical(probabilities=[0.0, 0.5, 1.0], values=[0.0, 0.01, 0.03])
    assert mean(curve) == pytest.approx(0.0125)


def test_step_means_count_chunks_and_thread_parts() -> None:
    stream = StreamStep(
        do="stream",
        kind=StepKind.LLM,
        chunks=Counts(values=[10, 20], weights=[1.0, 1.0]),
        gap=Constant(value=0.02),
        cpu=Constant(value=0.001),
    )
    assert step_mean_s(stream) == pytest.approx(15 * 0.02 + 0.001)
    thread = ThreadStep(do="thread", cpu=Constant(value=0.01), off_gil=Constant(value=0.02))
    assert step_mean_s(thread) == pytest.approx(0.03)


def test_numbers_in_words() -> None:
    assert duration(0.0411567) == "41.2ms"
    assert duration(0.9996) == "1s"
    assert duration(None) == "–"
    assert duration(math.inf) == "∞"
    assert share(0.00004) == "<0.01 %"
    assert share(1.0) == "100 %"
    assert count(18204) == "18 204"
    assert signed_percent(-0.0421) == "−4.2 %"
    assert interval(0.084, 0.0801, 0.1203, "s") == "(80.1–120)"
    assert interval(0.084, None, 0.1203, "s") == ""
    assert interval(1.0, 999.9, 1234.0, "s") == "(1000–1230)"


def test_causes_find_their_kind() -> None:
    names = ["cpu", "pool_wait", "db pool", "loop lag", "thread queue", "network", "gpu"]
    assert [kind_of(name) for name in names] == [
        "cpu",
        "pool",
        "pool",
        "loop",
        "thread",
        "network",
        "other",
    ]


def test_parameters_are_in_human_units() -> None:
    assert distribution_parameters(Lognorm(median=0.02, sigma=0.4, shift=0.001)) == (
        "median 20ms, sigma 0.4, shift 1ms"
    )


def test_estimates_keep_their_unit() -> None:
    run = results.run()
    assert run.loop is not None
    run.loop.utilisation = Estimate(value=0.5, low=0.45, high=0.55, unit="1")
    assert interval(0.5, 0.45, 0.55, "1") == "(45–55)"
