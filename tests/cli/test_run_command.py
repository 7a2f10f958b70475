import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fastsim.cli.main import app
from fastsim.cli.question import apply_settings, parse_mix, read_question
from fastsim.errors import FastSimError, InputError
from fastsim.result import Run
from fastsim.twin.metrics import Measures
from fastsim.twin.plan import Plan
from fastsim.twin.simulation import simulate_once
from fastsim.yaml_source import dump_yaml
from tests.twin.replication_story import shop

BRIEF = ("--rate", "100/s", "--duration", "2s", "--warmup", "0.5s", "--replications", "2")

SCENARIO = """\
kind: scenario
model: model.yaml
traffic:
  rate: 80/s
  duration: 2s
  warmup: 0s
slo:
  - p95 < 10s
replications: 2
seed: 5
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(dump_yaml(shop()))
    return path


@pytest.fixture
def scenario(model: Path) -> Path:
    path = model.with_name("scenario.yaml")
    path.write_text(SCENARIO)
    return path


def fastsim_run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


def problem(*arguments: object) -> FastSimError:
    result = fastsim_run(*arguments)
    assert isinstance(result.exception, FastSimError), result.output
    assert result.stdout == ""
    return result.exception


def answer(*arguments: object) -> Run:
    result = fastsim_run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return Run.model_validate_json(result.stdout)


def test_a_model_is_simulated_at_the_rate_asked_for(model: Path) -> None:
    run = answer(model, *BRIEF)
    assert run.rate_per_s == 100.0
    assert (run.duration_s, run.replications) == (2.0, 2)
    assert run.verdict == "none"
    assert run.provenance.inputs.keys() == {str(model)}


def test_without_flags_the_recorded_traffic_is_simulated(model: Path) -> None:
    assert answer(model, "--duration", "1s", "--replications", "1").rate_per_s == 200.0


def test_a_scenario_brings_its_traffic_goals_and_model(scenario: Path) -> None:
    run = answer(scenario)
    assert (run.rate_per_s, run.seed, run.verdict) == (80.0, 5, "yes")
    assert [goal.text for goal in run.slo] == ["p95 < 10s"]
    assert len(run.provenance.inputs) == 2


def test_flags_override_the_scenario_and_goals_add_up(scenario: Path) -> None:
    run = answer(scenario, "--rate", "50/s", "--seed", "6", "--slo", "errors < 1%")
    assert (run.rate_per_s, run.seed, len(run.slo)) == (50.0, 6, 2)


def test_the_same_command_prints_the_same_bytes(model: Path) -> None:
    first = fastsim_run(model, *BRIEF, "--json").stdout
    assert fastsim_run(model, *BRIEF, "--json").stdout == first
    assert fastsim_run(model, *BRIEF, "--json", "--seed", "2").stdout != first


def test_text_is_the_default_and_progress_stays_off_standard_output(model: Path) -> None:
    result = fastsim_run(model, *BRIEF)
    assert result.exit_code == 0
    assert "GET /items" in result.stdout
    assert "p95" in result.stdout
    assert result.stderr == ""


def test_a_missed_goal_is_exit_code_1(model: Path) -> None:
    result = fastsim_run(model, *BRIEF, "--slo", "GET /items: p50 < 1ms", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["verdict"] == "no"


def test_overload_without_goal_is_no_answer_but_is_shown(model: Path) -> None:
    result = fastsim_run(model, *BRIEF, "--rate", "900/s", "--json")
    assert isinstance(result.exception, FastSimError)
    assert result.exception.exit_code == 3
    assert "latency has no steady value" in json.loads(result.stdout)["warnings"][0]


def test_overload_with_a_goal_is_a_no(model: Path) -> None:
    result = fastsim_run(model, *BRIEF, "--rate", "900/s", "--slo", "p95 < 1000s")
    assert result.exit_code == 1


def test_the_result_is_written_and_not_overwritten(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    assert fastsim_run(model, *BRIEF, "-o", target).exit_code == 0
    before = target.read_text()
    assert Run.model_validate_json(before).source == "twin"
    assert problem(model, *BRIEF, "-o", target).exit_code == 2
    assert target.read_text() == before
    assert fastsim_run(model, *BRIEF, "--seed", "9", "-o", target, "--force").exit_code == 0
    assert target.read_text() != before


def test_settings_change_the_deployment(model: Path) -> None:
    settings = ("--set", "deployment.workers=2", "--set", "deployment.resources.db.capacity=8")
    run = answer(model, *BRIEF, *settings)
    assert run.resources["db"].capacity == 8
    assert "2 workers" in run.title


def test_settings_reach_every_kind_of_key(scenario: Path) -> None:
    settings = [
        "traffic.rate=40/s",
        "traffic.mix.GET /items=25%",
        "deployment.limit_concurrency=9",
        "deployment.resources.db.capacity=3",
        "seed=11",
        "replications=4",
    ]
    asked = apply_settings(read_question(scenario), settings).scenario
    assert asked.traffic.rate == 40.0
    assert asked.traffic.mix == {"GET /items": 0.25}
    assert asked.deployment.limit_concurrency == 9
    assert asked.deployment.resources["db"].capacity == 3
    assert (asked.seed, asked.replications) == (11, 4)
    assert asked.traffic.duration == 2.0  # what is not set stays


def test_settings_do_not_round_what_they_leave_alone(scenario: Path) -> None:
    scenario.write_text(SCENARIO.replace("80/s", "83.123456789/s"))
    asked = apply_settings(read_question(scenario), ["traffic.duration=3s"]).scenario
    assert asked.traffic.rate == 83.123456789


@pytest.mark.parametrize(
    ("setting", "message", "hint"),
    [
        ("deployment.wrokers=4", "wrokers", "workers"),
        ("deployment.workers=four", "four", ""),
        ("deployment.workers=0", "0", ""),
        ("traffic.rate=40", "40", "add a unit"),
        ("deployment.workers", "not a setting", "--set"),
        ("=4", "not a setting", "--set"),
        ("deployment.resources.dbb.capacity=4", "dbb", "'db'"),
        ("deployment.resources.db.size=4", "size", ""),
        ("slo=p95 < 1s", "slo", "--slo"),
        ("deployment=4", "4", ""),
        ("traffic.rate.x=4", "", ""),
    ],
)
def test_a_wrong_setting_is_refused_with_a_hint(
    model: Path, setting: str, message: str, hint: str
) -> None:
    error = problem(model, *BRIEF, "--set", setting)
    assert error.exit_code == 2
    assert message in error.message
    assert hint in (error.hint or "")
    assert error.where == f"--set {setting}"


@pytest.mark.parametrize(
    ("flags", "where"),
    [
        (("--rate", "100"), "--rate"),
        (("--duration", "5"), "--duration"),
        (("--warmup", "x"), "--warmup"),
        (("--mix", "GET /items"), "--mix"),
        (("--mix", "GET /itms=10%"), "mix"),
    ],
)
def test_a_wrong_flag_is_named(model: Path, flags: tuple[str, ...], where: str) -> None:
    error = problem(model, *flags)
    assert error.exit_code == 2
    assert error.where == where


def test_a_goal_on_an_unknown_endpoint_is_refused(model: Path) -> None:
    error = problem(model, *BRIEF, "--slo", "GET /itms: p95 < 1s")
    assert error.exit_code == 2
    assert error.hint == "did you mean 'GET /items'?"


def test_files_that_cannot_be_asked_are_refused(tmp_path: Path) -> None:
    texts = {"missing": None, "empty": "", "text": "hello", "run": "kind: run", "torn": "{"}
    for name, text in texts.items():
        path = tmp_path / f"{name}.yaml"
        if text is not None:
            path.write_text(text)
        assert problem(path).exit_code == 2


def test_a_scenario_without_its_model_names_the_model(scenario: Path, model: Path) -> None:
    model.unlink()
    assert "model.yaml does not exist" in problem(scenario).message


def test_mixes_are_read() -> None:
    assert parse_mix("GET /a=60%, GET /b?x=1=40%") == {"GET /a": 0.6, "GET /b?x=1": 0.4}
    for wrong in ("GET /a", "=50%", "GET /a=1", "GET /a=10%,GET /a=20%", "GET /a=150%"):
        with pytest.raises(InputError):
            parse_mix(wrong)


def test_ctrl_c_leaves_what_has_been_simulated(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def once(plan: Plan, seed: int) -> Measures:
        calls.append(seed)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return simulate_once(plan, seed)

    monkeypatch.setattr("fastsim.twin.processes.simulate_once", once)
    result = CliRunner().invoke(app, ["run", str(model), *BRIEF[:-1], "8", "--jobs", "1"])
    assert result.exit_code == 130
    assert "stopped after 3 replications" in " ".join(result.stdout.split())
    assert "3 replications of 2s" in " ".join(result.stdout.split())


def test_a_slower_part_is_asked_for_and_said(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("version: 1\nendpoints: {GET /: [{db: 20ms, label: pg}, cpu: 1ms]}\n")
    runner = CliRunner()

    def p50(*options: str) -> tuple[float, str]:
        result = runner.invoke(app, ["run", str(path), *BRIEF, "--json", *options])
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        return found["total"]["latency"]["p50"]["value"], found["title"]

    usual, _ = p50()
    slow, title = p50("--slow", "db=2x")
    assert 0.017 < slow - usual < 0.024
    assert "with db ×2" in title
    fast, title = p50("--faster", "pg=200%", "--slow", "cpu=1.5")
    assert fast < usual - 0.008
    assert "cpu ×1.5" in title
    assert "pg ÷2" in title
    for wrong in ("db", "db=", "db=0x", "db=fast", "=2x", "kafka=2x"):
        result = runner.invoke(app, ["run", str(path), "--slow", wrong])
        assert isinstance(result.exception, FastSimError)
        assert result.exception.where == "--slow"


def test_users_ask_instead_of_a_rate(model: Path) -> None:
    asked = (model, "--users", "20", "--think", "100ms", "--duration", "5s")
    found = answer(*asked)
    assert found.users == 20
    assert 0.0 < found.rate_per_s < 200.0
    assert fastsim_run(*asked).stdout.startswith("20 users, ")
    assert "leave users or rate out" in str(problem(*asked, "--rate", "5/s").hint)
    assert "that of users" in problem(model, "--think", "1s").message


def test_bursts_make_it_slower_at_the_same_mean_rate(model: Path) -> None:
    def p95_s(*more: str) -> float:
        asked = ("--rate", "200/s", "--duration", "60s", "--replications", "3")
        latency = answer(model, *asked, *more).total.latency
        assert latency is not None
        return latency.p95.value

    assert p95_s("--bursts", "x2 for 1s every 5s") > 1.2 * p95_s()
    assert "at most x10" in problem(model, "--bursts", "x30 for 1s every 10s").message
    few = answer(model, "--rate", "20/s", "--duration", "20s", "--bursts", "x3 for 1s every 10s")
    assert any("hold about 2 bursts" in warning for warning in few.warnings)
