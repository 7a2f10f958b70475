"""OTLP/JSON as the specification writes it, read straight into typed rows.

Most lines of most files are such. A line with anything else in it (another dialect, a damaged
value) is none: the patient reader of ``otlp_json`` takes it as a whole.
"""

from typing import Any

import msgspec


class Pair(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An attribute."""

    key: str
    value: dict[str, Any] | None = None


class Status(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """Whether the work of a span failed."""

    code: int | str | None = None
    message: str | None = None


class Row(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="camel"):
    """A span."""

    trace_id: str
    span_id: str
    start_time_unix_nano: str | int
    end_time_unix_nano: str | int
    name: str = ""
    parent_span_id: str | None = None
    kind: int | str | None = None
    attributes: msgspec.Raw = msgspec.Raw(b"[]")
    """Decoded apart: many spans have the same (``otlp_attributes``)."""
    status: Status | None = None
    trace_state: str | None = None
    flags: int | None = None
    events: msgspec.Raw = msgspec.Raw()
    links: msgspec.Raw = msgspec.Raw()
    dropped_attributes_count: int | None = None
    dropped_events_count: int | None = None
    dropped_links_count: int | None = None


class Group(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The spans of one library."""

    spans: list[Row]
    scope: dict[str, Any] | None = None
    schema_url: str | None = None


class Batch(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The spans of one process."""

    scope_spans: list[Group]
    resource: dict[str, Any] | None = None
    schema_url: str | None = None


class Export(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What is sent at a time: a line of a file."""

    resource_spans: list[Batch]


_DECODER = msgspec.json.Decoder(Export)


def export_of(text: str) -> Export | None:
    """Return the export that a text is, None if it is not exactly as specified."""
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
