"""Which lines held the loop."""

import pytest

from fastsim.calibrate.blocking import blocking_lines
from fastsim.calibrate.recorded import decode_timeline
from fastsim.calibrate.requests import collect_requests
from fastsim.errors import FileFormatError
from fastsim.spans import BLOCK_CALLED, OUTCOME, Attributes
from tests.calibrate.test_requests import span
from tests.calibrate.timeline_story import attributes


def held(*blocks: tuple[float, float, float, str, str]) -> Attributes:
    return attributes(("cpu", 0.0, 500.0), blocks=list(blocks))


def test_lines_add_up_over_requests_and_the_worst_comes_first() -> None:
    slow, fetch = "app.py:12 slow", "app.py:40 fetch"
    requests = collect_requests(
        [
            span(0, attributes=held((0, 60, 60, slow, ""), (70, 200, 1, fetch, "requests.get"))),
            span(1, attributes=held((0, 80, 80, slow, ""))),
            span(2, attributes=attributes(("cpu", 0.0, 5.0))),
        ]
    )
    first, second = blocking_lines(requests)
    assert (first.where, first.called, first.count) == (fetch, "requests.get", 1)
    assert (first.held_s, first.cpu_s) == pytest.approx((0.2, 0.001))
    assert (second.where, second.count) == (slow, 2)
    assert (second.held_s, second.longest_s) == pytest.approx((0.14, 0.08))
    assert second.endpoints == {"GET /items/{id}"}


def test_damaged_columns_are_refused() -> None:
    damaged = held((0, 60, 60, "x", "")) | {BLOCK_CALLED: []}
    with pytest.raises(FileFormatError, match="unequal length"):
        decode_timeline(damaged)
    with pytest.raises(FileFormatError, match="unknown outcome"):
        decode_timeline(held() | {OUTCOME: "vanished"})
