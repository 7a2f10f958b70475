"""How warm code was, told by when the same code ran before."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fastsim.calibrate.observed import Chunk, ObservedStep
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.variants import ObservedEndpoint, ObservedVariant
from fastsim.calibrate.warmth import still_warm, with_warmth
from fastsim.model import ColdCost
from fastsim.spans import StepKind, Via
from tests.calibrate.trace_formats import trace

FORGETS_S = ColdCost().forgets
CODE_S = 0.001

WAIT = ObservedStep("wait", 0.0, 0.010, kind=StepKind.DB, label="db")


def code(start_s: float) -> ObservedStep:
    return ObservedStep("cpu", start_s, CODE_S, CODE_S)


def steps(*, begin_s: float = 0.0) -> tuple[ObservedStep, ...]:
    """Code, a query, code."""
    after_s = begin_s + CODE_S + WAIT.wall_s
    return code(begin_s), replace(WAIT, start_s=begin_s + CODE_S), code(after_s)


def endpoint(name: str, rows: list[int], program: tuple[ObservedStep, ...]) -> ObservedEndpoint:
    variant = ObservedVariant(False, (program,) * len(rows), tuple(rows), 1.0)
    return ObservedEndpoint(name, len(rows), (variant,))


def arriving(*at_s: float, instance: list[int] | None = None) -> RequestSet:
    """Requests that came at some times, of which all were recorded."""
    found = collect_requests(trace(len(at_s)), skip_first_s=0.0)
    start_ns = np.round(np.array(at_s) * 1e9).astype(np.int64)
    of = found.instance if instance is None else np.array(instance)
    instances = found.instances * (int(of.max()) + 1)
    return replace(
        found, start_ns=start_ns, instance=of, instances=instances, served_per_recorded=1.0
    )


def warm_of(age_s: float, of_any_s: float) -> float:
    return sum(math.exp(-math.sqrt(each / FORGETS_S)) for each in (age_s, of_any_s)) / 2.0


def test_code_is_warm_by_how_long_ago_it_ran() -> None:
    [found] = with_warmth(arriving(0.0, 0.005), [endpoint("GET /a", [0, 1], steps())])
    first, second = found.variants[0].requests
    assert [step.warm for step in first] == [0.0, 0.0, 0.0]
    expected = warm_of(0.005 - CODE_S, 0.005 - CODE_S)
    assert [step.warm for step in second] == pytest.approx([expected, 0.0, expected])


def test_half_of_it_is_shared_by_endpoints() -> None:
    endpoints = [endpoint("GET /a", [0, 2], steps()), endpoint("GET /b", [1], steps())]
    one, other = with_warmth(arriving(0.0, 0.003, 0.008), endpoints)
    assert other.variants[0].requests[0][0].warm == pytest.approx(
        math.exp(-math.sqrt((0.003 - CODE_S) / FORGETS_S)) / 2.0
    )
    again = one.variants[0].requests[1][0].warm
    assert again == pytest.approx(warm_of(0.008 - CODE_S, 0.005 - CODE_S))


def test_after_another_wait_it_is_other_code() -> None:
    before, wait, after = steps()
    other = (before, replace(wait, label="cache"), after)
    endpoints = [endpoint("GET /a", [0], steps()), endpoint("GET /b", [1], other)]
    _, found = with_warmth(arriving(0.0, 0.004), endpoints)
    begin, _, later = found.variants[0].requests[0]
    assert begin.warm > 0.0
    assert later.warm == 0.0


def test_another_process_keeps_nothing_warm() -> None:
    requests = arriving(0.0, 0.002, instance=[0, 1])
    [found] = with_warmth(requests, [endpoint("GET /a", [0, 1], steps())])
    assert [step.warm for step in found.variants[0].requests[1]] == [0.0, 0.0, 0.0]


def test_rounds_and_chunks_keep_each_other_warm() -> None:
    rounds = tuple((replace(WAIT, start_s=at), code(at + 0.010)) for at in (0.001, 0.012, 0.023))
    loop = ObservedStep("repeat", CODE_S, 0.033, branches=rounds)
    chunks = tuple(
        Chunk(
            start_s=at,
            wall_s=0.004,
            bound_s=0.0,
            late_s=0.0,
            loop_s=CODE_S,
            cpu_s=0.0,
            idle_share=0.0,
        )
        for at in (0.040, 0.045, 0.050)
    )
    stream = ObservedStep("stream", 0.040, 0.015, chunks=chunks)
    [found] = with_warmth(arriving(0.0), [endpoint("GET /a", [0], (code(0.0), loop, stream))])
    _, went_round, streamed = found.variants[0].requests[0]
    rounds_apart, chunks_apart = warm_of(0.010, 0.010), warm_of(0.004, 0.004)
    assert [each[1].warm for each in went_round.branches] == pytest.approx(
        [0.0, rounds_apart, rounds_apart]
    )
    assert [each.warm for each in streamed.chunks] == pytest.approx(
        [0.0, chunks_apart, chunks_apart]
    )


def test_nothing_else_of_code_changes() -> None:
    full = ObservedStep(
        "cpu",
        0.0,
        CODE_S,
        0.0009,
        bound_s=0.001,
        late_s=0.0001,
        idle_share=0.4,
        kind=StepKind.IO,
        via=Via.TIMER,
        label="l",
        where="w",
        resource="r",
        unit="u",
        after_response=True,
    )
    [found] = with_warmth(arriving(0.0), [endpoint("GET /a", [0], (full,))])
    assert found.variants[0].requests[0] == (full,)


def test_a_sample_does_not_know() -> None:
    requests = replace(arriving(0.0, 0.002), served_per_recorded=10.0)
    given = [endpoint("GET /a", [0, 1], steps())]
    assert with_warmth(requests, given) == given


def test_warmth_goes_from_one_to_none() -> None:
    found = still_warm(np.array([0.0, FORGETS_S, np.inf]))
    assert found.tolist() == pytest.approx([1.0, math.exp(-1.0), 0.0])
