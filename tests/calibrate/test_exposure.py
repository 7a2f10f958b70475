"""Time between recordings is nobody's; time without requests is."""

import pytest

from fastsim.calibrate.build import build_model
from fastsim.calibrate.exposure import processes_at_a_time, watched_times_s
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.spans import Attributes, Span, SpanKind

S = 1_000_000_000
START = 1_760_000_000 * S
HTTP: Attributes = {"http.request.method": "GET", "http.route": "/a"}


def recorded(*requests: tuple[str, float]) -> RequestSet:
    """Requests of 10 ms each: instance, and when."""
    return collect_requests(
        [
            Span(f"{n}", "r", None, SpanKind.SERVER, "GET /a", START + round(at * S),
                 START + round((at + 0.01) * S), service="shop", instance=instance, attributes=HTTP)
            for n, (instance, at) in enumerate(requests)
        ],
        skip_first_s=0.0,
    )  # fmt: skip


def test_an_hour_between_two_recordings_is_not_watched() -> None:
    found = recorded(("one", 0.0), ("one", 1.0), ("two", 3600.0), ("two", 3601.0))
    # The second begins when the last answer of the first was given.
    assert watched_times_s(found).tolist() == pytest.approx([0.0, 1.0, 1.01, 2.01])


def test_a_process_that_is_asked_nothing_is_watched_all_the_same() -> None:
    found = recorded(("one", 0.0), ("one", 3600.0))
    assert watched_times_s(found).tolist() == [0.0, 3600.0]


def test_workers_beside_each_other_are_watched_together() -> None:
    found = recorded(("one", 0.0), ("two", 1.0), ("one", 10.0), ("two", 30.0), ("three", 40.0))
    assert watched_times_s(found).tolist() == pytest.approx([0.0, 1.0, 10.0, 30.0, 30.01])


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([("one", 0.0), ("one", 1.0), ("two", 3600.0), ("two", 3601.0)], 1),
        ([(name, float(n)) for n in range(20) for name in ("one", "two", "three")], 3),
        # One takes the place of another, and for a moment there are both.
        ([("one", 0.1 * n) for n in range(100)] + [("two", 9.0 + 0.1 * n) for n in range(100)], 1),
        ([("one", 5.0)], 1),
    ],
)
def test_processes_are_counted_that_serve_at_the_same_time(
    requests: list[tuple[str, float]], expected: int
) -> None:
    assert processes_at_a_time(recorded(*requests)) == expected


def test_nothing_takes_no_time() -> None:
    found = recorded(("one", 5.0))
    assert watched_times_s(found).tolist() == [0.0]


def test_the_rate_of_two_recordings_is_that_of_both() -> None:
    """Twice 100 requests at 10/s, an hour apart: not 0.06/s."""
    times = [("one", 0.1 * n) for n in range(100)] + [("two", 3600.0 + 0.1 * n) for n in range(100)]
    model = build_model(recorded(*times), assume_cpu=0.5)
    traffic = model.traffic
    assert traffic is not None
    assert model.process.workers == 1
    assert traffic.rate == pytest.approx(10.0, rel=0.02)
    assert traffic.duration == pytest.approx(19.8, rel=0.02)
