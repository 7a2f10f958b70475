"""Which attributes of OpenTelemetry spans are kept: what a twin needs, nothing of the users.

A list of what may stay, because instrumentations add new attributes all the time. Query
strings, headers, client addresses, bodies, prompts, exception messages and values in SQL are
not on it. The path of a request is kept only where its template is not known.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from fastsim.spans import Attributes, AttributeValue

_KEPT = re.compile(
    r"""
    http\.(request\.method|response\.status_code|route|method|status_code|scheme|flavor)
    | url\.scheme | network\.protocol\.(name|version) | error\.type
    | server\.(address|port) | net\.host\.(name|port)
    | (db|rpc|messaging)\.(system|operation|name|namespace|method|service)(\.name)?
    | db\.(collection\.name|operation\.batch\.size|redis\.(args|pipeline)_length|sql\.table)
    | db\.redis\.(database_index|pipeline_length|args_length) | messaging\.destination(\.name)?
    | gen_ai\.(system|provider\.name|operation\.name|is_streaming|usage\..+)
    | gen_ai\.request\.(model|max_tokens|stream|choice\.count|reasoning_effort)
    | gen_ai\.response\.(model|finish_reasons|time_to_first_chunk)
    | llm\.(system|provider|model_name|is_streaming|request\.type)
    | llm\.(token_count|usage|cost)\..+
    | (openinference|traceloop)\.span\.kind | peer\.service | code\.function(\.name)?
    | aws\.(service|operation) | fastsim\..+
    """,
    re.VERBOSE,
)
_KEPT_OF_CLIENTS = re.compile(r"(net|network)\.peer\.(name|address|ip|port)")
_PATHS = frozenset({"url.path", "http.target"})
_ADDRESSES = frozenset({"url.full", "http.url"})
_STATEMENTS = frozenset({"db.query.text", "db.statement"})

# fmt: off
_VERBS = frozenset([
    "select", "insert", "update", "delete", "with", "merge", "values", "call",
    "begin", "start", "commit", "rollback", "savepoint", "release", "set", "show",
    "create", "alter", "drop", "truncate", "copy", "explain", "listen", "notify",
    "lock",
])
# fmt: on
_LITERAL = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | /\*.*?\*/ | --[^\n]* | \b0x[0-9a-f]+\b
    | (?<![\w$:%])[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?\b""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_UNSURE = re.compile(r"[\\'\"`#]|\$[^\d\s,;)]*\$|\bq'")
_LONGEST_STATEMENT = 500


def kept_attributes(attributes: Mapping[str, Any], *, of_server: bool) -> Attributes:
    """Return the attributes of a span that may be written."""
    kept: Attributes = {}
    for key, value in attributes.items():
        if _KEPT.fullmatch(key) or (not of_server and _KEPT_OF_CLIENTS.fullmatch(key)):
            kept[key] = _plain(value)
        elif key in _STATEMENTS:
            kept[key] = statement_shape(str(value))
        elif key in _ADDRESSES and not of_server:
            kept[key] = _address(str(value))
    if of_server and not path_is_known(kept):
        for key in _PATHS & attributes.keys():
            kept[key] = str(attributes[key]).partition("?")[0]
    return kept


def path_is_known(attributes: Mapping[str, AttributeValue]) -> bool:
    """Tell whether the path of a request adds nothing a model could use."""
    status = attributes.get("http.response.status_code", attributes.get("http.status_code"))
    return "http.route" in attributes or status == 404


def statement_shape(statement: str) -> str:
    """Return a statement without the values in it, or its first word where that is unsure.

    >>> statement_shape("SELECT * FROM users WHERE name = 'Ann' AND age > 41")
    'SELECT * FROM users WHERE name = ? AND age > ?'
    >>> statement_shape("SET session:41 secret")
    'SET'
    """
    words = statement.split(None, 2)
    first = words[0].rstrip(";") if words else ""
    # Redis has a SET of its own, with the value bare: "SET key value".
    if first.lower() not in _VERBS or (first.lower() == "set" and "=" not in statement):
        return first[:40] if first.replace("_", "").isalpha() else ""
    # What is a quote depends on the dialect; a backslash may or may not end a string.
    shape = "" if "\\" in statement else _LITERAL.sub("?", statement)
    if not shape or _UNSURE.search(shape):
        return first
    return " ".join(shape.split())[:_LONGEST_STATEMENT]


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, "", "", ""))
    except ValueError:
        return ""


def _plain(value: Any) -> AttributeValue:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return value  # type: ignore[no-any-return]
