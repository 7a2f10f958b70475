"""What part of all requests traces are: as they say, as asked, or by all appearances."""

import json
from pathlib import Path

import numpy as np
import pytest

from fastsim.calibrate.readers import read_spans
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.sampled import (
    NOT_TOLD,
    Sampling,
    fair_sample,
    kept_by,
    slow_ones_kept,
    stands_for,
)
from fastsim.errors import InputError
from fastsim.spans import Attributes, Span, SpanKind
from tests.calibrate.otlp_examples import export, raw_span
from tests.calibrate.timeline_story import attributes
from tests.calibrate.trace_formats import console, jaeger, protobuf, trace, zipkin

MS = 1_000_000
START = 1_760_000_000_000_000_000


def span(
    number: int,
    more: Attributes | None = None,
    *,
    took_ms: float = 20.0,
    route: str = "/a",
    state: str = "",
) -> Span:
    attributes: Attributes = {"http.request.method": "GET", "http.route": route}
    begin = START + number * 50 * MS
    return Span(
        f"{number:032x}", "r", None, SpanKind.SERVER, f"GET {route}", begin,
        begin + round(took_ms * MS), service="shop",
        attributes=attributes | (more or {}), trace_state=state,
    )  # fmt: skip


def collected(spans: list[Span], sampled: float | None = None) -> RequestSet:
    return collect_requests(spans, skip_first_s=0.0, sampled=sampled)


@pytest.mark.parametrize(
    ("state", "count"),
    [
        ("ot=th:0", 1.0),
        ("ot=th:8", 2.0),
        ("ot=th:c", 4.0),
        ("ot=th:fd70a3d70a3d71", 100.0),
        ("vendor=x;th:c,ot=rv:abcdef01234567;th:c", 4.0),
        ("ot=p:3;r:62", 8.0),
        ("es=s:0.1", 10.0),
        # Nothing, or nonsense, says nothing.
        ("", NOT_TOLD),
        ("vendor=th:c", NOT_TOLD),
        ("ot=th:xyz", NOT_TOLD),
        ("ot=th:ffffffffffffff", NOT_TOLD),
        ("ot=p:63", NOT_TOLD),
        ("es=s:..", NOT_TOLD),
    ],
)
def test_trace_states(state: str, count: float) -> None:
    assert stands_for(span(0, state=state)) == pytest.approx(count)
    assert stands_for(span(0, {"w3c.tracestate": state})) == pytest.approx(count)


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ({"sampler.type": "probabilistic", "sampler.param": 0.05}, 20.0),
        ({"sampler.type": "probabilistic", "sampler.param": "0.05"}, 20.0),
        ({"sampler.type": "ratelimiting", "sampler.param": 2.0}, NOT_TOLD),
        ({"SampleRate": 20}, 20.0),
        ({"SampleRate": 0}, NOT_TOLD),
        ({"_MS.sampleRate": 25.0}, 4.0),
        ({"_MS.sampleRate": "all"}, NOT_TOLD),
        ({"sentry.sample_rate": 0.5}, 2.0),
        ({"_dd.rule_psr": 0.5, "_dd.limit_psr": 0.5}, 4.0),
        ({"_dd.agent_psr": 1.0}, 1.0),
        ({"_dd.rule_psr": 0.0}, NOT_TOLD),
    ],
)
def test_attributes(said: Attributes, count: float) -> None:
    assert stands_for(span(0, said)) == pytest.approx(count)


@pytest.mark.parametrize("form", ["json", "protobuf", "jaeger", "zipkin", "console"])
def test_every_format_carries_the_trace_state(form: str, tmp_path: Path) -> None:
    spans = trace(2)
    path = tmp_path / "traces"
    if form == "json":
        path.write_text(json.dumps(export(raw_span(traceState="ot=th:c"))))
    elif form == "protobuf":
        for each in spans:
            each.trace_state = "ot=th:c"
        path.write_bytes(protobuf(spans))
    elif form == "console":
        # As the SDK prints it.
        printed = console(spans)
        assert printed.count('"trace_state": "[]"') == len(spans)
        path.write_text(printed.replace('"[]"', "\"['{key=ot, value=th:c}']\""))
    else:
        for each in spans:
            each.attributes = each.attributes | {"w3c.tracestate": "ot=th:c"}
        path.write_text({"jaeger": jaeger, "zipkin": zipkin}[form](spans))
    read = list(read_spans([path]))
    assert read
    assert {stands_for(each) for each in read} == {4.0}


def test_the_policy_of_a_collector_is_read_from_the_scope(tmp_path: Path) -> None:
    document = export(raw_span())
    scope = document["resourceSpans"][0]["scopeSpans"][0]["scope"]
    scope["attributes"] = [
        {"key": "tailsampling.policy", "value": {"stringValue": "errors"}},
        {"key": "other", "value": {"stringValue": "x"}},
    ]
    path = tmp_path / "traces.json"
    path.write_text(json.dumps(document))
    [read] = read_spans([path])
    assert kept_by(read.attributes) == "errors"
    assert "other" not in read.attributes


