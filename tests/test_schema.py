"""JSON Schemas: what people write and FastSim prints is valid, what is wrong is not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from fastsim.errors import UnknownNameError
from fastsim.model import ServiceModel
from fastsim.report.json import to_json
from fastsim.scenario import TrafficPlan
from fastsim.schema import KINDS, schema_of
from fastsim.twin import forecast_run
from fastsim.yaml_source import dump_yaml, parse_yaml
from tests.model_file import MODEL, SCENARIO

ROOT = Path(__file__).parents[1]


def examples(page: str) -> list[str]:
    text = (ROOT / "docs" / "reference" / page).read_text()
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


MODELS = [*examples("model.md"), MODEL]


def problems(kind: str, text: str) -> list[str]:
    value: Any = yaml.safe_load(text)
    return [error.message for error in Draft202012Validator(schema_of(kind)).iter_errors(value)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_valid_schema(kind: str) -> None:
    Draft202012Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize("text", MODELS)
def test_models_are_valid_as_they_are_written_and_as_they_are_saved(text: str) -> None:
    assert problems("model", text) == []
    assert problems("model", dump_yaml(parse_yaml(text, ServiceModel))) == []


@pytest.mark.parametrize("text", [*examples("scenario.md"), SCENARIO])
def test_scenarios_are_valid(text: str) -> None:
    assert problems("scenario", text) == []


def test_traffic_of_the_example_is_valid() -> None:
    assert problems("traffic", (ROOT / "examples" / "shop" / "traffic.yaml").read_text()) == []


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("model", "endpoints: {GET /: [cpu: 8]}"),
        ("model", "endpoints: {GET /: [{cpu: 8ms, size: 2}]}"),
        ("model", "endpoints: {GET /: [cpu: 8 parsecs]}"),
        ("model", "endpoints: {GET /: [cup: 8ms]}"),
        ("model", "endpoints: {GET /: [cpu: 8ms, {db: 1ms, wehre: x}]}"),
        ("model", "endpoints: {GET /: [{db: 1ms, http: 2ms, steps: 3}]}"),
        ("model", "endpoints: {GET /: [parallel: [[cpu: {gama: 3ms}]]]}"),
        ("model", "endpoints: {GET /: [respnod]}"),
        ("model", "endpoints: {GET /: []}\nresources: {db: {size: 5, timeout: 30}}"),
        ("model", "endpoints: {GET /: []}\nlimits: {api: {rate: 5}}"),
        ("scenario", "model: m.yaml\ntraffic: {rate: 300}"),
        ("scenario", "model: m.yaml\ndeployment: {balancer: fastest}"),
        ("scenario", "traffic: {rate: 300/s}"),
        ("traffic", "requests: []"),
    ],
)
def test_mistakes_are_found(kind: str, wrong: str) -> None:
    assert problems(kind, wrong)


def test_answers_are_valid() -> None:
    model = parse_yaml(MODELS[0], ServiceModel)
    run, _ = forecast_run(model, traffic=TrafficPlan(rate=20.0, duration=5.0), replications=2)
    assert list(Draft202012Validator(schema_of("run")).iter_errors(json.loads(to_json(run)))) == []


def test_what_there_is_no_schema_of() -> None:
    with pytest.raises(UnknownNameError, match="modle"):
        schema_of("modle")
