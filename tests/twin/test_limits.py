"""Rate limits and stations of the user's own."""

from pathlib import Path

import numpy as np
import pytest

from fastsim.errors import InputError
from fastsim.limit import Limit
from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, TrafficPlan, resolve_deployment
from fastsim.twin import forecast_run, sample, simulate
from fastsim.twin.limits import Gate, TokenBucket, make_station
from fastsim.twin.workload import Outcome
from fastsim.yaml_source import parse_yaml

MODEL = """
endpoints: {{GET /: [cpu: 1us, limit: api, http: 5ms]}}
limits: {{api: {api}}}
process: {{workers: {workers}, cores: {workers}}}
loop: {{}}
"""


def model(api: str, workers: int = 1) -> ServiceModel:
    return parse_yaml(MODEL.format(api=api, workers=workers), ServiceModel)


def ran(service: ServiceModel, rate: float, n: int, seed: int = 1) -> tuple[float, Outcome]:
    drawn = sample(service, rate_per_s=rate, duration_s=n / rate, seed=seed)
    return float(drawn.arrival_s[-1]), simulate(
        drawn, resolve_deployment(service, Deployment()), service.loop
    )


def test_tokens_come_back_at_the_rate_and_no_further_than_the_burst() -> None:
    bucket = TokenBucket(10.0, 2, waits=True)
    assert [bucket.enter(5.0) for _ in range(4)] == pytest.approx([0.0, 0.0, 0.1, 0.2])
    assert bucket.enter(5.25) == pytest.approx(0.05)
    assert [bucket.enter(9.0) for _ in range(3)] == pytest.approx([0.0, 0.0, 0.1])


def test_who_must_not_wait_takes_no_token() -> None:
    bucket = TokenBucket(10.0, 1, waits=False)
    assert [bucket.enter(at) for at in (1.0, 1.05, 1.09, 1.1)] == [0.0, -1.0, -1.0, 0.0]


def test_waiting_for_tokens_is_a_queue_of_constant_service() -> None:
    """A bucket of one is M/D/1: the mean wait is that of Pollaczek and Khinchine."""
    _, outcome = ran(model("100/s"), 70.0, 60_000)
    # The loop sleeps whole milliseconds: half of one more, for those who wait.
    waited = outcome.pool_wait_s[1_000:]
    assert waited.mean() == pytest.approx(0.7 * 0.01 / (2.0 * 0.3), rel=0.05)
    assert outcome.resource_acquires.tolist() == [len(outcome.pool_wait_s)]
    assert not outcome.failure.any()


def test_refusing_serves_as_theory_has_it() -> None:
    """The next token is a tenth of a second after the last; then the next arrival takes it."""
    duration_s, outcome = ran(model("{rate: 10/s, full: refuse}"), 20.0, 40_000)
    served = (outcome.failure == 0).sum() / duration_s
    assert served == pytest.approx(1.0 / (1.0 / 10.0 + 1.0 / 20.0), rel=0.02)
    assert outcome.failure.max() == 1


def test_a_limit_of_the_service_is_shared_by_its_workers() -> None:
    served = {}
    for scope in ("worker", "service"):
        service = model(f"{{rate: 10/s, full: refuse, scope: {scope}}}", workers=3)
        duration_s, outcome = ran(service, 2_000.0, 20_000)
        assert len(set(outcome.worker.tolist())) == 3
        served[scope] = np.bincount(outcome.worker[outcome.failure == 0]) / duration_s
    assert served["service"].sum() == pytest.approx(10.0, rel=0.03)
    # Not every worker has a request for every token of its own, but none has more of them.
    assert served["worker"].sum() > 15.0
    assert served["worker"].max() <= 10.2


def test_a_branch_that_is_refused_fails_its_request() -> None:
    service = parse_yaml(
        "endpoints: {GET /: [parallel: [[limit: api, http: 5ms], [http: 9ms]], cpu: 1ms]}\n"
        "limits: {api: {rate: 1/min, full: refuse}}\nloop: {}",
        ServiceModel,
    )
    _, outcome = ran(service, 5.0, 20)
    assert outcome.failure.tolist() == [0] + [1] * (len(outcome.failure) - 1)


def test_a_full_limit_is_named_and_raising_it_is_tried() -> None:
    service = model("{rate: 20/s}")
    traffic = TrafficPlan(rate=30.0, duration=20.0)
    found = forecast_run(service, traffic=traffic, replications=2, with_advice=True)
    assert found.run.resources["api"].rate_per_s == 20.0
    assert found.run.capacity is not None
    assert found.run.capacity.resource == "api"
    assert found.run.capacity.per_s == pytest.approx(20.0, rel=0.03)
    assert [advice.change for advice in found.run.advice] == ["api=40/s"]


OWN = '''
class Quota:
    """So many in all, each a little later than the one before."""

    def __init__(self, most, each_s):
        self.left, self.each_s = most, each_s

    def enter(self, now):
        self.left -= 1
        return self.each_s * (10 - self.left) if self.left >= 0 else -1


class Broken:
    def enter(self, now):
        return 1 / 0


nothing = 7
'''


def test_a_station_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "quota.py").write_text(OWN)
    own = f"{{station: '{tmp_path}/quota.py:Quota', parameters: {{most: 3, each_s: 0.5}}}}"
    _, outcome = ran(model(own), 0.1, 8)
    assert (outcome.failure == 0).sum() == 3
    assert outcome.pool_wait_s[:3] == pytest.approx([4.0, 4.5, 5.0])
    assert np.isfinite(outcome.done_s).all()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("quota.py:Missing", "AttributeError"),
        ("quota.py:nothing", "TypeError"),
        ("none.py:Quota", "there is no Python file"),
        ("quota.py", "names no class"),
        ("quota.py:Quota", "TypeError"),
    ],
)
def test_what_is_wrong_with_ones_own_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    (tmp_path / "quota.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        make_station(Limit(station=place))


def test_a_station_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quota.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    gate = Gate(Limit(station="quota.py:Broken"))
    with pytest.raises(InputError, match=r"quota\.py:Broken .*ZeroDivisionError"):
        gate.enter(0.0)
