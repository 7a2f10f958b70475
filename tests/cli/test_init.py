"""``fastsim init``: the files that it writes are right, and say what to look at."""

import json
from pathlib import Path

import pytest
from fastapi import FastAPI

from fastsim.load.traffic_file import TrafficFile
from fastsim.model import ServiceModel
from fastsim.report import to_json
from fastsim.scenario import Scenario
from fastsim.yaml_source import dump_yaml, load_yaml
from tests.cli.running import run
from tests.report import results

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(directory: Path) -> tuple[Scenario, TrafficFile]:
    scenario = load_yaml(directory / "scenario.yaml", Scenario)
    return scenario, load_yaml(directory / "traffic.yaml", TrafficFile)


def test_without_anything_a_service_to_fill_in(here: Path, capsys: Capture) -> None:
    assert run("init") == 0
    assert run("check", "model.yaml", "scenario.yaml", "traffic.yaml") == 0
    capsys.readouterr()
    assert run("run", "scenario.yaml", "--replications", "2", "--duration", "5s") == 0
    assert "all 2 goals are met" in capsys.readouterr().out


def test_from_a_model(here: Path, capsys: Capture) -> None:
    (here / "models").mkdir()
    (here / "models" / "shop.yaml").write_text(dump_yaml(results.service_model()))
    (here / "asked").mkdir()
    assert run("init", "models/shop.yaml", "-o", "asked") == 0
    assert not (here / "asked" / "model.yaml").exists()
    scenario, traffic = written(here / "asked")
    assert scenario.model == str(Path("..") / "models" / "shop.yaml")
    assert scenario.traffic.rate == 150.0
    recorded = {each.name: each.share for each in results.service_model().endpoints}
    assert {each.endpoint: each.share for each in traffic.requests} == pytest.approx(recorded)
    assert run("check", "asked/scenario.yaml", "asked/traffic.yaml") == 0


def described(here: Path) -> Path:
    app = FastAPI(title='the "store"')

    @app.get("/items/{item_id}")
    def item(item_id: int) -> int:
        return item_id

    @app.post("/items")
    def add(item: dict[str, int]) -> int:
        return len(item)

    path = here / "openapi.json"
    path.write_text(json.dumps(app.openapi()))
    return path


def test_from_a_description(here: Path) -> None:
    assert run("init", described(here)) == 0
    model = load_yaml(here / "model.yaml", ServiceModel)
    assert model.service == 'the "store"'
    _, traffic = written(here)
    get, post = traffic.requests
    assert (get.endpoint, get.path) == ("GET /items/{item_id}", "/items/{1..100}")
    assert post.json_body == {}
    assert run("check", "model.yaml", "scenario.yaml", "traffic.yaml") == 0


def test_what_is_there_stays(here: Path, capsys: Capture) -> None:
    (here / "traffic.yaml").write_text("mine")
    assert run("init") == 2
    assert "traffic.yaml exists" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["traffic.yaml"]
    assert run("init", "--force") == 0


@pytest.mark.parametrize(
    ("sources", "says"),
    [
        (["absent.yaml"], "absent.yaml"),
        (["run.json"], "no OpenAPI description"),
        (["openapi.json", "openapi.json"], "two descriptions"),
        (["http://127.0.0.1:9/openapi.json"], "gave no answer"),
        (["http://example.com/openapi.json"], "not this machine"),
    ],
)
def test_sources_that_are_wrong(here: Path, sources: list[str], says: str, capsys: Capture) -> None:
    described(here)
    (here / "run.json").write_text(to_json(results.run()))
    assert run("init", *sources) == 2
    assert says in capsys.readouterr().err
