"""The passes of a loop that cannot be looked into, step by step."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, cast

import pytest

from fastsim.collector import clocks
from fastsim.collector.passes import Passes

MS = 1_000_000


class Loop:
    """Keeps what it shall call; the test runs it, pass by pass."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], None]] = []

    def call_soon(
        self, callback: Any, *_args: Any, context: contextvars.Context | None = None
    ) -> Any:
        assert context is not None
        self.ready.append(callback)


class Story:
    """Code of requests at moments in milliseconds; between passes, marks run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0
        monkeypatch.setattr(clocks, "perf_counter_ns", lambda: self.now)
        self.loop = Loop()
        self.end = 0
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.passes = Passes(loop, lambda: self.end)

    def code(self, begin: float, end: float) -> bool:
        self.now = round(begin * MS)
        slept = self.passes.enter(self.now, gap=self.now - self.end > 0.2 * MS)
        self.end = self.now = round(end * MS)
        return slept

    def next_pass(self, at: float) -> None:
        self.now = round(at * MS)
        marks, self.loop.ready = self.loop.ready, []
        for mark in marks:
            mark()

    def bounds(self, at: float, *, threaded: bool = False) -> tuple[float, float]:
        after, before = self.passes.limits(threaded=threaded)
        now = round(at * MS)
        return (now - after) / MS, (now - before) / MS


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(monkeypatch)


def test_a_wait_that_woke_the_loop_is_known_exactly(story: Story) -> None:
    assert story.code(10.0, 11.0)
    assert story.bounds(10.0) == (0.0, 0.0)
    # Another that the same poll found, a millisecond later in the same pass.
    assert not story.code(11.0, 12.0)
    assert story.bounds(11.0) == (1.0, 1.0)


def test_the_pass_after_one_that_woke(story: Story) -> None:
    story.code(10.0, 12.0)
    story.next_pass(12.0)
    assert not story.code(12.05, 14.0)
    # Not found by the poll at 10, found by the one at 12.
    assert story.bounds(12.05) == (2.05, 0.05)


def test_later_passes_look_back_one_pass(story: Story) -> None:
    for begin in (10.0, 12.0, 15.0):
        story.next_pass(begin)
        story.code(begin, begin + 2.0)
    story.next_pass(17.0)
    story.code(17.05, 18.0)
    # The pass before last ended at 14: whatever was ready then ran in the last pass.
    assert story.bounds(17.05) == (3.05, 0.05)


def test_what_threads_report_takes_a_pass_more(story: Story) -> None:
    for begin in (10.0, 12.0, 15.0):
        story.next_pass(begin)
        story.code(begin, begin + 2.0)
    story.next_pass(17.0)
    story.code(17.05, 18.0)
    assert story.bounds(17.05, threaded=True) == (5.05, 2.05)


def test_other_code_is_no_sleep_while_a_mark_waits(story: Story) -> None:
    story.code(10.0, 11.0)
    # Something else runs for 5 ms in the same pass.
    assert not story.code(16.0, 17.0)
    assert story.bounds(16.0) == (6.0, 6.0)


def test_a_pass_without_code_sets_no_mark(story: Story) -> None:
    story.code(10.0, 11.0)
    assert len(story.loop.ready) == 1
    story.next_pass(11.0)
    assert story.loop.ready == []
    assert story.code(20.0, 21.0)
    assert story.bounds(20.0) == (0.0, 0.0)


def test_a_moment_of_sleep_is_a_new_poll_all_the_same(story: Story) -> None:
    story.code(10.0, 11.0)
    story.next_pass(11.0)
    assert not story.code(11.1, 12.0)
    assert story.bounds(11.1) == (0.0, 0.0)
