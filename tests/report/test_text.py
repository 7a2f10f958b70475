"""The terminal reports, letter by letter."""

import math

import pytest

from fastsim.report import render_comparison, render_run
from fastsim.report.layout import WIDTH
from fastsim.result import (
    Advice,
    CapacityFound,
    CompareRow,
    Comparison,
    DriverUse,
    Estimate,
    Finding,
    Run,
    Summary,
)
from tests.report import results

RUN = """\
NO      errors of POST /chat is 0.15 % at 300/s; the goal is 0.1 %
  ✓  p95 < 100ms                  60ms
  ✗  POST /chat: errors < 0.1%  0.15 %  (0.1–0.2)
  Time       db 60 %  pool wait 30 %  cpu 10 %
  Busiest    db pool: 93 % busy, mean wait 38ms, longest queue 22

                   requests   p50   p95               p99  errors
  GET /items/{id}    12 000  10ms  30ms (27–33)      40ms     0 %
  POST /chat          6 000  1.2s  3.6s (3.24–3.96)  4.8s  0.15 %
  total              18 000  20ms  60ms (54–66)      80ms  0.05 %

  Loop       72 % (70–74) busy; a step that could run waits 2.1ms in the mean,
             17ms at p99; 1.8 ready in the mean, 31 at most
  Slots      db pool: 93 % of 5 in use, mean wait 38ms, longest queue 22
  Errors     timeout 9
  Warning    p99.9 of POST /chat rests on 6 requests
  Load       shop @ 300/s · twin
  Trust      simulated 18 000 requests, 8 replications of 60s, seed 7
"""

COMPARISON = """\
NO      the twin differs from live: POST /chat p50 by +25.0 %

                        live    twin    error    could be  verdict
  GET /items/{id}  p50  10ms  10.1ms   +1.0 %    −1..+3 %  ✓ agrees
                   p95  30ms  27.9ms   −7.0 %   −10..−4 %  ✓ agrees
  POST /chat       p50  1.2s    1.5s  +25.0 %  +20..+30 %  ✗ off

  Compared   shop · free
  Tolerance  p50 10 %, p95 10 %
  Not shown  1 value that the verdict does not need
"""


def bare_run() -> Run:
    """A run in which nothing finished and nothing optional is known."""
    nothing = Summary(requests=0, completed=0, throughput=Estimate(value=0.0, unit="1/s"))
    return Run(
        source="live", rate_per_s=1.0, duration_s=1.0, total=nothing, endpoints={"GET /": nothing}
    )


def test_run_reads_verdict_first_then_evidence() -> None:
    assert render_run(results.run()) == RUN


def test_comparison_reads_row_by_row_and_closes_with_a_count() -> None:
    assert render_comparison(results.comparison()) == COMPARISON


def test_a_comparison_says_how_fast_the_machines_were() -> None:
    found = results.comparison()
    busy = results.row("total", "busy", 0.0034, 0.0037, half=0.05, verdict="agrees", counts=False)
    alike = results.row("total", "p50", 0.010, 0.0101, half=0.02, verdict="agrees")
    lines = render_comparison(found.model_copy(update={"busy": busy})).splitlines()
    [at] = [number for number, line in enumerate(lines) if "Machine" in line]
    assert " ".join(" ".join(lines[at : at + 2]).split()) == (
        "Machine the event loop was busy for 3.4ms a request live, 3.7ms in the twin: +8.8 % "
        "(+4..+14 %)"
    )
    both = found.model_copy(update={"busy": busy, "at_live_busy": [alike]})
    text = render_comparison(both)
    assert "on a machine as fast as live's the twin" in " ".join(text.split())
    assert text.count("could be") == 2
    agreed = both.model_copy(update={"verdict": "agrees", "rows": both.rows[:1]})
    shown = " ".join(render_comparison(agreed).split())
    assert "p50 within 3 %; on a machine as fast as live's p50 within 3 %, at 95 %" in shown
    # Of a service with many endpoints the whole is shown, and with --all each.
    many = [alike.model_copy(update={"endpoint": f"GET /{number}"}) for number in range(10)]
    long = both.model_copy(update={"at_live_busy": [*many, alike]})
    assert "GET /3" not in render_comparison(long)
    assert "GET /3" in render_comparison(long, every=True)
    # The values alone decide.
    assert text.splitlines()[0] == lines[0]


def test_phases_stand_in_a_table_of_their_own() -> None:
    run = results.run()
    run.phases = results.phases()
    run.slo = [run.slo[0].model_copy(update={"met": False, "value": 1.5, "phase": "spike"})]
    text = render_run(run)
    assert text.startswith("NO      p95 is 1.5s in spike; the goal is 100ms\n")
    assert "  ✗  p95 < 100ms  1.5s   in spike\n" in text
    assert (
        "  phase               rate    p50   p95              errors  busy  in flight\n"
        "  before             100/s   20ms  60ms (54–66)         0 %  30 %          2\n"
        "  spike     100/s to 500/s  500ms  1.5s (1.35–1.65)     1 %     –      1 234\n"
    ) in text
    assert "shop @ 300/s in the mean, 500/s at most" in text


