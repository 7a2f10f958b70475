"""What the JSON formats other than OTLP share: identities, times, plain attributes."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from fastsim.calibrate.readers.account import FileAccount, Skip
from fastsim.calibrate.readers.otlp_values import printable
from fastsim.spans import Attributes, AttributeValue, Span, SpanKind, StatusCode

MAX_NS = 2**63 - 1
_HEX = re.compile(r"[0-9a-fA-F]+").fullmatch

KINDS = {kind.name.lower(): kind for kind in SpanKind}
"""Span kinds by their lower-case names."""


def identity(raw: object, digits: int) -> str:
    """Return an id as text: hex with its leading zeros put back, anything else as it is.

    Returns
    -------
    Empty when there is none.
    """
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw) if raw >= 0 else ""
    if not isinstance(raw, str) or not raw:
        return ""
    if len(raw) <= digits and _HEX(raw):
        return raw.lower().zfill(digits)
    return printable(raw)


def nanoseconds(raw: object, unit_ns: int) -> int:
    """Return a time given in units of ``unit_ns`` in nanoseconds; -1 for what is no time."""
    if isinstance(raw, bool):
        return -1
    if isinstance(raw, str):
        try:
            raw = int(raw)
        except ValueError:
            try:
                raw = float(raw)
            except ValueError:
                return -1
    if isinstance(raw, float):
        if not math.isfinite(raw):
            return -1
        raw = round(raw * unit_ns)
        return raw if 0 <= raw <= MAX_NS else -1
    if not isinstance(raw, int):
        return -1
    value = raw * unit_ns
    return value if 0 <= value <= MAX_NS else -1


def plain(value: Any) -> AttributeValue:
    """Return an attribute value as one of the types that spans carry."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list) and value and {type(item) for item in value} in ({int}, {str}):
        return value
    return json.dumps(value)


def plain_attributes(raw: object, account: FileAccount) -> Attributes:
    """Return the entries of an object as attributes."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        account.skip(Skip.ATTRIBUTE)
        return {}
    return {printable(str(key)): plain(value) for key, value in raw.items()}


def make_span(
    account: FileAccount,
    *,
    trace_id: str,
    span_id: str,
    parent_id: str,
    kind: SpanKind,
    name: object,
    start_ns: int,
    end_ns: int,
    attributes: Attributes,
    resource: Attributes,
    scope: object = "",
    error: bool = False,
    trace_state: str = "",
) -> Span | None:
    """Return a span, or None after counting why it cannot be used."""
    if not trace_id or not span_id:
        account.skip(Skip.NO_IDS)
        return None
    if start_ns < 0 or end_ns < start_ns:
        account.skip(Skip.BAD_TIMES)
        return None
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id or None,
        kind=kind,
        name=printable(name) if isinstance(name, str) else "",
        start_ns=start_ns,
        end_ns=end_ns,
        service=str(resource.get("service.name") or ""),
        instance=instance_of(resource),
        scope=scope if isinstance(scope, str) else "",
        attributes=attributes,
        resource=resource,
        status=StatusCode.ERROR if error else StatusCode.UNSET,
        trace_state=trace_state,
    )


_INSTANCE = ("service.instance.id", "client-uuid", "runtime-id", "hostname", "host.name", "ip")


def instance_of(resource: Mapping[str, AttributeValue]) -> str:
    """Name the process: whatever its resource says that tells it from others."""
    return next((str(resource[key]) for key in _INSTANCE if resource.get(key)), "")


def is_error(value: object) -> bool:
    """Tell whether an ``error`` tag says so; it is true, "true", 1 or a message."""
    return value not in (None, False, 0, "", "false", "False", "0")
