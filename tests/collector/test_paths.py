"""A chain of awaits that was met before is recognised, and says the same again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from fastsim.collector import frames, paths, waits
from fastsim.collector.waits import Wait, _look_closely, find_wait


async def nap(number: int) -> None:
    if number == 0:
        await asyncio.sleep(0.0001)
    else:
        await asyncio.sleep(0.0002)


async def take_turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        await asyncio.sleep(0)
        yield number


async def stream() -> None:
    async for _ in numbers():
        await asyncio.sleep(0)


async def locked() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    asyncio.get_running_loop().call_soon(lock.release)
    async with lock:
        pass


async def shielded() -> None:
    await asyncio.shield(asyncio.create_task(asyncio.sleep(0.0001)))


async def gathered() -> None:
    await asyncio.gather(asyncio.sleep(0.0001), asyncio.sleep(0))


async def joined() -> None:
    await asyncio.create_task(asyncio.sleep(0.0001))


async def in_a_thread() -> None:
    await asyncio.get_running_loop().run_in_executor(None, int)


KINDS: list[Callable[[], Coroutine[Any, Any, None]]] = [
    *(lambda: nap(0), lambda: nap(1), take_turns, stream, locked),
    *(shielded, gathered, joined, in_a_thread, lambda: asyncio.sleep(0.0001)),
]


def recognised(make: Callable[[], Coroutine[Any, Any, None]]) -> list[Wait]:
    return waits_of(make, lambda coro, yielded: find_wait(coro, yielded)[0])


def waits_of(
    make: Callable[[], Coroutine[Any, Any, None]], look: Callable[[object, object], Wait]
) -> list[Wait]:
    """Drive a coroutine and name each of its waits."""
    found: list[Wait] = []

    class Watched:
        def __await__(self) -> Any:
            inner = make()
            value: Any = None
            while True:
                try:
                    yielded = inner.send(value)
                except StopIteration:
                    return
                found.append(look(inner, yielded))
                value = yield yielded

    async def drive() -> None:
        await Watched()

    asyncio.run(drive())
    return found


@pytest.mark.parametrize("make", KINDS)
def test_what_is_recognised_is_what_a_close_look_finds(
    make: Callable[[], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames.forget_frames()
    close = waits_of(make, lambda coro, yielded: _look_closely(coro, yielded, None)[0])
    assert recognised(make) == close
    assert close
    monkeypatch.setattr("fastsim.collector.waits._look_closely", None)
    assert recognised(make) == close
    for _ in range(2):
        assert in_a_row(make) == close


def test_who_made_a_task_is_not_forgotten_over_its_path() -> None:
    """The same coroutine of a library, once in a task that a library made for the service."""
    frames.forget_frames()
    [plain] = recognised(lambda: asyncio.sleep(0.0001))
    made = asyncio.sleep(0.0001)
    waits._origins[made] = ([], "shop.py:3 order")
    [of_a_task] = recognised(lambda: made)
    assert (plain.where, of_a_task.where) == ("", "shop.py:3 order")
    assert recognised(lambda: asyncio.sleep(0.0001)) == [plain]


def test_the_second_time_nobody_looks_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    frames.forget_frames()
    first = recognised(lambda: nap(0))

    def refuse(*_: object) -> None:
        raise AssertionError("looked closely again")

    monkeypatch.setattr("fastsim.collector.waits._look_closely", refuse)
    again = recognised(lambda: nap(0))
    assert again == first
    with pytest.raises(AssertionError, match="looked closely again"):  # another line of the code
        recognised(lambda: nap(1))


def test_two_places_of_the_same_code_are_told_apart() -> None:
    known: list[int] = []

    def look(coro: object, yielded: object) -> Wait:
        wait, known_ns, *_ = find_wait(coro, yielded)
        known.append(known_ns)
        return wait

    found = [waits_of(partial(nap, number), look)[0] for number in (0, 1, 0, 1)]
    assert known == [100_000, 200_000] * 2
    assert found[0].where != found[1].where
    assert found[:2] == found[2:]


async def nap_and_yield() -> None:
    for _ in range(2):
        await nap(0)
        await asyncio.sleep(0)
        await nap(1)


def in_a_row(make: Callable[[], Coroutine[Any, Any, None]]) -> list[Wait]:
    """Name each wait with what the one before it returned, as the recorder does."""
    before: tuple[Any, Any] = (None, None)

    def look(coro: object, yielded: object) -> Wait:
        nonlocal before
        wait, _, *rest = find_wait(coro, yielded, *before)
        before = (rest[0], rest[1])
        return wait

    return waits_of(make, look)


def test_code_that_does_what_it_did_before_is_expected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    frames.forget_frames()
    first = in_a_row(nap_and_yield)
    assert in_a_row(nap_and_yield) == first == recognised(nap_and_yield)
    searched: list[object] = []

    def follow(*chain: Any) -> object:
        searched.append(chain)
        return paths.follow(*chain)

    monkeypatch.setattr("fastsim.collector.waits.follow", follow)
    again = in_a_row(nap_and_yield)
    assert again == first
    assert len(searched) == 1, "only the first wait has none before it"


def test_what_is_expected_is_looked_at() -> None:
    frames.forget_frames()
    either = {"other": False}

    async def one_or_the_other() -> None:
        await asyncio.sleep(0)
        if either["other"]:
            await nap(1)
        else:
            await nap(0)

    usual = [in_a_row(one_or_the_other) for _ in range(3)][-1]
    either["other"] = True
    changed = in_a_row(one_or_the_other)
    assert (changed[0], changed[1].where != usual[1].where) == (usual[0], True)


def test_an_outermost_coroutine_that_has_ended_is_nothing_to_go_by() -> None:
    frames.forget_frames()
    ended, running = take_turns(), take_turns()
    ended.send(None)
    _, _, users, path = find_wait(ended, None)
    ended.send(None)
    wait, _, users, path = find_wait(ended, None, users, path)
    ended.close()
    running.send(None)
    assert find_wait(running, None, users, path)[0] == wait
    running.close()


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_MOST_PATHS", 3)
    frames.forget_frames()
    monkeypatch.setattr(paths._Kept, "paths", 0)
    for make in (take_turns, stream, lambda: nap(0), lambda: nap(1), take_turns):
        recognised(make)
        assert paths._Kept.paths <= 3