def test_live_run_says_how_much_was_measured() -> None:
    text = render_run(results.run("live"))
    assert "  Trust      measured on 18 000 requests in 60s\n" in text


@pytest.mark.parametrize("name", ["GET /" + "a" * 300, "GET /" + "漢字" * 90])
def test_no_line_is_wider_than_the_terminal_allows(name: str) -> None:
    run, rows = results.run(name=name), results.comparison(name)
    run.warnings = ["long " * 80]
    for text in (render_run(run), render_comparison(rows)):
        assert max(map(len, text.splitlines())) <= WIDTH
        assert "…" in text


def test_control_characters_in_names_never_reach_the_terminal() -> None:
    hostile = "GET /\x1b[2J\r\nx\x00\u2028\ud800"
    run, rows = results.run(name=hostile), results.comparison(hostile)
    run.title = rows.title = run.warnings[0] = hostile
    for text in (render_run(run), render_comparison(rows)):
        assert not set("\x1b\r\x00\u2028\ud800") & set(text)
        text.encode("utf-8")


def test_run_without_completions_shows_dashes() -> None:
    assert "  GET /         0    –    –     –       –\n" in render_run(bare_run())


def test_numbers_that_are_not_finite_are_shown_as_unknown() -> None:
    run, rows = results.run(), results.comparison()
    assert run.total.latency is not None
    run.total.latency.p99 = Estimate(value=math.nan, low=math.nan, high=math.inf)
    rows.rows[0].error = math.nan
    assert "nan" not in render_run(run)
    assert "nan" not in render_comparison(rows)


def test_nothing_busy_is_no_bottleneck() -> None:
    run = results.run()
    assert run.loop is not None
    run.loop.utilisation = Estimate(value=0.31, unit="ratio")
    run.resources = {}
    assert "Busiest    none: event loop is the busiest, 31 % busy" in render_run(run)


def test_comparison_without_rows_says_so() -> None:
    empty = Comparison(mode="free", rows=[], verdict="cannot tell")
    assert "too few requests were measured live" in render_comparison(empty)


def test_live_run_says_how_the_load_driver_kept_up() -> None:
    run = results.run("live")
    run.driver = DriverUse(
        lag_mean_s=0.0002, lag_p99_s=0.0011, lag_max_s=0.004, cpu_per_request_s=1e-4, cpu_share=0.31
    )
    assert (
        "Driver     sent 200us late in the mean, 1.1ms p99, 4ms at most; 31 % of a core\n"
        "             busy\n" in render_run(run)
    )


def test_a_full_loop_is_named_with_what_would_help() -> None:
    run = results.run()
    run.capacity = CapacityFound(
        per_s=207.0, resource="event loop", demand_s=0.0048, behind=["db pool"]
    )
    run.advice = [
        Advice(
            change="workers=2 cores=2",
            metric="p95",
            value=0.05,
            before=0.4,
            effect="meets the goal",
        ),
        Advice(
            change="db pool=10", metric="p95", value=None, before=0.4, effect="still overloaded"
        ),
    ]
    text = render_run(run)
    assert (
        "  Why        the event loop is full from 207/s on (a request keeps it busy\n"
        "             4.8ms); db pool is full only because its holders wait for that\n"
        "  Try        workers=2 cores=2  p95  50ms  meets the goal\n"
        "             db pool=10         p95     –  still overloaded\n"
    ) in text


def test_no_line_is_wider_than_a_terminal() -> None:
    long = "GET /a/route/with/a/name/that/is/longer/than/half/a/terminal/{identifier}"
    for text in (render_run(results.run(name=long)), render_comparison(results.comparison(long))):
        assert max(map(len, text.splitlines())) <= WIDTH


def shown(*rows: CompareRow, verdict: Finding = "cannot tell") -> str:
    found = results.comparison().model_copy(update={"rows": list(rows), "verdict": verdict})
    lines = [line for line in render_comparison(found).splitlines() if "  Shown" in line]
    return lines[0].removeprefix("  Shown").strip() if lines else ""


def test_a_comparison_says_within_what_the_twin_is_shown_to_be_right() -> None:
    near = results.row("GET /", "p50", 1.0, 1.02, half=0.1, verdict="cannot tell")
    far = results.row("GET /x", "p50", 1.0, 0.9, half=0.05, verdict="cannot tell")
    tail = results.row("GET /", "p95", 1.0, 1.5, half=1.2, verdict="cannot tell")
    wild = results.row("GET /", "p99", 1.0, 3.0, half=9.0, verdict="cannot tell")
    beside = results.row("GET /", "p50", 1.0, 9.0, half=2.0, verdict="cannot tell", counts=False)
    assert shown(near, beside) == "p50 within 12 %, at 95 %"
    assert shown(near, far, tail, wild) == "p50 within 15 %, p95 within a factor of 2.7, at 95 %"
    unknown = near.model_copy(update={"error_low": None, "error_high": None})
    assert shown(unknown, near) == ""
    assert shown(near, verdict="agrees") == "p50 within 12 %, at 95 %"
    assert shown(near, verdict="off") == ""
