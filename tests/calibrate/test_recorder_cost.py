"""What recording cost is set apart, whole, and comes back where a recording is replayed."""

import pytest

from fastsim.calibrate.recorder_cost import Recording, dearer_in_place, take_out
from fastsim.model import LoopCosts, RecorderCost

US = 1e-6


def recording(**what: float) -> Recording:
    usual = {"per_request_s": 30 * US, "per_wait_s": 8 * US, "writer_s": 0.0, "waits": 5.0}
    return Recording(**(usual | {"passes": 10.0, "per_pass_s": 2 * US} | what))


def total_s(costs: LoopCosts | RecorderCost, found: Recording) -> float:
    per_wait = costs.per_suspend + costs.per_event
    return costs.accept + found.waits * per_wait + found.passes * costs.per_pass


FITTED = LoopCosts(accept=200 * US, per_suspend=10 * US, per_event=15 * US, per_pass=20 * US)


@pytest.mark.parametrize(
    "found",
    [
        recording(),
        recording(writer_s=60 * US),
        recording(per_wait_s=30 * US),  # dearer than all that a wait was found to cost
        recording(per_request_s=300 * US),
        recording(per_pass_s=30 * US),  # dearer than all that a turn was found to cost
    ],
)
def test_what_was_measured_is_taken_out_once(found: Recording) -> None:
    loop = take_out(FITTED, found)
    cost = found.per_request_s + found.writer_s
    cost += found.per_wait_s * found.waits + found.per_pass_s * found.passes
    assert total_s(loop.recorder, found) == pytest.approx(cost)
    assert total_s(loop, found) == pytest.approx(total_s(FITTED, found) - cost)
    assert min(loop.accept, loop.per_suspend, loop.per_event, loop.per_pass) >= 0.0
    assert loop.with_recorder() == FITTED


def test_costs_are_never_negative() -> None:
    """The fit found less than recording is said to cost."""
    found = recording(per_request_s=5000 * US)
    loop = take_out(FITTED, found)
    assert (loop.accept, loop.per_pass) == (0.0, 0.0)
    assert loop.with_recorder() == FITTED


def test_a_wait_pays_for_what_it_cost_first() -> None:
    loop = take_out(FITTED, recording(per_wait_s=14 * US))
    assert loop.recorder.per_suspend == pytest.approx(10 * US)
    assert loop.recorder.per_event == pytest.approx(4 * US)
    assert loop.recorder.accept == pytest.approx(30 * US)
    assert loop.recorder.per_pass == pytest.approx(2 * US)


def test_what_was_counted_in_place_goes_before_what_idle_code_was_charged() -> None:
    assert dearer_in_place(74 * US, 185 * US) == pytest.approx(2.5)
    assert dearer_in_place(74 * US, None) == 1.0
    assert dearer_in_place(0.0, 10 * US) == 1.0
