"""JSON documents from text, one per line or one over many lines, as damaged as they come."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.errors import FileFormatError


def _by_hand(_text: str) -> None:
    """Read nothing at once."""


def documents(
    lines: Iterable[str],
    account: FileAccount,
    is_whole: Callable[[Any], bool],
    at_once: Callable[[str], Any] = _by_hand,
) -> Iterator[Any]:
    """Yield JSON documents: one per line if any line is a whole one, else one from all.

    Parameters
    ----------
    is_whole
        Tells whether the first JSON value on a line is a document of the format.
    at_once
        Reads a text that is one document as it should be, in a form of its own; None for any other
        text, which is then taken apart with patience.

    Raises
    ------
    FileFormatError
        When not a single document could be read.
    """
    pending: list[str] = []
    rest = iter(lines)
    for line in rest:
        if not line.strip():
            continue
        account.lines += 1
        pending.append(line)
        if _is_whole(line, is_whole):
            break
    else:
        yield from _from_text("".join(pending), account, at_once)
        return
    torn = False
    for line in pending:
        torn = yield from _from_line(line, account, at_once)
    pending.clear()
    for line in rest:
        if line.strip():
            account.lines += 1
            torn = yield from _from_line(line, account, at_once)
    if torn:  # the writer was killed in the middle of its last line
        account.correct(Skip.NOT_JSON, Skip.TORN)


def _is_whole(line: str, is_whole: Callable[[Any], bool]) -> bool:
    if not line.lstrip("\ufeff \t[").startswith("{"):
        return False
    return is_whole(next(_decoded(line), None))


def _decoded(text: str) -> Generator[Any, None, int]:
    """Yield the documents at the start of ``text``; the return value is where they end."""
    position = 0
    while True:
        while position < len(text) and text[position] in "\ufeff \t\r\n,\0":
            position += 1
        if position == len(text):
            return position
        try:
            document, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            return position
        yield document


_DECODER = json.JSONDecoder()


def _from_line(
    line: str, account: FileAccount, at_once: Callable[[str], Any]
) -> Generator[Any, None, bool]:
    """Yield what a line holds; returns True when its end could not be read."""
    whole = at_once(line)
    if whole is not None:
        yield whole
        return False
    end = yield from _decoded(line)
    left = line[end:].strip("\ufeff \t\r\n,")
    if left.startswith("["):  # the opening of an array with one export per line
        left = left[1:]
        end = yield from _decoded(left)
        left = left[end:]
    if left.strip() in {"", "]"}:
        return False
    account.skip(Skip.NOT_JSON)
    return True


def _from_text(text: str, account: FileAccount, at_once: Callable[[str], Any]) -> Iterator[Any]:
    whole = at_once(text)
    if whole is not None:
        yield whole
        return
    end = yield from _decoded(text)
    if end == len(text):
        return
    if end == 0 or not text[:end].strip("\ufeff \t\r\n,\0"):
        raise FileFormatError(
            f"{account.name} is cut off or damaged: {_reason(text)}",
            hint="export it again, or use JSON lines: there only the damaged line is lost",
            where=account.name,
        )
    account.skip(Skip.TORN)


def _reason(text: str) -> str:
    try:
        json.loads(text.lstrip("\ufeff"))
    except json.JSONDecodeError as error:
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError) as error:
        return str(error)
    return "not JSON"


def rows(items: Any, account: FileAccount) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list; anything else is counted as malformed."""
    if items is None:
        return
    if not isinstance(items, list):
        account.skip(Skip.MALFORMED)
        return
    for item in items:
        if isinstance(item, dict):
            yield item
        else:
            account.skip(Skip.MALFORMED)
