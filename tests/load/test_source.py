"""Traffic from a recording or from a function of the user's own."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from fastsim.errors import InputError
from fastsim.load.source import Arrived, Own, Recorded, parse_source, scaled_file

NAMES = ("GET /a", "GET /b")


def recording(count: int = 4000, length_s: float = 400.0, seed: int = 3) -> Recorded:
    """Twice as many requests in the second half, which ask for b alone."""
    rng = np.random.default_rng(seed)
    at_s = rng.random(count) * length_s / 2.0
    late = np.arange(count) % 3 > 0
    at_s[late] += length_s / 2.0
    order = np.argsort(at_s)
    return Recorded(Arrived(at_s[order], late[order].astype(np.int64), NAMES), length_s)


def own(tmp_path: Path, body: str, name: str = "arrivals") -> Own:
    path = tmp_path / "holiday.py"
    path.write_text(f"def {name}(rate_per_s, duration_s, random):\n    {body}\n")
    return Own(f"{path}:{name}")


def test_a_recording_is_repeated_as_it_was() -> None:
    found = recording()
    once = found.arrivals(found.rate_per_s, found.length_s, seed=5)
    np.testing.assert_allclose(once.at_s, found.came.at_s)
    np.testing.assert_array_equal(once.endpoint, found.came.endpoint)


@pytest.mark.parametrize("times", [0.25, 2.0, 3.5])
def test_as_many_more_come_as_are_asked_for_when_they_came(times: float) -> None:
    found = recording()
    more = found.arrivals(times * found.rate_per_s, found.length_s, seed=5)
    # A part of a copy is drawn: four standard deviations.
    assert abs(len(more.at_s) - times * 4000) <= 4 * np.sqrt(4000 / 4)
    assert np.all(np.diff(more.at_s) >= 0.0)
    assert more.at_s[0] >= 0.0
    assert more.at_s[-1] < found.length_s
    late = np.mean(more.at_s > found.length_s / 2.0)
    assert late == pytest.approx(2 / 3, abs=0.05)
    # The mix goes with the time, but for what a copy is moved by.
    assert np.mean(more.endpoint[more.at_s > 220.0] == 1) > 0.95


def test_copies_of_a_chance_process_are_no_more_clustered_than_it_is() -> None:
    rng = np.random.default_rng(1)
    count, length_s = 40_000, 400.0
    came = Arrived(np.sort(rng.random(count)) * length_s, np.zeros(count, np.int64), NAMES)
    thrice = Recorded(came, length_s).arrivals(3 * count / length_s, length_s, seed=1)
    counts = np.histogram(thrice.at_s, np.linspace(0.0, length_s, 4001))[0]
    # Of independent arrivals the variance of counts is their mean: 3 % is four times its error.
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.1)


def test_less_time_holds_the_same_requests() -> None:
    found = recording().scaled(1.0, 40.0)
    assert found.length_s == 40.0
    assert found.rate_per_s == pytest.approx(100.0)
    np.testing.assert_allclose(found.came.at_s, recording().came.at_s / 10.0)
    both = recording().scaled(2.0, 40.0)
    assert both.rate_per_s == pytest.approx(200.0)


def test_a_part_that_is_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="none of the recorded requests"):
        recording(count=6).arrivals(1e-9, 400.0, seed=1)


@pytest.mark.parametrize("warmup_s", [0.0, 1.0, 3.0, 10.0])
def test_what_comes_before_is_the_beginning(warmup_s: float) -> None:
    came = Arrived(np.array([0.0, 0.5, 2.0]), np.array([0, 1, 0]), NAMES)
    found = came.warmed_up(warmup_s, 3.0)
    before = found.at_s[found.at_s < 0.0]
    expected = [t for n in range(4) for t in came.at_s + 3.0 * n if t < warmup_s]
    np.testing.assert_allclose(before + warmup_s, expected)
    np.testing.assert_array_equal(
        found.endpoint[: len(before)], np.tile([0, 1, 0], 4)[: len(before)]
    )
    np.testing.assert_array_equal(found.at_s[len(before) :], came.at_s)


def test_endpoints_are_found_in_other_names() -> None:
    came = Arrived(np.array([0.0, 1.0, 2.0]), np.array([0, 1, -1]), NAMES)
    assert came.in_terms_of(["GET /b", "GET /c"]).tolist() == [-1, 0, -1]


def test_a_function_says_when_and_what(tmp_path: Path) -> None:
    found = own(tmp_path, "return [(2.0, 'GET /b'), 1.5, (0.5, 'GET /a')]")
    found.check()
    came = found.arrivals(1.0, 3.0, seed=1)
    assert came.at_s.tolist() == [0.5, 1.5, 2.0]
    assert [came.names[e] if e >= 0 else None for e in came.endpoint] == ["GET /a", None, "GET /b"]
    # Other processes simulate as well.
    again = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert again == found


def test_a_function_draws_the_same_for_the_same_seed(tmp_path: Path) -> None:
    found = own(tmp_path, "return random.random(int(rate_per_s * duration_s)) * duration_s")
    first, again, other = (found.arrivals(10.0, 3.0, seed=s).at_s for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(first) == 30
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "ZeroDivisionError"),
        ("return None", "TypeError"),
        ("return []", "gives no requests"),
        ("return [3.0]", "which is no request"),
        ("return [float('nan')]", "which is no request"),
        ("return ['soon']", "which is no request"),
        ("return [(1.0, 2)]", "which is no request"),
        ("return [(1.0, 'GET /a', 3)]", "which is no request"),
    ],
)
def test_what_a_function_does_wrong_is_said(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        own(tmp_path, body).arrivals(1.0, 3.0, seed=1)


def test_a_function_that_never_ends_is_stopped_at_the_end_of_the_time(tmp_path: Path) -> None:
    path = tmp_path / "endless.py"
    path.write_text(
        "from itertools import count\n\n"
        "def arrivals(rate_per_s, duration_s, random):\n"
        "    return (n / rate_per_s for n in count())\n"
    )
    with pytest.raises(InputError, match=r"gives 3\.0, which is no request"):
        Own(f"{path}:arrivals").arrivals(10.0, 3.0, seed=1)


def test_a_search_needs_a_function_that_follows_the_rate(tmp_path: Path) -> None:
    own(tmp_path, "return random.random(int(rate_per_s * 3)) * 3", "following").require_following(
        50.0, 3.0
    )
    with pytest.raises(InputError, match="1 times as many requests at twice the rate"):
        own(tmp_path, "return random.random(100) * 3", "fixed").require_following(50.0, 3.0)


def test_sources_are_read_as_written() -> None:
    assert parse_source(" a b.jsonl x2.5 in 1min ").times == 2.5
    assert parse_source("a b.jsonl in 1min").length_s == 60.0
    assert parse_source("traces").path == Path("traces")
    found = parse_source("there/holiday.py:arrivals")
    assert found.own
    assert found.path == Path("there/holiday.py")


@pytest.mark.parametrize("text", ["", "t.jsonl x", "t.jsonl x0", "t.jsonl x1.2.3", "t in 0s"])
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no traffic"):
        scaled_file(text, hint="write it")
    with pytest.raises(InputError, match="is no traffic"):
        parse_source(text)


def test_a_python_file_needs_the_name_of_a_function() -> None:
    with pytest.raises(InputError, match=r"holiday\.py alone names no function"):
        parse_source("holiday.py")


def test_a_function_is_not_scaled_beside(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is asked for the rate"):
        parse_source("holiday.py:arrivals x2")
