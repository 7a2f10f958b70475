"""Whatever spans say, requests get programs that tile their time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsim.calibrate.observed import ObservedStep, walk
from fastsim.calibrate.plain import plain_spans
from fastsim.calibrate.requests import collect_requests
from fastsim.errors import NotEnoughDataError
from fastsim.spans import Span, SpanKind

START = 1_760_000_000_000_000_000
MS = 1_000_000

TIMES = st.integers(0, 60).map(lambda ms: ms * MS)
CALLS = st.tuples(st.sampled_from(["a", "b"]), TIMES, TIMES)
REQUESTS = st.tuples(
    TIMES, TIMES, st.sampled_from(["/x", "/y"]), st.lists(CALLS, max_size=4), st.integers(0, 1)
)


def spans_of(
    requests: list[tuple[int, int, str, list[tuple[str, int, int]], int]],
) -> list[Span]:
    spans = []
    for n, (at, length, route, calls, instance) in enumerate(requests):
        begin = START + at
        spans.append(
            Span(f"{n}", "r", None, SpanKind.SERVER, f"GET {route}", begin, begin + length,
                 service="shop", instance=f"{instance}",
                 attributes={"http.request.method": "GET", "http.route": route,
                             "http.response.status_code": 200})
        )  # fmt: skip
        spans += [
            # Before the request, after it, inside, and longer than it.
            Span(f"{n}", f"c{k}", "r", SpanKind.CLIENT, label, begin + offset - 10 * MS,
                 begin + offset - 10 * MS + took, service="shop",
                 attributes={"server.address": label, "url.full": "http://x"})
            for k, (label, offset, took) in enumerate(calls)
        ]  # fmt: skip
    return spans


def assert_tiled(steps: tuple[ObservedStep, ...]) -> None:
    at = 0.0
    for step in steps:
        assert step.start_s == pytest.approx(at, abs=3e-6)
        at += step.wall_s
    for step in walk(steps):
        assert step.wall_s >= 0.0
        assert 0.0 <= step.late_s <= step.bound_s <= step.wall_s + 1e-9 or step.do != "wait"
        assert 0.0 <= step.idle_share <= 1.0
    assert [step.do for step in steps].count("respond") == 1


@settings(max_examples=120, derandomize=True)
@given(
    st.lists(REQUESTS, min_size=1, max_size=80),
    st.sampled_from([None, 0.0, 0.3, 1.0]),
    st.sampled_from([None, 0.2, 2.0]),
    st.sampled_from([1, 3]),
)
def test_every_request_gets_a_program(
    requests: list[tuple[int, int, str, list[tuple[str, int, int]], int]],
    share: float | None,
    busy: float | None,
    workers: int,
) -> None:
    found = collect_requests(spans_of(requests), skip_first_s=0.0)
    try:
        plain = plain_spans(found, code_share=share, busy=busy, workers=workers)
    except NotEnoughDataError:
        assert not found.fittable.any()
        return
    assert set(plain.programs) == set(np.flatnonzero(found.fittable).tolist())
    for steps in plain.programs.values():
        assert_tiled(steps)
    assert 0.0 <= plain.code_share <= 1.0 + 1e-9
    assert 0.0 <= plain.utilisation <= 1.0
    assert all(isinstance(said, str) for said in plain.sentences())
