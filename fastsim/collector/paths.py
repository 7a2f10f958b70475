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

    __slots__ = ("above", "before", "end", "flavour", "following", "found", "links", "timer")

    def __init__(self, found: Any, flavour: str, *, timer: bool) -> None:
        self.found = found
        self.flavour = flavour
        """Of what is waited for, as far as it decides."""
        self.timer = timer
        """The last coroutine knows how long it waits."""
        self.end: type = object
        """Of what the last coroutine awaits."""
        self.above: tuple[CodeType | None, ...] = ()
        """Of server and framework, from the first coroutine to those of the service."""
        self.links: tuple[tuple[CodeType | None, int], ...] = ()
        """From the outermost coroutine of the service's own, if there is one: code, and for code
        of the service's own where it stands, else -1. Without code: a wrapper."""
        self.following: Path | None = None
        """The path that was met after this one: code does the same thing again and again."""
        self.before: Path | None = None
        """The one that was met after it before that: but not always."""


def first_path(coro: Any) -> Path:
    """Return what stands for the path before a coroutine's first wait."""
    code = getattr(coro, "cr_code", None)
    key = ("first", id(code))
    path = known_paths.get(key)
    if path is None:
        if code is not None:
            look_up(code)  # which keeps it alive
        path = known_paths[key] = Path(None, "", timer=False)
    return path


def passed(item: Any, code: CodeType | None, place: int) -> Any:
    """Return the next link of a chain if ``item`` is the one described, else ``item``."""
    found, frame, following = next_link(item)
    if found is not code or (place >= 0 and (frame is None or frame.f_lasti != place)):
        return item
    return item if code is None and type(item).__name__ not in _WRAPPERS else following


def below(path: Path, start: Any) -> Any:
    """Return what comes after the coroutines of server and framework if the path begins so."""
    for code in path.above:
        if type(start) is CoroutineType and start.cr_code is code:
            start = start.cr_await
        elif (start := passed(following := start, code, -1)) is following:
            return None
    return start


def follow(start: Any, users: Any, flavour: str) -> tuple[Path, Any, Any] | None:
    """Follow a chain along those met before; None where it leads somewhere else.

    Parameters
    ----------
    start
        The coroutine it begins with.
    users
        The outermost coroutine of the service's own, if it is known.
    flavour
        Of what is waited for.

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
            path = node.get((kind, flavour))
            return None if path is None else (path, users, last)
        if node is None:
            return None


def remember(start: object, users: object, flavour: str, found: object, *, timer: bool) -> Path:
    """Keep what was found at the end of a chain; the arguments are those of ``follow``."""
    if _Kept.paths >= _MOST_PATHS:
        known_paths.clear()
        _Kept.paths = 0
    path = Path(found, flavour, timer=timer)
    node: dict[Any, Any] = known_paths
    above: list[CodeType | None] = []
    links: list[tuple[CodeType | None, int]] = []
    current: object | None = start
    for _ in range(MAX_DEPTH):
        code, frame, following = next_link(current)
        if users is not None and current is users:
            # What was above need not be looked at again while this one is suspended.
            above, links = [link for link, _ in links], []
        if code is not None:
            place = -1
            if look_up(code).role == "user":
                place = frame.f_lasti if frame is not None else -1
                places = node.setdefault(id(code), _ByPlace())
                node = places.setdefault(place, {})
            else:
                node = node.setdefault(id(code), {})
            links.append((code, place))
        elif type(current).__name__ in _WRAPPERS:
            links.append((None, -1))
        else:
            path.end = type(current)
            path.above, path.links = tuple(above), tuple(links)
            node[type(current), flavour] = path
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
