"""What is assumed of spans alone, and what is said of it."""

import dataclasses
import heapq
import math

import numpy as np
import pytest

from fastsim.calibrate.build import build_model
from fastsim.calibrate.plain import plain_spans
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.cli.show_steps import step_lines
from fastsim.model import ServiceModel, WaitStep
from fastsim.spans import Attributes, Span, SpanKind
from fastsim.yaml_source import dump_yaml, parse_yaml
from tests.calibrate import pool_story
from tests.calibrate.pool_story import spans_of

MS = 1_000_000
START = 1_760_000_000_000_000_000
HTTP: Attributes = {
    "http.request.method": "GET", "http.route": "/a", "http.response.status_code": 200,
}  # fmt: skip


def collected(spans: list[Span]) -> RequestSet:
    return collect_requests(spans, skip_first_s=0.0)


def renamed(spans: list[Span], loop: int) -> list[Span]:
    return [dataclasses.replace(span, trace_id=f"{loop}-{span.trace_id}") for span in spans]


def hopping(requests: int, hops: int, *, pause_ms: float = 0.2, seed: int = 3) -> list[Span]:
    """Requests of 1 ms of code before and after each short hop that has no span, then a query."""
    rng = np.random.default_rng(seed)
    pending = [(at, n, 0) for n, at in enumerate(np.cumsum(rng.exponential(8.0, requests)))]
    begun, ended = np.zeros((requests, hops + 2)), np.zeros((requests, hops + 2))
    free = 0.0
    while pending:
        at, n, step = heapq.heappop(pending)
        begun[n, step] = begin = max(at, free)
        ended[n, step] = free = begin + 1.0
        if step <= hops:
            wait = pause_ms if step < hops else rng.gamma(3.0, 4.0)
            heapq.heappush(pending, (free + wait, n, step + 1))
    spans = []
    for n in range(requests):
        edges = [begun[n, 0], ended[n, hops], begun[n, hops + 1], ended[n, hops + 1]]
        start, query, answer, end = (START + round(edge * MS) for edge in edges)
        spans += [
            Span(f"{n}", "r", None, SpanKind.SERVER, "GET /a", start, end, service="shop",
                 attributes=HTTP),
            Span(f"{n}", "c", "r", SpanKind.CLIENT, "select", query, answer, service="shop",
                 attributes={"db.system": "postgresql"}),
        ]  # fmt: skip
    return spans


def test_code_between_short_hops_is_doubted() -> None:
    found = plain_spans(collected(hopping(1_500, 2)))
    # Of 3 ms before the query and 1 ms after it.
    assert found.utilisation == pytest.approx(4.0 / 8.0, abs=0.12)
    assert 0.05 < found.doubt < 0.4
    assert any("--busy" in said for said in found.sentences())
    model = build_model(collected(hopping(1_500, 2)))
    assert model.loop.doubt.error == pytest.approx(found.doubt, rel=0.1)


def test_the_cpu_of_the_process_bounds_it() -> None:
    known = plain_spans(collected(hopping(1_500, 2)), busy=0.5)
    assert known.utilisation <= 0.51
    assert known.utilisation > plain_spans(collected(hopping(1_500, 2)), busy=0.3).utilisation
    much = plain_spans(collected(hopping(1_500, 2)), busy=0.9)
    assert much.elsewhere > 0.3
    assert any("CPU of the process is in no gap" in said for said in much.sentences())


def test_waits_without_spans_are_said() -> None:
    found = plain_spans(collected(hopping(600, 1, pause_ms=60.0)))
    assert found.unseen > 0.6
    assert any("waits that have no span" in said for said in found.sentences())


def test_spans_of_many_loops_say_so() -> None:
    found = plain_spans(collected(hopping(400, 0)), workers=3)
    assert found.hidden
    assert any("3 event loops" in said for said in found.sentences())


def test_several_loops_that_look_like_one_are_noticed() -> None:
    loops = [hopping(700, 0, seed=seed) for seed in (1, 2, 3)]
    spans = [span for number, each in enumerate(loops) for span in renamed(each, number)]
    merged = plain_spans(collect_requests(spans, skip_first_s=0.0))
    [said] = [said for said in merged.sentences() if "--loops" in said]
    assert "about 3" in said
    assert not any("--loops" in said for said in plain_spans(collected(loops[0])).sentences())


def test_what_is_asked_is_done_and_said() -> None:
    found = plain_spans(collected(hopping(300, 0)), code_share=0.25)
    assert found.code_share == pytest.approx(0.25)
    assert "25% of the time between calls is, as asked, code" in found.sentences()[0]


@pytest.mark.parametrize("connect_ms", [None, 0.3])
def test_a_pool_that_is_full_now_and_then_is_found(connect_ms: float | None) -> None:
    """With and without SQLAlchemy's spans of taking a connection."""
    requests = collected(spans_of(pool_story.requests(5), connect_ms=connect_ms))
    model = build_model(requests)
    assert {name: each.capacity for name, each in model.resources.items()} == {"postgresql pool": 5}
    steps = [step.do for step in model.endpoints[0].variants[0].steps]
    assert "use" in steps
    assert any("a pool of 5" in said for said in model.warnings)


def test_connections_that_are_made_every_time_are_calls() -> None:
    requests = collected(spans_of(pool_story.requests(math.inf), connect_ms=0.8))
    model = build_model(requests)
    assert not model.resources
    waits = [each for each in model.endpoints[0].variants[0].steps if isinstance(each, WaitStep)]
    assert [each.label for each in waits if each.kind == "db"] == ["postgresql", "postgresql"]


def test_tokens_of_model_calls_say_what_each_takes() -> None:
    """0.2 s, and 5 ms for each token that the span of the call counts."""
    rng = np.random.default_rng(1)
    spans = []
    for n in range(200):
        tokens = int(rng.integers(20, 400))
        took = (200.0 + 5.0 * tokens) * float(np.exp(0.05 * rng.standard_normal()))
        start = START + n * 3_000 * MS
        end = start + round((took + 2.0) * MS)
        spans += [
            Span(f"{n}", "r", None, SpanKind.SERVER, "GET /a", start, end, service="shop",
                 attributes=HTTP),
            Span(f"{n}", "c", "r", SpanKind.CLIENT, "chat", start + MS, end - MS, service="shop",
                 attributes={"gen_ai.operation.name": "chat", "gen_ai.response.model": "small",
                             "gen_ai.usage.output_tokens": tokens}),
        ]  # fmt: skip
    model = build_model(collected(spans))
    [wait] = [step for step in model.endpoints[0].variants[0].steps if isinstance(step, WaitStep)]
    assert wait.tokens is not None
    assert wait.tokens.each == pytest.approx(0.005, rel=0.03)
    assert wait.tokens.first == pytest.approx(0.2, rel=0.15)
    read = parse_yaml(dump_yaml(model), ServiceModel)
    [again] = [step for step in read.endpoints[0].variants[0].steps if isinstance(step, WaitStep)]
    assert again.tokens is not None
    assert again.tokens.each == pytest.approx(wait.tokens.each, rel=1e-4)
    assert again.tokens.output == wait.tokens.output
    [line] = [line for line in step_lines(model.endpoints[0].variants[0].steps) if "tokens" in line]
    assert "215 tokens of 4." in line


def test_breaks_between_recordings_are_no_time() -> None:
    spans = []
    for n in range(100):
        at = START + n * 20 * MS + (3_600_000 * MS if n >= 50 else 0)
        spans.append(
            Span(f"{n}", "r", None, SpanKind.SERVER, "GET /a", at, at + 10 * MS, service="shop",
                 attributes=HTTP)
        )  # fmt: skip
    # Half of the time a request is there; were it all code, the loop would be half busy.
    assert plain_spans(collect_requests(spans, skip_first_s=0.0)).utilisation == pytest.approx(
        0.5, abs=0.02
    )


def test_of_many_requests_stretches_are_looked_at_and_rare_endpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fastsim.calibrate.thinning.MOST_PLAIN", 600)
    monkeypatch.setattr("fastsim.calibrate.thinning.BLOCK", 100)
    spans = hopping(3_000, 0)
    rare: Attributes = {**HTTP, "http.route": "/rare"}
    # 40 of the 3,000, all in one place.
    spans = [
        dataclasses.replace(span, name="GET /rare", attributes=rare)
        if span.kind is SpanKind.SERVER and 1_250 <= int(span.trace_id) < 1_290
        else span
        for span in spans
    ]
    requests = collected(spans)
    found = plain_spans(requests)
    assert 600 <= len(found.programs) <= 1_000
    rows = np.array(sorted(found.programs))
    assert np.median(np.diff(rows)) == 1.0
    assert rows.max() - rows.min() > 2_900
    names = [requests.endpoints[code] for code in requests.endpoint[rows]]
    assert names.count("GET /rare") == 40
    assert found.utilisation == pytest.approx(0.25, abs=0.03)
    said = f"of 3,000 requests {len(rows)} were looked at in detail"
    assert any(warning.startswith(said) for warning in build_model(requests).warnings)
