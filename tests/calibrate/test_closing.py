"""The loop's time is accounted for: by threads that take it, and the rest by every request."""

from dataclasses import replace

import numpy as np
import pytest

from fastsim import spans
from fastsim.calibrate.closing import _blocked_s, balance, close_account, fit_handover
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.model import Counts, LoopCosts, RepeatStep, ServiceModel
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.twin import sample, simulate
from fastsim.twin.processes import shared
from tests.calibrate.trace_formats import trace

RATE, REQUESTS = 100.0, 1_500


@pytest.fixture(scope="module")
def template() -> RequestSet:
    """Requests of anything, to be filled with other columns."""
    return collect_requests(trace(3), skip_first_s=0.0)


def service(loop: LoopCosts, thread_cpu: float = 0.0, blocking: float = 0.0) -> ServiceModel:
    code = {"do": "cpu", "time": {"family": "gamma", "mean": 0.003, "shape": 4.0}}
    query = {
        "do": "wait",
        "kind": "db",
        "via": "thread",
        "time": {"family": "constant", "value": 0.004},
        "thread_cpu": thread_cpu,
    }
    return ServiceModel.model_validate(
        {
            "service": "s",
            "loop": loop.model_dump(),
            "endpoints": [
                {
                    "name": "GET /",
                    "share": 1.0,
                    "variants": [{"steps": [{**code, "blocking": blocking}, query, code, query]}],
                }
            ],
        }
    )


def recorded(truth: ServiceModel, template: RequestSet, *, busy_more_s: float = 0.0) -> RequestSet:
    """Counters of a recording of ``truth``, as the twin itself would leave them."""
    drawn = sample(truth, rate_per_s=RATE, duration_s=REQUESTS / RATE, seed=1)
    outcome = simulate(drawn, resolve_deployment(truth, Deployment()), truth.loop)
    n = len(drawn)
    busy = np.linspace(0.0, outcome.loop_busy_s.sum() + busy_more_s * n, n)
    cpu = np.linspace(0.0, outcome.loop_busy_s.sum() - outcome.gil_lost_s + busy_more_s * n, n)
    counters = dict.fromkeys(template.counters, np.full(n, -1))
    counters[spans.LOOP_BUSY_NS] = (busy * 1e9).astype(np.int64)
    counters[spans.LOOP_CPU_NS] = (cpu * 1e9).astype(np.int64)
    counters[spans.REQUESTS_SEEN] = np.arange(n)
    zeros = np.zeros(n, np.int64)
    return replace(
        template,
        endpoints=("GET /",),
        endpoint=zeros,
        start_ns=(drawn.arrival_s * 1e9).astype(np.int64),
        duration_ns=zeros,
        instance=zeros,
        rejected=zeros.astype(np.bool_),
        warm_up=zeros.astype(np.bool_),
        counters=counters,
    )


@pytest.mark.parametrize("handover_s", [20e-6, 60e-6])
def test_what_a_hand_over_costs_is_found(template: RequestSet, handover_s: float) -> None:
    truth = service(LoopCosts(handover=handover_s), thread_cpu=0.0004)
    found = fit_handover(service(LoopCosts(), thread_cpu=0.0004), recorded(truth, template))
    # What threads take of one run of 1,500 requests varies by 3 %, 10 us; there are 1.6
    # hand-overs a request.
    assert found == pytest.approx(handover_s, abs=12e-6)


def test_without_threads_there_is_nothing_to_fit(template: RequestSet) -> None:
    truth = service(LoopCosts())
    assert fit_handover(truth, recorded(truth, template)) is None


def test_a_little_blocking_code_is_taken_out(template: RequestSet) -> None:
    # 1 % of the 3 ms of code that blocks: 30 us beside the 250 us that threads take.
    truth = service(LoopCosts(handover=60e-6), thread_cpu=0.0004, blocking=0.01)
    plain = service(LoopCosts(), thread_cpu=0.0004, blocking=0.01)
    seen = recorded(truth, template)
    rows = np.arange(len(seen))
    cpu = seen.counters[spans.LOOP_CPU_NS] - rows * 30_000
    blocked = replace(seen, counters=seen.counters | {spans.LOOP_CPU_NS: cpu})
    assert fit_handover(plain, blocked) == pytest.approx(60e-6, abs=12e-6)


def test_the_recorder_s_own_thread_is_no_hand_over(template: RequestSet) -> None:
    truth = service(LoopCosts(handover=40e-6), thread_cpu=0.0004)
    seen = recorded(truth, template)
    rows = np.arange(len(seen))
    end_ns = seen.start_ns.max() - seen.start_ns.min()
    share = seen.counters[spans.LOOP_BUSY_NS][-1] / end_ns
    # A writer that takes 0.3 ms a request, and takes it from the loop when that is busy.
    writer = rows * 300_000
    busy = seen.counters[spans.LOOP_BUSY_NS] + (writer * share).astype(np.int64)
    more = {spans.LOOP_BUSY_NS: busy, spans.RECORDER_CPU_NS: writer}
    found = fit_handover(
        service(LoopCosts(), thread_cpu=0.0004), replace(seen, counters=seen.counters | more)
    )
    assert found == pytest.approx(40e-6, abs=15e-6)


