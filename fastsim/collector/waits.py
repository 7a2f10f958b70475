"""What is a suspended coroutine waiting for? Read it off its await chain.

The chain runs from the task's coroutine through every ``await`` down to the
future at the end. Library frames below the last frame of the service's own code
say what kind of wait it is; that last frame says where. ``fastsim.collector.frames``
knows the libraries.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from types import CodeType, CoroutineType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from fastsim.collector.frames import (
    LIBRARY_KINDS,
    Frame,
    known_frames,
    look_up,
    place_of,
)
from fastsim.collector.paths import (
    MAX_DEPTH,
    Path,
    below,
    first_path,
    follow,
    next_link,
    passed,
    remember,
)
from fastsim.collector.wait_names import number_of
from fastsim.spans import StepKind, Via
from fastsim.step_columns import UNKNOWN

_ORIGIN_DEPTH = 40
"""Frames looked at above the creation of a task; an application's own is nearer."""

_WAIT_FOR_IN_A_TASK = sys.version_info < (3, 12)
"""``asyncio.wait_for`` ran what it waits for in a task of its own."""

if TYPE_CHECKING:
    _Coroutine = CoroutineType[Any, Any, Any]

_IO, _SOCKET, _TIMER = StepKind.IO.value, Via.SOCKET.value, Via.TIMER.value
_THREAD = Via.THREAD.value
REACH_NEAR, REACH_THREAD, REACH_FAR = range(3)
_JOIN = (StepKind.IO.value, Via.LOOP.value, "join")
_WAITERS = frozenset({"wait_for", "join"})
_OWNERS = frozenset({*LIBRARY_KINDS, "pool", "sqlalchemy"})


class Wait(NamedTuple):
    """Kind, wake-up and label of a suspension, and the user's frame it happened in."""

    kind: str
    via: str
    label: str
    where: str
    reach: int
    """How the loop hears of its end: an index into ``LoopClock.limits``."""
    number: int
    """Of its name, see ``fastsim.collector.wait_names``."""


def make_wait(kind: str, via: str, label: str, where: str, *, extra_hops: bool = False) -> Wait:
    """Return a wait; ``extra_hops`` if its wake-up takes more passes than the usual two."""
    reach = REACH_FAR if extra_hops else REACH_THREAD if via == _THREAD else REACH_NEAR
    return Wait(kind, via, label, where, reach, number_of(kind, via, label, where))


class Named(NamedTuple):
    """What the service's own code says it waits for (``fastsim.collector.step``)."""

    name: str
    kind: str
    outer: "Named | None"
    """The name around it."""


named_step: ContextVar[Named | None] = ContextVar("fastsim_step", default=None)


class SpanNames:
    """Lets OpenTelemetry's current span name the waits of libraries we do not know."""

    def __init__(self) -> None:
        self.name: Callable[[str], tuple[str, str] | None] | None = None
        """Returns kind and label by the current span, given the library's name; None if it says
        none. None where there are no spans."""


spans_in_use = SpanNames()


class _Chain:
    """The roles met on the way down, each with the outermost frame that played it."""

    __slots__ = ("last_library", "last_role", "roles")

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.roles: dict[str, Frame] = {}
        self.last_role = ""
        self.last_library = ""
        for frame in frames:
            role = frame.role
            if role == "user":
                continue
            self.roles.setdefault(role, frame)
            self.last_role = role
            if role in _OWNERS:
                self.last_library = role


def find_wait(
    coro: object, yielded: Any, users: "_Coroutine | None" = None, path: Path | None = None
) -> "tuple[Wait, int, _Coroutine | None, Path | None]":
    """Name what ``coro`` is suspended on.

    Parameters
    ----------
    yielded
        The future at the end of its chain.
    users, path
        What the last call for the same ``coro`` returned.

    Returns
    -------
    The wait; the wait itself in nanoseconds where the chain tells it (``asyncio.sleep``), else
    UNKNOWN; the outermost coroutine of the service's own in the chain, and the path that was met.
    As long as that coroutine is suspended it is in the chain, and what is above it says nothing:
    the next search begins there, a dozen frames of server and framework further down.
    """
    named = named_step.get()
    if named is not None:
        wait, known_ns, users, _ = _find_anew(coro, users, yielded, _flavour(yielded))
        return _named(wait, named, bare=yielded is None), known_ns, users, None
    if yielded is None:
        flavour = _BARE
    elif type(yielded) is asyncio.Future and not yielded._callbacks:
        flavour = _PLAIN
    else:
        flavour = _flavour(yielded)
    if path is None:
        path = first_path(coro)
    if users is not None and users.cr_await is None:
        users = None
    for expected in (path.following, path.before):
        # Does the code do what it did last time, or the time before?
        if expected is None or not expected.links:
            continue
        first: Any = users
        if first is None and (expected.above or coro not in _origins):
            first = below(expected, coro)
        current, last = first, None
        for code, place in expected.links:
            if type(current) is CoroutineType:
                if current.cr_code is not code:
                    break
                if place >= 0 and current.cr_frame.f_lasti != place:  # type: ignore[union-attr]
                    break
                last = current
                current = current.cr_await
            elif type(current) is GeneratorType and current.gi_code is code and place < 0:
                current = current.gi_yieldfrom
            elif (current := passed(item := current, code, place)) is item:
                break
        else:
            if type(current) is expected.end and expected.flavour == flavour:
                known_ns = _sleep_delay(last.cr_frame) if expected.timer and last else UNKNOWN
                met_users = expected.links[0][1] >= 0
                return expected.found, known_ns, first if met_users else None, expected
    found = _find_anew(coro, users, yielded, flavour)
    path.following, path.before = found[3], path.following
    return found


