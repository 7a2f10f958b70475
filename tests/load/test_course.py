"""The rate over time."""

import pytest

from fastsim.errors import InputError
from fastsim.load.course import MOST_PHASES, course_of
from fastsim.phases import parse_phases


def test_levels_are_over_the_mean() -> None:
    course, rate = course_of(parse_phases("20s 100/s, 10s 100/s..300/s, 10s 300/s"), None)
    assert rate == pytest.approx((20 * 100 + 10 * 200 + 10 * 300) / 40)
    assert course.duration_s == 40.0
    assert course.peak * rate == pytest.approx(300.0)
    assert [stretch.name for stretch in course.stretches] == ["phase 1", "phase 2", "phase 3"]
    assert course.stretches[1].begins * rate == pytest.approx(100.0)
    assert course.unit is None


def test_multiples_of_a_rate() -> None:
    course, rate = course_of(parse_phases("30s x1, 10s x5"), 50.0)
    assert rate == pytest.approx(100.0)
    assert course.unit == pytest.approx(0.5)


def test_what_cannot_be_a_course() -> None:
    with pytest.raises(InputError, match="not known"):
        course_of(parse_phases("10s x1"), None)
    with pytest.raises(InputError, match="nothing arrive"):
        course_of(parse_phases("10s 0/s"), None)


def test_too_many_phases_are_not_reported_one_by_one() -> None:
    text = ", ".join(f"1s {number}/s" for number in range(MOST_PHASES + 1))
    course, rate = course_of(parse_phases(text), None)
    assert rate == pytest.approx(MOST_PHASES / 2)
    assert course.told_apart == ()
