"""Trace ids of many requests in little memory: 16 bytes each, where a string takes 81."""

from collections.abc import Iterable, Sequence
from typing import overload

_WIDTH = 16
_ZERO = bytes(_WIDTH)


class TraceIds(Sequence[str]):
    """Strings, of which those of 32 lower-case hexadecimal digits, as W3C has them, are packed."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._packed = bytearray()
        self._others: dict[int, str] = {}
        """Those of any other form, by place."""
        for each in ids:
            self.append(each)

    def append(self, trace_id: str) -> None:
        """Take one more."""
        packed = _ZERO
        if len(trace_id) == 2 * _WIDTH:
            try:
                packed = bytes.fromhex(trace_id)
            except ValueError:
                packed = _ZERO
        if packed.hex() != trace_id:
            packed = _ZERO
            self._others[len(self)] = trace_id
        self._packed += packed

    def of(self, places: Iterable[int]) -> "TraceIds":
        """Return some of them."""
        return TraceIds(self[place] for place in places)

    def __len__(self) -> int:
        return len(self._packed) // _WIDTH

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return self.of(range(*place.indices(len(self))))
        place = range(len(self))[place]
        other = self._others.get(place)
        return self._packed[_WIDTH * place : _WIDTH * (place + 1)].hex() if other is None else other

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TraceIds) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows
