"""The clock: put forward only over time in which nothing happens."""

from fastsim.twin.alarm import Alarm, Clock, set_alarm


def test_time_passes_until_before_the_next_event() -> None:
    clock = Clock()
    rung: list[float] = []

    def ring(_alarm: Alarm) -> None:
        rung.append(clock.now)

    set_alarm(clock, 2.0, ring)
    assert clock.put_forward(1.5)
    assert clock.now == 1.5
    assert not clock.put_forward(0.5)  # then it rings: whoever came first comes first
    assert not clock.put_forward(1.0)
    assert clock.now == 1.5
    clock.run(until=5.0)
    assert rung == [2.0]


def test_a_run_ends_where_it_was_told_to() -> None:
    clock = Clock()
    refused: list[bool] = []
    set_alarm(clock, 1.0, lambda _alarm: refused.append(clock.put_forward(10.0)))
    clock.run(until=3.0)
    assert refused == [False]
    assert clock.now == 3.0