def _find_anew(
    coro: object, users: "_Coroutine | None", yielded: object, flavour: str
) -> "tuple[Wait, int, _Coroutine | None, Path | None]":
    if users is not None and users.cr_await is None:
        users = None
    start: Any = coro if users is None else users
    found = follow(start, users, flavour) if users is not None or coro not in _origins else None
    if found is not None:
        path, users, last = found
        known_ns = _sleep_delay(last.cr_frame) if path.timer and last is not None else UNKNOWN
        return path.found, known_ns, users, path
    wait, users, known_ns, lasting = _look_closely(coro, yielded, users)
    if not lasting:
        return wait, known_ns, users, None
    path = remember(start, users, flavour, wait, timer=wait.via == _TIMER)
    return wait, known_ns, users, path


def _named(wait: Wait, named: Named, *, bare: bool) -> Wait:
    """Call a wait as the service's own code does."""
    # Queues of their own stay what they are: slots of a pool, threads, the ready queue.
    if bare or wait[:3] == _JOIN or wait.kind == StepKind.POOL:
        return wait
    kind = wait.kind if wait.kind == StepKind.THREAD else named.kind
    far = wait.reach == REACH_FAR
    return make_wait(kind, wait.via, named.name, wait.where, extra_hops=far)


_BARE, _PLAIN = "bare", ""


def _flavour(yielded: object) -> str:
    """Say what is waited for, as far as it decides what the wait is called."""
    if yielded is None:
        return _BARE
    if type(yielded) is asyncio.Future:
        return _mirrored(yielded)  # of most nothing
    if _is_recorded_task(yielded):
        return "recorded"
    return f"{type(yielded).__qualname__} {_mirrored(yielded)}"


def _look_closely(
    coro: object, yielded: object, users: "_Coroutine | None"
) -> "tuple[Wait, _Coroutine | None, int, bool]":
    """Name a wait by every frame of its chain; also tell whether the same chain says the same."""
    frames_below: list[tuple[Frame, FrameType | None]] = []
    user: FrameType | None = None
    met_user = other = waits_for = False
    code: CodeType | None
    depth = 0
    current: object | None = coro if users is None else users
    while current is not None and depth < MAX_DEPTH:
        depth += 1
        if type(current) is CoroutineType:
            code, frame, following = current.cr_code, current.cr_frame, current.cr_await
        else:
            code, frame, following = next_link(current)
        if code is not None:
            known = known_frames.get(id(code)) or look_up(code)
            if known.role == "user":
                # What the service's own code was called by says nothing about what it calls.
                user, met_user = frame, True
                if users is None and type(current) is CoroutineType:
                    users = current
                other = waits_for = False
                frames_below.clear()
            elif known.role:
                frames_below.append((known, frame))
                if known.role == "wait_for":
                    waits_for = True
                elif known.role == "other":
                    other = True
        current = following
    where = ""
    if met_user:
        where = place_of(user) if user is not None else ""
        found = _decide(_Chain(known for known, _ in frames_below), yielded)
    else:
        frames, where = _with_origin(coro, [known for known, _ in frames_below])
        if not where:
            further = (at for known, at in reversed(frames_below) if known.where[0] and at)
            where = next(map(place_of, further), "")
        found = _decide(_Chain(frames), yielded)
        other = other or any(known.role == "other" for known in frames)
    kind, via, label = found
    # Without code of the service's own, who made the task may decide, or where a library stands.
    lasting = met_user or not (where or coro in _origins)
    if kind == _IO and via == _SOCKET and (other or not label) and spans_in_use.name is not None:
        kind, label = spans_in_use.name(label) or (kind, label)
        lasting = False  # the current span is another one next time
    waits_ns = _sleep_delay(frames_below[-1][1]) if via == _TIMER and frames_below else UNKNOWN
    far = _WAIT_FOR_IN_A_TASK and waits_for
    return make_wait(kind, via, label, where, extra_hops=far), users, waits_ns, lasting


