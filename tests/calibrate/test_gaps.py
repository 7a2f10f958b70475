"""Models from spans alone: calls, gaps, and what is assumed about them."""

from typing import Any

import numpy as np
import pytest

from fastsim.calibrate.build import build_model
from fastsim.calibrate.gaps import program
from fastsim.calibrate.inner_spans import InnerSpans, Wait, wait_of
from fastsim.calibrate.layouts import layout_of
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.distributions import mean
from fastsim.errors import NotEnoughDataError
from fastsim.model import CpuStep, ParallelStep, WaitStep
from fastsim.spans import Attributes, Span, SpanKind, StepKind

MS = 1_000_000
START = 1_760_000_000_000_000_000


def call(begin: float, end: float, label: str = "db", kind: StepKind = StepKind.DB) -> Wait:
    return Wait(kind, label, round(begin * MS), round(end * MS))


def story(*waits: Wait, share: float = 1.0, last: float = 0.0) -> list[tuple[str, float]]:
    layout = layout_of(0, 30 * MS, waits, round(last * MS))
    steps = program(
        layout,
        [((end - begin) * share, 0.0) for begin, end in layout.gaps()],
        [0.0] * len(layout.groups),
    )
    return [(step.label or step.do, round(step.wall_s * 1e3, 6)) for step in steps]


def test_calls_and_the_gaps_between_them() -> None:
    assert story(call(5, 15), call(18, 28, "prices")) == [
        ("cpu", 5.0), ("db", 10.0), ("cpu", 3.0), ("prices", 10.0), ("cpu", 2.0), ("respond", 0.0),
    ]  # fmt: skip


def test_the_whole_time_is_tiled() -> None:
    layout = layout_of(0, 30 * MS, [call(5, 15), call(10, 20), call(25, 40)])
    steps = program(layout, [(MS, 0.4 * MS)] * 3, [0.0] * 2)
    at = 0.0
    for step in steps:
        assert step.start_s == pytest.approx(at)
        at += step.wall_s
    assert at == pytest.approx(0.030)


def test_what_is_not_code_is_an_unknown_wait() -> None:
    assert story(call(5, 25), share=0.2)[:5] == [
        ("cpu", 1.0), ("unknown", 4.0), ("cpu", 0.0), ("db", 20.0), ("cpu", 1.0),
    ]  # fmt: skip


def test_calls_at_the_same_time_are_side_by_side() -> None:
    layout = layout_of(0, 30 * MS, [call(5, 15), call(6, 20, "prices")])
    steps = program(layout, [(5.0 * MS, 0.0), (10.0 * MS, 0.0)], [0.0])
    [parallel] = [step for step in steps if step.do == "parallel"]
    assert [branch[0].label for branch in parallel.branches] == ["db", "prices"]
    assert parallel.wall_s == pytest.approx(0.015)


def test_the_code_of_branches_is_theirs() -> None:
    layout = layout_of(0, 30 * MS, [call(5, 15), call(6, 20, "prices")])
    steps = program(layout, [(5.0 * MS, 0.0), (10.0 * MS, 0.0)], [2.0 * MS])
    _, parallel, rest, _ = steps
    assert [[step.do for step in branch] for branch in parallel.branches] == [["wait", "cpu"]] * 2
    assert [branch[1].cpu_s for branch in parallel.branches] == [0.002] * 2
    assert (parallel.wall_s, rest.start_s, rest.cpu_s) == pytest.approx((0.017, 0.022, 0.008))


def test_calls_beyond_the_request_are_cut_off() -> None:
    assert story(call(-5, 5), call(25, 45), call(50, 60)) == [
        ("cpu", 0.0), ("db", 5.0), ("cpu", 20.0), ("db", 5.0), ("cpu", 0.0), ("respond", 0.0),
    ]  # fmt: skip


def test_what_follows_the_answer_is_work_in_the_background() -> None:
    assert story(call(5, 25), call(33, 38), last=40.0) == [
        ("cpu", 5.0), ("db", 20.0), ("cpu", 5.0), ("respond", 0.0),
        ("cpu", 3.0), ("db", 5.0), ("cpu", 2.0),
    ]  # fmt: skip
    assert story(call(5, 25), last=33.0)[2:] == [("cpu", 5.0), ("respond", 0.0), ("cpu", 3.0)]


