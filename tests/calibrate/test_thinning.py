"""Of long recordings some stretches of time are kept, and enough of everything."""

from fastsim.calibrate.thinning import ENOUGH, STRETCHES, Thinning

SECOND = 1_000_000_000
START = 1_760_000_000 * SECOND


def kept(start_ns: list[int], endpoint: list[int], most: int) -> list[int]:
    """Return which of the requests are kept in the end."""
    thinning, held = Thinning(most), set[int]()
    for row, (at, code) in enumerate(zip(start_ns, endpoint, strict=True)):
        if thinning.wants(at, code):
            held.add(row)
            held -= set(thinning.hold(row, at, code))
            assert len(held) <= most
    return sorted(held)


def times(count: int, per_s: float) -> list[int]:
    return [START + round(number * SECOND / per_s) for number in range(count)]


def test_a_short_recording_is_kept_whole() -> None:
    start = times(500, 10.0)
    assert kept(start, [0] * 500, 500) == list(range(500))


def test_of_a_long_one_whole_stretches_are_kept() -> None:
    start = times(40_000, 10.0)
    held = kept(start, [0] * 40_000, 2_000)
    assert 800 <= len(held) <= 2_000
    # 2,001 requests were there when the first were let go: 200 s, cut in forty.
    stretch_ns = 200 * SECOND // STRETCHES
    stretches = {(start[row] - START) // stretch_ns for row in held[ENOUGH:]}
    for each in stretches:
        begin, end = START + each * stretch_ns, START + (each + 1) * stretch_ns
        whole = [row for row, at in enumerate(start) if begin <= at < end]
        assert set(whole) <= set(held)
    assert max(held) > 30_000, "the end of the recording is looked at, too"


def test_some_of_a_rare_endpoint_are_kept_wherever_they_lie() -> None:
    start = times(40_000, 10.0)
    endpoint = [int(row % 100 == 7) for row in range(40_000)]
    held = kept(start, endpoint, 2_000)
    assert sum(endpoint[row] for row in held) >= ENOUGH
    assert len(held) <= 2_000


def test_an_endpoint_that_is_asked_for_late_is_seen() -> None:
    start = times(40_000, 10.0)
    endpoint = [int(row >= 39_950) for row in range(40_000)]
    held = kept(start, endpoint, 2_000)
    assert sum(endpoint[row] for row in held) == 50