def is_users_code(code: CodeType) -> bool:
    """Return whether the service itself wrote this, not a library."""
    return look_up(code).role == "user"


def _decide(chain: _Chain, yielded: object) -> tuple[str, str, str]:
    roles = chain.roles
    if yielded is None:
        return StepKind.SLEEP.value, Via.LOOP.value, "yield"
    last = chain.last_role
    if last in {"wait_for", "join"} or _is_recorded_task(yielded):
        return _JOIN
    mirrors = _mirrored(yielded)
    if mirrors == "task":
        return _JOIN
    if "db-thread" in roles:
        return StepKind.DB.value, Via.THREAD.value, roles["db-thread"].package
    if "thread" in roles:
        return StepKind.THREAD.value, Via.THREAD.value, roles["thread"].name
    if last in {"lock", "queue", "event", "pool"}:
        owner = chain.last_library
        if owner == "pool" or (owner == "sqlalchemy" and last == "queue"):
            # Named like the library that the service calls: its pool is recorded as that.
            outer = roles.get("http") or roles[owner]
            return StepKind.POOL.value, Via.LOOP.value, outer.package
        if not owner:
            last = "lock" if "lock" in roles else last  # anyio's limiters wait for an event
            kind = StepKind.POOL if last == "lock" else StepKind.IO
            return kind.value, Via.LOOP.value, roles[last].name
    library = next((roles[kind] for kind in LIBRARY_KINDS if kind in roles), None)
    if library is not None:
        via = Via.TIMER if last == "sleep" else Via.SOCKET
        return library.role, via.value, library.package
    if last == "sleep":
        return StepKind.SLEEP.value, Via.TIMER.value, "asyncio.sleep"
    if "sqlalchemy" in roles:
        # No driver below it: SQLAlchemy waits for a task of its own (closing a session).
        return _JOIN
    if "pool" in roles:
        return StepKind.DB.value, Via.SOCKET.value, roles["pool"].package
    for role in ("receive", "send"):
        if role in roles:
            return StepKind.IO.value, Via.SOCKET.value, role
    if isinstance(yielded, asyncio.Task) or type(yielded).__name__ == "_GatheringFuture":
        return _JOIN
    if "stream" in roles:
        return StepKind.IO.value, Via.SOCKET.value, roles["stream"].name
    if mirrors == "thread":
        return StepKind.THREAD.value, Via.THREAD.value, "executor"
    other = roles.get("other")
    return StepKind.IO.value, Via.SOCKET.value, other.package if other else ""


def _is_recorded_task(yielded: object) -> bool:
    """Tell whether a task of the same request is awaited: its own waits say what for."""
    if not isinstance(yielded, asyncio.Task):
        return False
    return hasattr(type(yielded.get_coro()), "fastsim_timed")


def _mirrored(yielded: object) -> str:
    """Tell what a future only stands for: a ``task`` (shielded) or a call in a ``thread``."""
    # The task that waits is not among the callbacks yet, so there are none on most futures.
    for callback in getattr(yielded, "_callbacks", None) or ():
        name = getattr(callback[0], "__qualname__", "") if isinstance(callback, tuple) else ""
        if name.startswith("shield."):
            return "task"
        if name.startswith("_chain_future."):
            return "thread"
    return ""


# --- tasks that libraries make -----------------------------------------------------------

_origins: "WeakKeyDictionary[object, tuple[list[Frame], str]]" = WeakKeyDictionary()


def remember_origin(coro: object) -> None:
    """Note who makes a task of ``coro``, if its own frames will not tell.

    ``asyncio.wait_for`` and ``shield`` move part of a library's wait into a task whose chain
    begins below the library, with no frame of the service in it.
    """
    if not isinstance(coro, CoroutineType) or look_up(coro.cr_code).role == "user":
        return
    found: list[Frame] = []
    where = ""
    above: FrameType | None = sys._getframe(1)
    for _ in range(_ORIGIN_DEPTH):
        if above is None:
            break
        known = look_up(above.f_code)
        if known.role == "user":
            where = place_of(above)
            break
        if known.role:
            found.append(known)
        above = above.f_back
    if found or where:
        found.reverse()
        _origins[coro] = (found, where)


def _with_origin(coro: object, frames: list[Frame]) -> tuple[list[Frame], str]:
    """Put the frames that made the task above its own; return them and where that was."""
    try:
        origin, where = _origins.get(coro, ([], ""))
    except TypeError:  # not every awaitable can be looked up
        return frames, ""
    # Waiting for this very task is not what the task waits for.
    return [*(frame for frame in origin if frame.role not in _WAITERS), *frames], where


def _sleep_delay(frame: FrameType | None) -> int:
    delay = frame.f_locals.get("delay") if frame is not None else None
    return round(delay * 1e9) if isinstance(delay, (int, float)) and delay > 0 else UNKNOWN
