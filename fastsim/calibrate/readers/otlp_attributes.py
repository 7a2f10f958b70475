"""Attributes of spans as they stand in a line, decoded once for all spans that have the same.

Queries of one statement and calls of one peer say the same of themselves each time, and there are
several of them in every request.
"""

import json

import msgspec

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.otlp_typed import Pair
from fastsim.calibrate.readers.otlp_values import attributes_of, attributes_of_pairs
from fastsim.spans import Attributes

_MOST = 512
"""Attributes that are remembered at a time."""
_LONGEST = 4_096
"""Bytes of those that are: timelines are never alike."""
_TRIED = 2_000
"""Spans after which those are given up that hardly ever repeat what was."""
_WORTH = 0.2

_DECODER = msgspec.json.Decoder(list[Pair] | None)


class KnownAttributes:
    """Decodes attributes of one file; what it returns is shared, and not to be changed."""

    def __init__(self) -> None:
        self._known: dict[bytes, Attributes] = {}
        self._asked = self._met = 0
        self._remembers = True

    def __call__(self, raw: msgspec.Raw, account: FileAccount) -> Attributes:
        """Decode attributes; pairs that make no sense are counted and left out."""
        if not self._remembers:
            return _decoded(raw, account)
        text = bytes(raw)
        self._asked += 1
        found = self._known.get(text)
        if found is not None:
            self._met += 1
            return found
        before = account.skipped.total()
        found = _decoded(raw, account)
        # What is left out has to be counted each time.
        if len(text) <= _LONGEST and account.skipped.total() == before:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[text] = found
        if self._asked >= _TRIED:
            self._remembers = self._met >= _WORTH * self._asked
            self._asked = self._met = 0
        return found


def _decoded(raw: msgspec.Raw, account: FileAccount) -> Attributes:
    try:
        pairs = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _patiently(raw, account)
    return attributes_of_pairs(pairs, account) if pairs else {}


def _patiently(raw: msgspec.Raw, account: FileAccount) -> Attributes:
    """Decode what is not exactly as specified: another dialect, a damaged value."""
    try:
        items = json.loads(bytes(raw))
    except (ValueError, RecursionError):
        account.skip(Skip.ATTRIBUTE)
        return {}
    return attributes_of(items, account)