@pytest.mark.parametrize(
    ("kind", "attributes", "wait"),
    [
        (SpanKind.CLIENT, {"db.system.name": "postgresql"}, (StepKind.DB, "postgresql")),
        (SpanKind.CLIENT, {"db.system": "redis"}, (StepKind.CACHE, "redis")),
        (SpanKind.CLIENT, {"url.full": "http://x", "server.address": "x"}, (StepKind.HTTP, "x")),
        (SpanKind.CLIENT, {"http.url": "http://x"}, (StepKind.HTTP, "GET")),
        (SpanKind.PRODUCER, {"messaging.system": "kafka"}, (StepKind.IO, "kafka")),
        (SpanKind.CLIENT, {}, (StepKind.IO, "GET")),
        (
            SpanKind.CLIENT,
            {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"},
            (StepKind.LLM, "m"),
        ),
        (SpanKind.CLIENT, {"gen_ai.system": "openai"}, (StepKind.LLM, "GET")),
        (
            SpanKind.INTERNAL,
            {"openinference.span.kind": "LLM", "llm.model_name": "m"},
            (StepKind.LLM, "m"),
        ),
        (SpanKind.INTERNAL, {"asgi.event.type": "http.request"}, None),
        (SpanKind.INTERNAL, {"gen_ai.operation.name": "invoke_agent"}, None),
        (SpanKind.INTERNAL, {}, None),
    ],
)
def test_what_a_span_waits_for(
    kind: SpanKind, attributes: Attributes, wait: tuple[StepKind, str] | None
) -> None:
    assert wait_of(Span("t", "s", None, kind, "GET", 0, 1, attributes=attributes)) == wait


def test_waits_find_their_requests_through_any_number_of_spans() -> None:
    inner = InnerSpans()
    requests = np.array([hash(("t", f"r{n}")) for n in range(50)], np.int64)
    for n in range(50):
        parent = f"r{n}"
        for depth in range(n % 7):
            inner.add(Span("t", f"i{n}-{depth}", parent, SpanKind.INTERNAL, "i", 0, 9))
            parent = f"i{n}-{depth}"
        inner.add(Span("t", f"c{n}", parent, SpanKind.CLIENT, f"c{n}", n, n + 1))
        inner.add(Span("t", f"d{n}", f"c{n}", SpanKind.CLIENT, "driver", n, n + 1))
    inner.add(Span("t", "lost", "gone", SpanKind.CLIENT, "lost", 0, 1))
    inner.add(Span("t", "loop1", "loop2", SpanKind.INTERNAL, "x", 0, 1))
    inner.add(Span("t", "loop2", "loop1", SpanKind.INTERNAL, "x", 0, 1))
    inner.add(Span("t", "in a circle", "loop1", SpanKind.CLIENT, "x", 0, 1))
    found = inner.waits_of(requests)
    assert [[wait.label for wait in waits] for waits in found] == [[f"c{n}"] for n in range(50)]


def recording(requests: int = 120, *, gap: float = 100.0, **more: Any) -> RequestSet:
    """Requests every ``gap`` ms: 5 ms, a query of 8 to 12 ms, 5 ms."""
    rng = np.random.default_rng(1)
    spans = []
    for n in range(requests):
        at = START + round(n * gap * MS)
        query = rng.uniform(8.0, 12.0)
        http: Attributes = {
            "http.request.method": "GET",
            "http.route": "/a",
            "http.response.status_code": 200,
        }
        spans.append(
            Span(f"{n}", "r", None, SpanKind.SERVER, "GET /a", at, at + round((10 + query) * MS),
                 service="shop", instance=f"worker {n % more.get('workers', 1)}", attributes=http)
        )  # fmt: skip
        spans.append(
            Span(f"{n}", "c", "r", SpanKind.CLIENT, "select", at + 5 * MS,
                 at + round((5 + query) * MS), service="shop",
                 attributes={"db.system": "postgresql"})
        )  # fmt: skip
    return collect_requests(spans, skip_first_s=0.0)


def test_a_model_from_spans_alone_says_what_it_assumes() -> None:
    model = build_model(recording())
    [endpoint] = model.endpoints
    [variant] = endpoint.variants
    first, query, last, _ = variant.steps
    assert isinstance(first, CpuStep)
    assert isinstance(last, CpuStep)
    assert isinstance(query, WaitStep)
    assert (query.kind, query.label) == (StepKind.DB, "postgresql")
    assert mean(query.time) == pytest.approx(0.010, rel=0.05)
    assert mean(first.time) == pytest.approx(0.005, rel=0.01)
    assert model.warnings[0].startswith("recorded without FastSim: spans do not tell CPU")
    assert "100% of the time between calls is, assumed, code" in model.warnings[0]
    assert model.loop.wander.sigma == 0.0


def test_the_share_of_code_can_be_chosen() -> None:
    model = build_model(recording(), assume_cpu=0.5)
    assert "50% of the time between calls is, as asked, code" in model.warnings[0]
    steps = model.endpoints[0].variants[0].steps
    unknown = [step for step in steps if isinstance(step, WaitStep) and step.label == "unknown"]
    assert len(unknown) == 2
    assert mean(unknown[0].time) == pytest.approx(0.0025, rel=0.01)


def test_processes_are_told_by_their_instances() -> None:
    assert build_model(recording(workers=3)).process.workers == 3


def test_overlapping_calls_make_a_parallel_step() -> None:
    spans = []
    for n in range(80):
        at = START + n * 50 * MS
        http: Attributes = {"http.request.method": "GET", "http.route": "/a"}
        spans.append(Span(f"{n}", "r", None, SpanKind.SERVER, "GET /a", at, at + 30 * MS,
                          attributes=http))  # fmt: skip
        spans += [
            Span(f"{n}", f"c{k}", "r", SpanKind.CLIENT, "q", at + (5 + k) * MS, at + 20 * MS,
                 attributes={"db.system": "postgresql"})
            for k in range(3)
        ]  # fmt: skip
    model = build_model(collect_requests(spans, skip_first_s=0.0))
    [parallel] = [s for s in model.endpoints[0].variants[0].steps if isinstance(s, ParallelStep)]
    assert parallel.branches[0].count.values == [3]


def test_requests_that_no_endpoint_answered_make_no_model() -> None:
    http: Attributes = {"http.request.method": "GET", "http.response.status_code": 404}
    spans = [
        Span(f"{n}", "r", None, SpanKind.SERVER, "GET", START + n * MS, START + n * MS + MS,
             attributes=http)
        for n in range(60)
    ]  # fmt: skip
    with pytest.raises(NotEnoughDataError, match="answered by an endpoint"):
        build_model(collect_requests(spans, skip_first_s=0.0))
