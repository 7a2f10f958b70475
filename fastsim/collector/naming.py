"""``step``: the service's own name for what it waits for."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from fastsim.collector.frames import checked_kind
from fastsim.collector.waits import Named, named_step

F = TypeVar("F", bound=Callable[..., Any])


class step:  # noqa: N801  used like a function: ``with step("rates", kind="http")``
    """Give the waits inside a name and a kind of their own.

    Works as ``with step(...)`` and as a decorator of functions, coroutine functions and
    asynchronous generators (dependencies with ``yield`` too). The innermost name counts.
    Waits for slots of a pool and for threads keep their kind, because they are queues of
    their own, and so do hand-overs between tasks.

    Parameters
    ----------
    name
        Label of the waits, for example ``"exchange rates"``.
    kind
        ``db``, ``http``, ``cache``, ``llm`` or ``io``.

    Raises
    ------
    ValueError
        When there is no such kind.
    """

    def __init__(self, name: str, *, kind: str = "io") -> None:
        self.name = name
        self.kind = checked_kind(kind)

    def __enter__(self) -> Self:
        # The name before is kept in the context, not here: many requests share this object.
        named_step.set(Named(self.name, self.kind, named_step.get()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        named = named_step.get()
        named_step.set(named.outer if named is not None else None)

    def __call__(self, function: F) -> F:
        """Name every wait of a function."""
        watched: Any
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def watched(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                inner = function(*args, **kwargs)
                resume = inner.__anext__()
                try:
                    while True:
                        with self:
                            try:
                                item = await resume
                            except StopAsyncIteration:
                                return
                        try:
                            yield item
                        except GeneratorExit:
                            raise
                        except BaseException as error:  # noqa: BLE001  the function decides
                            resume = inner.athrow(error)
                        else:
                            resume = inner.__anext__()
                finally:
                    await inner.aclose()

        elif inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def watched(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def watched(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return watched  # type: ignore[no-any-return]
