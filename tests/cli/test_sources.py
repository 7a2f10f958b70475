"""``--source``: a recording once more, or a function of the user's own, in every command."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fastsim.load.schedule import Schedule
from fastsim.twin import trial
from tests.cli.running import run

Capture = pytest.CaptureFixture[str]
MODEL = """
version: 1
endpoints: {GET /items: [cpu: 2ms, db: 10ms], POST /orders: [cpu: 4ms]}
loop: {}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A model, and a recording of 600 requests in 60 s, half of them in 3 s of it."""
    rng = np.random.default_rng(2)
    at_s = np.sort(np.concatenate([rng.random(300) * 60.0, 30.0 + rng.random(300) * 3.0]))
    endpoints = ("GET /items", "POST /orders", "GET /other")
    spans = [
        {
            "traceId": f"{n + 1:032x}", "spanId": f"{n + 1:016x}", "name": name, "kind": 2,
            "startTimeUnixNano": str(1_700_000_000 * 10**9 + int(moment * 1e9)),
            "endTimeUnixNano": str(1_700_000_000 * 10**9 + int(moment * 1e9) + 5_000_000),
            "attributes": [
                {"key": "http.request.method", "value": {"stringValue": name.split()[0]}},
                {"key": "http.route", "value": {"stringValue": name.split()[1]}},
            ],
        }
        for n, moment in enumerate(at_s.tolist())
        for name in [endpoints[n % 3]]
    ]  # fmt: skip
    line = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]}
    (tmp_path / "traces.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "model.yaml").write_text(MODEL)
    return tmp_path / "model.yaml", tmp_path / "traces.jsonl"


def answered(capsys: Capture) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_recording_is_repeated_and_its_rush_is_felt(
    files: tuple[Path, Path], capsys: Capture
) -> None:
    model, traces = files
    few = ("--replications", "2", "--json")
    assert run("run", model, "--source", traces, *few) == 0
    told = capsys.readouterr()
    assert "200 of 600 recorded requests are for other endpoints: left out" in told.err
    found = json.loads(told.out)
    assert found["endpoints"]["GET /items"]["requests"] == 2 * 200
    assert found["rate_per_s"] == pytest.approx(400 / 60, rel=0.02)
    # In the rush 67/s ask for 3 ms of code each.
    assert run("run", model, "--source", f"{traces} x6", *few) == 0
    rush = answered(capsys)
    assert run("run", model, "--rate", "40/s", *few) == 0
    steady = answered(capsys)
    assert rush["rate_per_s"] == pytest.approx(steady["rate_per_s"], rel=0.02)
    p95 = [found["total"]["latency"]["p95"]["value"] for found in (rush, steady)]  # type: ignore[index]
    assert p95[0] > 5 * p95[1]


def test_a_rate_scales_it_and_less_time_makes_it_denser(
    files: tuple[Path, Path], capsys: Capture
) -> None:
    model, traces = files
    few = ("--replications", "2", "--json")
    assert run("run", model, "--source", traces, "--rate", "20/s", *few) == 0
    assert answered(capsys)["rate_per_s"] == 20.0
    assert run("run", model, "--source", f"{traces} in 20s", *few) == 0
    found = answered(capsys)
    assert found["provenance"]["inputs"].keys() == {str(model), str(traces)}  # type: ignore[index]
    assert found["duration_s"] == 20.0
    assert found["rate_per_s"] == pytest.approx(20.0, rel=0.02)


def test_a_limit_is_a_multiple_of_what_was_recorded(
    files: tuple[Path, Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough to see both rush and calm.
    monkeypatch.setattr(trial, "LEAST_REQUESTS", 3_000)
    model, traces = files
    asked = ("--slo", "p95 < 60ms", "--replications", "2", "--json")
    assert run("limit", model, "--source", traces, *asked) == 0
    rush = answered(capsys)
    assert run("limit", model, *asked) == 0
    steady = answered(capsys)
    # The rush is what misses the goal, at a mean rate far below the one that would.
    assert rush["rate"]["value"] < 0.5 * steady["rate"]["value"]  # type: ignore[index]
    assert rush["saturation"]["value"] == pytest.approx(steady["saturation"]["value"], rel=0.1)  # type: ignore[index]


def test_a_function_is_asked_by_run_sweep_and_size(
    files: tuple[Path, Path], capsys: Capture
) -> None:
    model, _ = files
    own = model.with_name("own.py")
    own.write_text(
        "def arrivals(rate_per_s, duration_s, random):\n"
        "    return [(m, 'POST /orders') for m in random.random(int(rate_per_s * duration_s))"
        " * duration_s]\n"
    )
    source = ("--source", f"{own}:arrivals", "--rate", "50/s", "--json")
    assert run("run", model, *source, "--replications", "2", "--duration", "10s") == 0
    found = answered(capsys)
    assert found["endpoints"]["POST /orders"]["requests"] == 2 * 500  # type: ignore[index]
    assert found["provenance"]["inputs"].keys() == {str(model), str(own)}  # type: ignore[index]
    varied = ("--vary", "deployment.workers=1,2")
    assert run("sweep", model, *source, "--replications", "2", "--duration", "10s", *varied) == 0
    assert len(answered(capsys)["points"]) == 2  # type: ignore[arg-type]
    assert run("size", model, *source, *varied, "--slo", "p95 < 100ms") == 0
    assert answered(capsys)["best"]["settings"] == {"deployment.workers": 1}  # type: ignore[index]


def test_a_scenario_finds_its_source_beside_itself(
    files: tuple[Path, Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, _ = files
    scenario = model.with_name("rush.yaml")
    scenario.write_text(
        "version: 1\nkind: scenario\nmodel: model.yaml\nreplications: 2\n"
        "traffic: {source: traces.jsonl x2}\n"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run("run", scenario, "--json") == 0
    assert answered(capsys)["rate_per_s"] == pytest.approx(800 / 60, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "nowhere.jsonl"], "nowhere.jsonl does not exist"),
        (["--source", "TRACES", "--duration", "5s"], "the recording has its own duration"),
        (["--source", "TRACES", "--mix", "GET /items=100%"], "the recording has its own mix"),
        (["--source", "TRACES", "--phases", "5s 3/s"], "phases says it a second time"),
        (["--source", "TRACES", "--bursts", "x4 for 2s every 20s"], "bursts says it a second"),
        (["--source", "TRACES", "--users", "4"], "users says it a second time"),
        (["--source", "TRACES x0"], "is no traffic"),
        (["--source", "own.py:arrivals"], "there is no Python file own.py"),
        (["--source", "OTHERS"], "holds no requests for what the service is asked for"),
    ],
)
def test_what_cannot_be_is_refused(
    files: tuple[Path, Path], capsys: Capture, arguments: list[str], said: str
) -> None:
    model, traces = files
    others = traces.with_name("others.jsonl")
    others.write_text(traces.read_text().replace("/items", "/x").replace("/orders", "/y"))
    given = [a.replace("TRACES", str(traces)).replace("OTHERS", str(others)) for a in arguments]
    assert run("run", model, *given) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_function_that_fails_is_said_with_its_line(
    files: tuple[Path, Path], capsys: Capture
) -> None:
    model, _ = files
    own = model.with_name("own.py")
    own.write_text("def arrivals(rate_per_s, duration_s, random):\n    return 1 / 0\n")
    assert run("run", model, "--source", f"{own}:arrivals", "--rate", "5/s") == 2
    assert "own.py:2" in "".join(capsys.readouterr().err.split())
    own.write_text("def other(rate_per_s, duration_s, random):\n    return [(0.5, 'GET /no')]\n")
    assert run("run", model, "--source", f"{own}:other", "--rate", "5/s") == 2
    assert "GET /no" in capsys.readouterr().err


def test_load_sends_the_same_requests(
    files: tuple[Path, Path], capsys: Capture, tmp_path: Path
) -> None:
    _, traces = files
    schedule = tmp_path / "schedule.json"
    # Nobody listens there: what would be sent is written down first where the mix needs no login.
    mix = "GET /items=50%,POST /orders=50%"
    url = "http://127.0.0.1:9"
    sent = ("--mix", mix, "--source", f"{traces} in 6s", "--save-schedule", schedule)
    assert run("load", url, *sent, "--duration", "5s") == 2
    assert "a recording has its own duration" in " ".join(capsys.readouterr().err.split())
    assert run("load", url, *sent, "--arrivals", "uniform") == 2
    assert "--arrivals says it a second time" in " ".join(capsys.readouterr().err.split())


def test_a_schedule_has_the_endpoints_of_its_source(files: tuple[Path, Path]) -> None:
    from fastsim.cli.sources import read_source
    from fastsim.load.schedule import draw_schedule
    from fastsim.load.traffic_file import parse_mix

    _, traces = files
    mix = parse_mix("POST /orders=50%,GET /items=50%")
    source = read_source(f"{traces} in 6s", [entry.endpoint for entry in mix])
    assert source.rate_per_s is not None
    drawn = draw_schedule(mix, rate_per_s=source.rate_per_s, duration_s=1.0, source=source)
    assert drawn.duration_s == 6.0
    asked = Counter(drawn.targets[number].endpoint for number in drawn.target.tolist())
    assert asked == {"GET /items": 200, "POST /orders": 200}
    assert Schedule.from_json(drawn.to_json()).arrivals == "source"
