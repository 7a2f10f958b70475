"""``fastsim forecast``: until when a service holds, by rates of the past."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fastsim.cli.forecast import parse_event, parse_growth
from fastsim.errors import InputError
from tests.cli.running import run

Capture = pytest.CaptureFixture[str]

MODEL = """\
version: 1
kind: model
service: shop
loop: {}
endpoints:
- name: GET /
  share: 100%
  variants:
  - steps:
    - {do: cpu, time: {family: gamma, mean: 5ms, shape: 4}}
    - {do: wait, kind: db, time: {family: expon, mean: 10ms}}
"""
BEGIN_S = 1_790_000_000 // 86_400 * 86_400


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A service that is full at 200/s, and three weeks of 100/s at noon, growing."""
    model = tmp_path / "model.yaml"
    model.write_text(MODEL)
    lines = ["time,rate"]
    for n in range(21 * 24):
        day = 1.0 + 0.5 * math.sin(2 * math.pi * (n % 24 - 6) / 24) + 0.02 * math.cos(7.3 * n)
        rate = 66.0 * day * 1.10 ** (n / 24 / 30.4)
        lines.append(f"{datetime.fromtimestamp(BEGIN_S + 3600 * n, UTC).isoformat()},{rate:.3f}")
    rates = tmp_path / "rates.csv"
    rates.write_text("\n".join(lines))
    return model, rates


def asked(files: tuple[Path, Path], *more: str) -> tuple[str | Path, ...]:
    model, rates = files
    return ("forecast", model, "--history", rates, "--slo", "p95 < 60ms", "--replications", "3",
            *more)  # fmt: skip


def test_it_says_until_when_it_holds_and_what_would_hold_longer(
    files: tuple[Path, Path], capsys: Capture
) -> None:
    assert run(*asked(files, "--growth", "40%/month", "--horizon", "60d")) == 1
    text = capsys.readouterr().out
    said = " ".join(text.split())
    assert "Holds until" in said
    assert "then p95 < 60ms is missed" in said
    assert "+40.0 % a month as asked" in said
    assert "Backtest" in said
    assert "workers=2" in said
    assert max(map(len, text.splitlines())) <= 80


def test_it_holds_where_nothing_grows(files: tuple[Path, Path], capsys: Capture) -> None:
    assert run(*asked(files, "--growth", "0%/month", "--horizon", "14d")) == 0
    assert "the end of the forecast" in capsys.readouterr().out


def test_holidays_to_come_are_named(files: tuple[Path, Path], capsys: Capture) -> None:
    pytest.importorskip("holidays")
    more = ("--horizon", "60d", "--growth", "0%/month", "--holidays", "US")
    assert run(*asked(files, *more)) == 0
    said = " ".join(capsys.readouterr().out.split())
    # The history ends on 2026-10-12, and holds Labor Day alone.
    assert "Holidays Columbus Day (12 Oct), Veterans Day (11 Nov)" in said
    assert run(*asked(files, "--holidays", "Atlantis")) == 2
    assert "no holidays are known" in capsys.readouterr().err


def test_a_library_carries_the_load_on(files: tuple[Path, Path], capsys: Capture) -> None:
    pytest.importorskip("statsmodels")
    more = ("--horizon", "7d", "--method", "mstl")
    assert run(*asked(files, *more)) == 0
    assert "carried on by MSTL" in " ".join(capsys.readouterr().out.split())


