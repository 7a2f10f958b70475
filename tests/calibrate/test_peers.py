"""Peers with a number of slots are found by their calls, and nothing else is taken for one."""

import heapq
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fastsim.calibrate.build import build_model
from fastsim.calibrate.observed import ObservedStep
from fastsim.calibrate.peers import Peer, find_peers, with_peers
from fastsim.calibrate.pooled import pooled
from fastsim.calibrate.slower_calls import Calls, FloatArray, IntArray
from fastsim.model import Resource, UseStep
from fastsim.spans import StepKind, Via
from tests.calibrate.test_slower_calls import recording

Law = Callable[[np.random.Generator, int], FloatArray]

LAWS: dict[str, Law] = {
    "gamma": lambda rng, n: rng.gamma(3.0, 0.005, n),
    "exponential": lambda rng, n: rng.exponential(0.015, n),
    "lognormal": lambda rng, n: rng.lognormal(np.log(0.012), 0.6, n),
    "always the same": lambda _rng, n: np.full(n, 0.015),
}


def in_line(slots: int, begin_s: FloatArray, served_s: FloatArray) -> FloatArray:
    """Return when calls end that a peer serves in the order in which they come."""
    free = [0.0] * slots
    end_s = np.empty(len(begin_s))
    for n, (begin, served) in enumerate(zip(begin_s.tolist(), served_s.tolist(), strict=True)):
        end_s[n] = max(begin, heapq.heappop(free)) + served
        heapq.heappush(free, end_s[n])
    return end_s


def all_at_once(cores: int, begin_s: FloatArray, work_s: FloatArray) -> FloatArray:
    """Return when calls end that share so many cores equally."""
    end_s, left, now, next_one = np.empty(len(begin_s)), dict[int, float](), 0.0, 0
    while next_one < len(begin_s) or left:
        speed = min(1.0, cores / max(len(left), 1))
        first = min(left, key=left.__getitem__, default=-1)
        over = now + left[first] / speed if left else np.inf
        arrives = begin_s[next_one] if next_one < len(begin_s) else np.inf
        then = min(over, arrives)
        left = {each: todo - (then - now) * speed for each, todo in left.items()}
        now = float(then)
        if arrives <= over:
            left[next_one] = float(work_s[next_one])
            next_one += 1
        else:
            end_s[first] = now
            del left[first]
    return end_s


def calls(begin_s: FloatArray, end_s: FloatArray, instance: IntArray | None = None) -> Calls:
    n = len(begin_s)
    nothing = np.zeros(n, np.int64)
    where = nothing if instance is None else instance
    return Calls(np.arange(n), nothing, nothing, where, begin_s, end_s, end_s)


def arrivals(rng: np.random.Generator, rate: float, n: int = 1_500) -> FloatArray:
    return np.cumsum(rng.exponential(1.0 / rate, n))


def found(each: Calls) -> Peer | None:
    peers = find_peers({"db": each}, len(set(each.instance.tolist())))
    return peers[0][0] if peers else None