def test_blocking_code_of_rounds_counts_as_often_as_it_runs() -> None:
    once = service(LoopCosts(), blocking=0.5)
    [variant] = once.endpoints[0].variants
    rounds = RepeatStep(count=Counts(values=[3.0], weights=[1.0]), steps=variant.steps)
    looping = once.endpoints[0].model_copy(
        update={"variants": [variant.model_copy(update={"steps": [rounds]})]}
    )
    thrice = once.model_copy(update={"endpoints": [looping]})
    assert _blocked_s(thrice) == pytest.approx(3.0 * _blocked_s(once))
    assert _blocked_s(once) > 0.0


def test_blocking_code_is_not_taken_for_hand_overs(template: RequestSet) -> None:
    truth = service(LoopCosts(), thread_cpu=0.0004, blocking=0.5)
    assert fit_handover(truth, recorded(truth, template)) is None


def test_a_model_that_explains_the_recording_stays_as_it_is(template: RequestSet) -> None:
    truth = service(LoopCosts(accept=0.0002))
    found = recorded(truth, template)
    missing = balance(truth, found)
    assert missing is not None
    assert abs(missing.missing) < 0.02
    assert close_account(truth, found) == (truth, [])


def test_time_that_nothing_explains_is_put_on_every_request(template: RequestSet) -> None:
    truth = service(LoopCosts(accept=0.0002))
    model, said = close_account(truth, recorded(truth, template, busy_more_s=0.0005))
    assert model.loop.accept == pytest.approx(0.0007, abs=0.0001)
    assert said == []
    much, said = close_account(truth, recorded(truth, template, busy_more_s=0.003))
    assert much.loop.accept == pytest.approx(0.0032, abs=0.0002)
    assert "not explained by the requests' code" in said[0]


def test_what_others_took_is_doubted(template: RequestSet) -> None:
    truth = service(LoopCosts(accept=0.0002))
    seen = recorded(truth, template, busy_more_s=0.0004)
    busy_s = np.diff(seen.counters[spans.LOOP_BUSY_NS]).mean() / 1e9
    little, said = close_account(truth, seen, 0.0004)
    assert little.loop.accept == pytest.approx(0.0006, abs=0.0001)
    assert little.loop.doubt.error == pytest.approx(0.0004 / busy_s / 2.0, rel=0.1)
    assert said == []
    seen = recorded(truth, template, busy_more_s=0.004)
    much, said = close_account(truth, seen, 0.004)
    assert much.loop.doubt.error > 0.1
    assert "other processes took" in said[0]


@pytest.mark.parametrize(("cores", "native_s", "doubted_s"), [
    (1, 0.0003, 0.0001), (1, 0.001, 0.0), (1, 0.0, 0.0004), (2, 0.0003, 0.0004),
])  # fmt: skip
def test_what_own_threads_took_of_the_only_core_is_no_doubt(
    template: RequestSet, cores: int, native_s: float, doubted_s: float
) -> None:
    truth = service(LoopCosts(accept=0.0002), thread_cpu=0.0005)
    process = truth.process.model_copy(update={"cores": cores})
    seen = recorded(truth, template, busy_more_s=0.0004)
    busy_s = np.diff(seen.counters[spans.LOOP_BUSY_NS]).mean() / 1e9
    # Two waits of half a millisecond of Python in threads, and what no step has.
    in_threads = np.arange(len(seen)) * int((2 * 0.0005 + native_s) * 1e9)
    cpu = seen.counters[spans.LOOP_CPU_NS] + in_threads
    counted = replace(seen, counters=seen.counters | {spans.PROCESS_CPU_NS: cpu})
    found, _ = close_account(truth.model_copy(update={"process": process}), counted, 0.0004)
    assert found.loop.doubt.error == pytest.approx(doubted_s / busy_s / 2.0, rel=0.1)


def test_what_the_service_does_while_it_warms_up_or_rests_is_no_request_s(
    template: RequestSet,
) -> None:
    truth = service(LoopCosts(accept=0.0002))
    found = recorded(truth, template)
    rows = np.arange(len(found))
    early, late = rows < 200, rows >= 800
    # 4 s of imports in the first 200 requests, 20 s of rest with 2 s of background work.
    busy = found.counters[spans.LOOP_BUSY_NS] + np.minimum(rows, 200) * 20_000_000
    busy = busy + late * 2_000_000_000
    disturbed = replace(
        found,
        start_ns=found.start_ns + late * 20_000_000_000,
        warm_up=early,
        counters=found.counters | {spans.LOOP_BUSY_NS: busy},
    )
    missing = balance(truth, disturbed)
    assert missing is not None
    assert abs(missing.missing) < 0.02


def test_the_account_is_the_same_on_several_processes(template: RequestSet) -> None:
    model = service(LoopCosts(), thread_cpu=0.0005)
    requests = recorded(model, template, busy_more_s=0.001)
    with shared(2) as jobs:
        jobs.start()
        closed, said = close_account(model, requests, jobs=jobs)
    assert (closed, said) == close_account(model, requests)
    assert closed.loop.handover is not None
    assert closed.loop.accept > 0.0005
