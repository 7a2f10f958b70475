"""A coroutine that drives another and can do something at each resume.

``send``, ``throw`` and ``close`` make it a coroutine, so that a task can run it as it is.
"""

from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class DrivenCoroutine(Coroutine[Any, Any, T]):
    """Looks like ``inner``; what happens at a resume is up to ``send`` and ``throw``."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Coroutine[Any, Any, T]) -> None:
        self._inner = inner

    def __await__(self) -> Generator[Any, Any, T]:
        try:
            yielded = self.send(None)
            while True:
                try:
                    value = yield yielded
                except GeneratorExit:
                    self.close()
                    raise
                except BaseException as error:  # noqa: BLE001  the coroutine decides
                    yielded = self.throw(error)
                else:
                    yielded = self.send(value)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return repr(self._inner)

    def __getattr__(self, name: str) -> Any:
        # Name, code, frame and await chain: what debuggers and asyncio look at is the inner one.
        return getattr(self._inner, name)