@pytest.mark.parametrize("law", ["gamma", "exponential", "lognormal"])
@pytest.mark.parametrize(("slots", "rate"), [(1, 20.0), (2, 60.0), (4, 160.0)])
def test_its_slots_are_counted(law: str, slots: int, rate: float) -> None:
    """In use for 29, 43 and 58 %."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        begin_s = arrivals(rng, rate)
        peer = found(calls(begin_s, in_line(slots, begin_s, LAWS[law](rng, 1_500))))
        assert peer is not None
        assert (peer.capacity, peer.scope) == (slots, "service")


@pytest.mark.parametrize("law", LAWS)
def test_where_nobody_waits_there_are_none(law: str) -> None:
    """One of these sixty recordings would be wrong by chance in less than one of a thousand."""
    for seed in range(20):
        for rate in (50.0, 150.0, 400.0):
            rng = np.random.default_rng(seed)
            begin_s = arrivals(rng, rate)
            assert found(calls(begin_s, begin_s + LAWS[law](rng, 1_500))) is None


def test_a_peer_that_serves_all_at_once_has_none() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        begin_s = arrivals(rng, 100.0)
        end_s = all_at_once(2, begin_s, LAWS["exponential"](rng, 1_500))
        assert found(calls(begin_s, end_s)) is None


def test_a_peer_that_stands_still_at_times_has_none() -> None:
    """Calls that pile up meanwhile end together: served in no time, had they waited in line."""
    rng = np.random.default_rng(1)
    begin_s = arrivals(rng, 20.0)
    end_s = begin_s + LAWS["gamma"](rng, 1_500)
    stop_s = np.floor(begin_s / 2.0) * 2.0 + 1.7  # for 300 ms of every two seconds
    end_s = np.where(end_s > stop_s, np.maximum(end_s, stop_s + 0.3), end_s)
    assert found(calls(begin_s, end_s)) is None


def test_who_has_slots_for_each_process_is_told_from_who_has_them_for_all() -> None:
    rng = np.random.default_rng(2)
    begin_s = arrivals(rng, 120.0, 3_000)
    served_s = LAWS["gamma"](rng, 3_000)
    instance = rng.integers(0, 2, 3_000)
    together = found(calls(begin_s, in_line(3, begin_s, served_s), instance))
    assert together is not None
    assert (together.capacity, together.scope, together.processes) == (3, "service", 2)
    assert "3 calls at a time (for all processes together);" in together.sentence()
    end_s = np.empty(3_000)
    for number in range(2):
        own = instance == number
        end_s[own] = in_line(2, begin_s[own], served_s[own])
    apart = found(calls(begin_s, end_s, instance))
    assert apart is not None
    assert (apart.capacity, apart.scope) == (2, "worker")
    assert "2 calls at a time (for each process);" in apart.sentence()


def test_an_answer_that_was_seen_late_is_no_reason_against_it() -> None:
    """The event loop gets round to answers later, in another order than they came."""
    rng = np.random.default_rng(3)
    begin_s = arrivals(rng, 160.0)
    end_s = in_line(4, begin_s, LAWS["gamma"](rng, 1_500))
    late_s = end_s + rng.uniform(0.0, 0.004, 1_500)
    peer = found(replace(calls(begin_s, end_s), late_s=late_s, early_s=end_s - 0.001))
    assert peer is not None
    assert peer.capacity == 4


def test_the_model_has_the_peer_and_how_long_it_serves() -> None:
    model = build_model(recording(2, 1))
    assert model.resources == {
        "postgresql": Resource(capacity=2, hand_over="peer", scope="service")
    }
    [said] = [each for each in model.warnings if each.startswith("postgresql")]
    assert "a peer that serves 2 calls at a time" in said
    assert "one process cannot tell" in said
    [use] = [step for step in model.endpoints[0].variants[0].steps if isinstance(step, UseStep)]
    assert use.resource == "postgresql"
    # A gamma law of mean 15 ms, whose latencies were 30 ms in the mean.
    [wait] = use.steps
    assert wait.time.mean == pytest.approx(0.015, rel=0.04)  # type: ignore[union-attr]


CALL = ObservedStep(
    *("wait", 0.010, 0.030),
    bound_s=0.025,
    late_s=0.002,
    kind=StepKind.DB,
    via=Via.SOCKET,
    label="db",
)
CODE = ObservedStep("cpu", 0.0, 0.010, cpu_s=0.010)


def test_a_call_becomes_a_slot_and_what_it_is_served() -> None:
    [steps] = with_peers({7: (CODE, CALL)}, [("db peer", {7: {1: 0.012}})]).values()
    assert [step.do for step in steps] == ["cpu", "acquire", "wait", "release"]
    _, slot, served, given = steps
    assert (slot.start_s, slot.wall_s, slot.resource) == (0.010, 0.012, "db peer")
    assert (served.start_s, served.wall_s) == pytest.approx((0.022, 0.018))
    assert (served.bound_s, served.late_s) == pytest.approx((0.018, 0.002))
    assert given.start_s == pytest.approx(0.040)


def test_calls_of_branches_take_slots_too() -> None:
    both = ObservedStep("parallel", 0.0, 0.040, branches=((CODE, CALL), (CALL,)))
    [steps] = with_peers({7: (both, CALL)}, [("db", {7: {2: 0.0, 3: 0.001}})]).values()
    assert [[step.do for step in branch] for branch in steps[0].branches] == [
        ["cpu", "acquire", "wait", "release"],
        ["acquire", "wait", "release"],
    ]
    assert steps[1] == CALL


def test_a_wait_is_never_longer_than_the_call_may_have_taken() -> None:
    [steps] = with_peers({7: (CALL,)}, [("db", {7: {0: 9.0}})]).values()
    assert steps[1].wall_s == pytest.approx(0.002, abs=2e-6)
    assert steps[1].wall_s > steps[1].late_s


def test_rare_paths_keep_their_calls_without_slots() -> None:
    """A slot of a peer is held by one call, and they have one wait for all."""
    [steps] = with_peers({7: (CODE, CALL, CODE)}, [("db", {7: {1: 0.012}})]).values()
    found = pooled(steps)
    assert [step.do for step in found] == ["cpu", "wait", "cpu", "respond", "cpu"]
    assert found[1].wall_s == pytest.approx(0.030)