def test_a_policy_that_says_for_how_many_is_fair() -> None:
    assert kept_by({"meta.refinery.reason": "slow"}) == "slow"
    assert kept_by({"meta.refinery.reason": "slow", "SampleRate": 1}) is None
    assert kept_by({}) is None


def test_any_span_of_a_trace_may_tell() -> None:
    sampler: Attributes = {"sampler.type": "probabilistic", "sampler.param": 0.1}
    caller = Span(
        f"{1:032x}", "x", None, SpanKind.CLIENT, "caller", START, START + 1,
        service="web", attributes=sampler,
    )  # fmt: skip
    found = collected([caller, span(0, route="/b", state="ot=th:8"), span(1)])
    assert dict(
        zip([found.endpoints[e] for e in found.endpoint], found.stand_for, strict=True)
    ) == {
        "GET /a": 10.0,
        "GET /b": 2.0,
    }
    assert found.sampling.told == "by the traces"


def test_what_is_asked_goes_before_what_traces_say() -> None:
    found = collected([span(n, state="ot=th:8") for n in range(5)], 0.1)
    assert found.stand_for.tolist() == [10.0] * 5
    assert found.sampling.told == "as asked"
    [said] = found.sampling.sentences(found.stand_for)
    assert said.startswith("the traces are 10% of all requests, as asked")


def test_traces_that_say_nothing_stand_for_themselves() -> None:
    found = collected([span(n) for n in range(5)])
    assert found.stand_for.tolist() == [1.0] * 5
    assert found.sampling == Sampling()
    assert found.sampling.sentences(found.stand_for) == []


@pytest.mark.parametrize("part", [0.0, -0.1, 1.5, float("nan")])
def test_no_part_of_all_requests(part: float) -> None:
    with pytest.raises(InputError, match="part that was traced"):
        collected([span(0)], part)


def test_requests_kept_with_preference_are_thinned_until_all_stand_for_as_many() -> None:
    """One in 20 that are fast, all that are slow: of 4,000, with 10 % slow ones."""
    rng = np.random.default_rng(5)
    spans = []
    for number in range(4_000):
        slow = rng.random() < 0.1
        if slow or rng.random() < 0.05:
            took_ms = 800.0 if slow else 20.0
            spans.append(span(number, {"SampleRate": 1 if slow else 20}, took_ms=took_ms))
    spans += [span(9_000 + n, {"SampleRate": 2}, route="/b") for n in range(50)]
    found = collected(spans)
    of_a = found.endpoint == found.endpoints.index("GET /a")
    assert set(found.stand_for[of_a].tolist()) == {20.0}
    assert found.stand_for[of_a].sum() == pytest.approx(4_000, rel=0.2)
    assert (found.duration_ns[of_a] > 500 * MS).mean() == pytest.approx(0.1, abs=0.05)
    # Another endpoint keeps its own number.
    assert found.stand_for[~of_a].tolist() == [2.0] * 50
    account = found.account
    assert account.requests + account.thinned == len(spans)
    assert f"{account.thinned} requests left out" in account.summary()


def test_the_same_ones_are_thinned_every_time() -> None:
    ids, endpoint = tuple(map(str, range(500))), np.zeros(500, np.int64)
    counts = np.where(np.arange(500) % 2, 1.0, 4.0)
    kept, stand_for = fair_sample(ids, endpoint, counts)
    again, _ = fair_sample(ids, endpoint, counts)
    assert (kept == again).all()
    assert kept[::2].all()
    # 250 with a chance of a quarter.
    assert 35 <= kept[1::2].sum() <= 92
    assert set(stand_for.tolist()) == {4.0}


def test_slow_requests_kept_with_preference_are_suspected() -> None:
    rng = np.random.default_rng(1)
    duration_s = rng.lognormal(np.log(0.2), 0.7, 20_000)
    kept = (duration_s >= 0.5) | (rng.random(20_000) < 0.05)
    assert slow_ones_kept(duration_s) is None
    assert slow_ones_kept(duration_s[kept]) == 0.5
    found = collected([span(n, took_ms=1e3 * s) for n, s in enumerate(duration_s[kept])])
    [said] = found.sampling.sentences(found.stand_for)
    assert said.startswith("from 500ms on there suddenly are many more requests")


@pytest.mark.parametrize("seed", range(5))
def test_timers_and_mixtures_are_no_such_suspicion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    timer = 0.5 + rng.exponential(0.004, 2_000)
    fast = rng.lognormal(np.log(0.02), 0.5, 3_000)
    slow = rng.lognormal(np.log(0.6), 0.3, 3_000)
    assert slow_ones_kept(np.concatenate([fast, timer])) is None
    assert slow_ones_kept(np.concatenate([fast, slow])) is None


def test_what_a_collector_says_it_did_is_passed_on() -> None:
    spans = [span(n, {"tailsampling.policy": "slow" if n % 2 else "errors"}) for n in range(6)]
    found = collected(spans)
    [said] = found.sampling.sentences(found.stand_for)
    assert "(tail sampling: errors, slow)" in said


def test_what_the_recorder_counted_is_not_asked_for() -> None:
    with pytest.raises(InputError, match="recorder counted"):
        collected([span(0, attributes(("cpu", 0.0, 1.0)))], 0.5)
