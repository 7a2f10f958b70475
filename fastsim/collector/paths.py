"""Chains of awaits that were met before, so that a wait is named once and then only recognised.

A service waits at a few hundred places, thousands of times a second. A chain is a path through
the code objects of its coroutines, by identity; of the service's own, also the instruction they
stand at. What was found at its end is kept there.
"""

import gc
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any

from fastsim.collector.frames import known_paths, look_up

MAX_DEPTH = 100
_MOST_PATHS = 20_000
"""A service that makes code as it runs must not fill the memory with it."""
_WRAPPERS = frozenset({"async_generator_asend", "async_generator_athrow", "coroutine_wrapper"})
"""Links of a chain that have no code of their own."""


class _ByPlace(dict[int, Any]):
    """What follows a frame of the service's own, by the instruction it stands at."""


class _Kept:
    paths = 0


class Path:
    """What was found at the end of a chain."""

    __slots__ = ("bare", "end", "following", "found", "links", "timer")

    def __init__(self, found: Any, *, bare: bool, timer: bool) -> None:
        self.found = found
        self.bare = bare
        self.timer = timer
        """The last coroutine knows how long it waits."""
        self.end: type = object
        """Of what the last coroutine awaits."""
        self.links: tuple[tuple[CodeType, int], ...] = ()
        """From the outermost coroutine of the service's own: code, and for code of the service's
        own where it stands, else -1. Empty where other things are between."""
        self.following: Path | None = None
        """The path that was met after this one: code does the same thing again and again."""


def follow(start: Any, users: Any, *, bare: bool) -> tuple[Path, Any, Any] | None:
    """Follow a chain along those met before; None where it leads somewhere else.

    Parameters
    ----------
    start
        The coroutine it begins with.
    users
        The outermost coroutine of the service's own, if it is known.
    bare
        Whether there is no future at its end (a bare ``yield``).

    Returns
    -------
    What was remembered, the outermost coroutine of the service's own, and the last coroutine.
    """
    node: Any = known_paths
    current: Any = start
    last: Any = None
    while True:
        kind = type(current)
        if kind is CoroutineType:
            node = node.get(id(current.cr_code))
            if type(node) is _ByPlace:
                if users is None:
                    users = current
                node = node.get(current.cr_frame.f_lasti)
            last, current = current, current.cr_await
        elif kind is GeneratorType:
            node = node.get(id(current.gi_code))
            if type(node) is _ByPlace:
                node = node.get(current.gi_frame.f_lasti)
            current = current.gi_yieldfrom
        elif kind is AsyncGeneratorType:
            node = node.get(id(current.ag_code))
            if type(node) is _ByPlace:
                node = node.get(current.ag_frame.f_lasti)
            current = current.ag_await
        elif kind.__name__ in _WRAPPERS:
            current = next_link(current)[2]
            continue
        else:
            path = node.get(None if bare else kind)
            return None if path is None else (path, users, last)
        if node is None:
            return None


def remember(start: object, users: object, found: object, *, bare: bool, timer: bool) -> Path:
    """Keep what was found at the end of a chain; the arguments are those of ``follow``."""
    if _Kept.paths >= _MOST_PATHS:
        known_paths.clear()
        _Kept.paths = 0
    path = Path(found, bare=bare, timer=timer)
    node: dict[Any, Any] = known_paths
    links: list[tuple[CodeType, int]] = []
    plain = True
    current: object | None = start
    for _ in range(MAX_DEPTH):
        code, frame, following = next_link(current)
        if current is users:
            links, plain = [], True
        if code is not None:
            place = -1
            if look_up(code).role == "user":
                place = frame.f_lasti if frame is not None else -1
                places = node.setdefault(id(code), _ByPlace())
                node = places.setdefault(place, {})
            else:
                node = node.setdefault(id(code), {})
            # Of generators, those of libraries: the end of ``asyncio.sleep(0)`` is one.
            kind = type(current)
            plain = plain and (kind is CoroutineType or (kind is GeneratorType and place < 0))
            links.append((code, place))
        elif type(current).__name__ in _WRAPPERS:
            plain = False
        else:
            path.end = type(current)
            if plain and users is not None:
                path.links = tuple(links)
            node[None if bare else type(current)] = path
            _Kept.paths += 1
            break
        current = following
    return path


def next_link(item: object) -> tuple[CodeType | None, FrameType | None, object | None]:
    """Return code and frame of one link of a chain, as far as it has them, and the next link."""
    if isinstance(item, CoroutineType):
        return item.cr_code, item.cr_frame, item.cr_await
    if isinstance(item, GeneratorType):
        return item.gi_code, item.gi_frame, item.gi_yieldfrom
    if isinstance(item, AsyncGeneratorType):
        return item.ag_code, item.ag_frame, item.ag_await
    if type(item).__name__ in {"async_generator_asend", "async_generator_athrow"}:
        # These objects do not say which generator they drive; the garbage collector knows.
        return None, None, _referent(item, AsyncGeneratorType)
    if type(item).__name__ == "coroutine_wrapper":
        return None, None, _referent(item, CoroutineType)
    return None, None, None


def _referent(item: object, kind: type) -> object | None:
    for referent in gc.get_referents(item):
        if isinstance(referent, kind):
            return referent
    return None