def test_prices_give_the_cost_as_deployed_and_as_needed(
    files: tuple[Path, Path], capsys: Capture
) -> None:
    more = ("--horizon", "7d", "--growth", "0%/month", "--price", "deployment.workers=0.5")
    many = ("--set", "deployment.workers=3", "--set", "deployment.cores=3")
    assert run(*asked(files, *more, *many)) == 0
    said = " ".join(capsys.readouterr().out.split())
    # Three workers at 0.5 for 168 hours; one of them is enough at any time.
    assert "Cost 252 over 168 hours as deployed (3 workers: 1.5 an hour)" in said
    assert "84 with as many workers as each hour needs (1)" in said
    assert run(*asked(files, *more, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    hour = found["hours"][12]
    assert (hour["needed"], hour["cost"]) == (1, 0.5)
    assert 0.015 < hour["p95"] < 0.06
    assert hour["errors"] == 0.0


def test_a_price_of_nothing_is_refused_before_anything_is_simulated(
    files: tuple[Path, Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulated(*_: object, **__: object) -> None:
        raise AssertionError("simulated")

    monkeypatch.setattr("fastsim.twin.outlook.find_limit", simulated)
    assert run(*asked(files, "--price", "deployment.balancer=1")) == 2
    assert "field to vary" in capsys.readouterr().err


def test_an_event_breaks_it_on_its_day(files: tuple[Path, Path], capsys: Capture) -> None:
    more = ("--growth", "0%/month", "--horizon", "14d", "--event", "2026-10-20=x4", "--json")
    assert run(*asked(files, *more)) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "forecast"
    assert found["breaks"].startswith("2026-10-20")
    assert len(found["hours"]) == 14 * 24
    missed = [hour["start"][:10] for hour in found["hours"] if hour["missed"] > 0.5]
    assert set(missed) == {"2026-10-20"}


def test_same_seed_same_bytes(files: tuple[Path, Path], tmp_path: Path) -> None:
    outputs = [tmp_path / "a.json", tmp_path / "b.json"]
    for output in outputs:
        run(*asked(files, "--horizon", "2d", "-o", str(output)))
    first, second = (json.loads(path.read_text()) for path in outputs)
    assert first["provenance"]["inputs"].keys() == set(map(str, files))
    assert {**first, "provenance": 0} == {**second, "provenance": 0}


def test_events_beyond_the_horizon_are_said(files: tuple[Path, Path], capsys: Capture) -> None:
    run(*asked(files, "--horizon", "2d", "--event", "2027-01-01=x3"))
    assert "event of 2027-01-01 is outside" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--growth", "5%"), "is no growth"),
        (("--growth", "lots/month"), "is no growth"),
        (("--event", "soon=x3"), "is no event"),
        (("--event", "2026-11-27=x-1"), "is no event"),
        (("--horizon", "900d"), "is not between"),
    ],
)
def test_wrong_words_are_refused(
    files: tuple[Path, Path], more: tuple[str, ...], said: str, capsys: Capture
) -> None:
    assert run(*asked(files, *more)) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_history_that_is_none_is_refused(files: tuple[Path, Path], capsys: Capture) -> None:
    model, _ = files
    assert run("forecast", model, "--history", model) == 2
    assert "holds no rates over time" in " ".join(capsys.readouterr().err.split())


def test_a_directory_of_traces_is_counted(
    files: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    model, _ = files
    traces = tmp_path / "traces"
    traces.mkdir()
    assert run("forecast", model, "--history", traces) == 2
    assert "it is a directory" in " ".join(capsys.readouterr().err.split())
    spans = [
        {
            "traceId": f"{n + 1:032x}", "spanId": f"{n + 1:016x}", "name": "GET /", "kind": 2,
            "startTimeUnixNano": str((BEGIN_S + 600 * n) * 10**9),
            "endTimeUnixNano": str((BEGIN_S + 600 * n) * 10**9 + 10**6),
            "attributes": [
                {"key": "http.request.method", "value": {"stringValue": "GET"}},
                {"key": "http.route", "value": {"stringValue": "/"}},
            ],
        }
        for n in range(6 * 60)
    ]  # fmt: skip
    line = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]}
    (traces / "traces.jsonl").write_text(json.dumps(line) + "\n")
    more = ("--horizon", "6h", "--replications", "2", "--json")
    assert run("forecast", model, "--history", traces, *more) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["load"]["history_hours"] == 60
    assert found["hours"][0]["rate_per_s"] == pytest.approx(1 / 600, rel=0.05)
    assert run("forecast", model, "--history", traces, "--sampled", "10%", *more) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["hours"][0]["rate_per_s"] == pytest.approx(1 / 60, rel=0.05)


def test_rates_are_not_sampled(files: tuple[Path, Path], capsys: Capture) -> None:
    model, rates = files
    assert run("forecast", model, "--history", rates, "--sampled", "10%") == 2
    assert "only traces are sampled" in capsys.readouterr().err


def test_too_little_history_is_no_honest_answer(
    files: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    model, rates = files
    short = tmp_path / "short.csv"
    short.write_text("\n".join(rates.read_text().splitlines()[:30]))
    assert run("forecast", model, "--history", short) == 3
    assert "two days or more" in " ".join(capsys.readouterr().err.split())


def test_growth_and_events_are_read() -> None:
    assert parse_growth("5%/month") == pytest.approx(0.05)
    assert parse_growth("-10%/month") == pytest.approx(-0.10)
    assert parse_growth("80%/year") == pytest.approx(1.8 ** (1 / 12) - 1)
    event = parse_event("2026-12-01..2026-12-24=x1.4")
    assert event.end_s - event.start_s == 24 * 86_400.0
    assert event.times == 1.4
    with pytest.raises(InputError, match="no event"):
        parse_event("2026-12-24..2026-12-01=x1.4")
