"""The self-check follows the rule of every comparison, and says why where it fails."""

from dataclasses import replace

import numpy as np
import pytest

from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.selfcheck import SelfCheck, check_warnings, replay_recording
from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.twin import sample, simulate
from fastsim.twin.processes import shared
from fastsim.yaml_writing import dump_yaml
from tests.calibrate.trace_formats import trace

RATE, REQUESTS = 60.0, 3_000


@pytest.fixture(scope="module")
def template() -> RequestSet:
    return collect_requests(trace(3), skip_first_s=0.0)


def service(cpu: float = 0.004, wait: float = 0.020, *, twice: bool = False) -> ServiceModel:
    take: dict[str, object] = {"do": "acquire", "resource": "db"}
    steps: list[dict[str, object]] = [
        {"do": "cpu", "time": {"family": "gamma", "mean": cpu, "shape": 8.0}},
        *([take, take] if twice else []),
        {"do": "wait", "kind": "db", "time": {"family": "gamma", "mean": wait, "shape": 8.0}},
    ]
    return ServiceModel.model_validate(
        {
            "service": "s",
            "resources": {"db": {"capacity": 1}},
            "endpoints": [{"name": "GET /", "share": 1.0, "variants": [{"steps": steps}]}],
        }
    )


def recorded(truth: ServiceModel, template: RequestSet) -> RequestSet:
    drawn = sample(truth, rate_per_s=RATE, duration_s=REQUESTS / RATE, seed=5)
    outcome = simulate(drawn, resolve_deployment(truth, Deployment()), truth.loop)
    n = len(drawn)
    zeros = np.zeros(n, np.int64)
    return replace(
        template,
        endpoints=("GET /",),
        endpoint=zeros,
        start_ns=(drawn.arrival_s * 1e9).astype(np.int64),
        duration_ns=((outcome.respond_s - outcome.start_s) * 1e9).astype(np.int64),
        instance=zeros,
        rejected=zeros.astype(np.bool_),
        warm_up=zeros.astype(np.bool_),
        stand_for=np.ones(n),
        counters=dict.fromkeys(template.counters, np.full(n, -1)),
        _timelines=(None,) * n,
    )


def test_a_right_model_repeats_its_recording(template: RequestSet) -> None:
    found = replay_recording(service(), recorded(service(), template))
    assert {row.metric: row.verdict for row in found.rows} == {"p50": "agrees", "p95": "agrees"}
    assert check_warnings(found) == []


def test_it_says_the_same_on_several_processes(template: RequestSet) -> None:
    requests = recorded(service(), template)
    with shared(2) as jobs:
        jobs.start()
        assert replay_recording(service(), requests, jobs=jobs) == replay_recording(
            service(), requests
        )


def test_a_sample_is_replayed_among_the_requests_that_it_leaves_out(template: RequestSet) -> None:
    """A loop that was 60 % busy would be 15 % busy with the sample alone."""
    busy = service(cpu=0.010)
    everything = recorded(busy, template)
    kept = np.flatnonzero(np.random.default_rng(2).random(len(everything)) < 0.25)
    sample = replace(
        everything,
        start_ns=everything.start_ns[kept],
        duration_ns=everything.duration_ns[kept],
        endpoint=everything.endpoint[kept],
        instance=everything.instance[kept],
        rejected=everything.rejected[kept],
        warm_up=everything.warm_up[kept],
        counters={name: values[kept] for name, values in everything.counters.items()},
        stand_for=np.full(len(kept), 4.0),
        _timelines=(None,) * len(kept),
    )
    right = replay_recording(busy, sample)
    assert "off" not in {row.verdict for row in right.rows}
    assert [row.error for row in right.rows] == pytest.approx([0.0, 0.0], abs=0.15)
    alone = replay_recording(busy, replace(sample, stand_for=np.ones(len(kept))))
    assert alone.rows[1].error < -0.2


def test_a_wrong_model_is_off(template: RequestSet) -> None:
    found = replay_recording(service(wait=0.030), recorded(service(), template))
    assert {row.verdict for row in found.rows} == {"off"}
    assert found.rows[0].error == pytest.approx(0.4, abs=0.1)
    [first, *_] = check_warnings(found)
    assert "does not repeat its own recording: GET / p50 (+" in first


def test_requests_that_never_end_are_told_and_nothing_unreadable_is_written(
    template: RequestSet,
) -> None:
    stuck = service(twice=True)
    found = replay_recording(stuck, recorded(service(), template))
    assert found.rows == []
    [told] = check_warnings(found)
    assert "never end in the twin" in told
    text = dump_yaml(stuck.model_copy(update={"self_check": found.rows, "warnings": [told]}))
    assert "nan" not in text


def test_reasons_name_the_part_of_the_time_that_differs() -> None:
    from fastsim.calibrate.selfcheck import _Parts, _reason, _use_reason

    assert "its code takes 9ms in the twin, 4ms in the recording" in _reason(
        "GET /", _Parts(0.004, 0.020), _Parts(0.009, 0.021)
    )
    assert "it waits" in _reason("GET /", _Parts(0.004, 0.020), _Parts(0.005, 0.040))
    assert _use_reason(0.50, 0.51) == []
    assert "58% busy in the twin, 70% in the recording" in _use_reason(0.70, 0.58)[0]
    assert check_warnings(SelfCheck([], {}, 0.5)) == []
