"""Why requests of a recording are missing, in words."""

from collections.abc import Mapping

_REASONS = {
    "queue": "the recorder's queue was full",
    "limit": "the trace files had reached --max-total",
    "disk": "the trace files could not be written",
    "fault": "the recorder failed",
    "refused": "the endpoint refused them",
    "unreachable": "the endpoint could not be reached",
    "settings": "the OTEL_EXPORTER_OTLP_* settings are wrong",
}


def because(reasons: Mapping[str, int]) -> str:
    """Return ``: 3 because ..., 1 because ...``, or nothing when there is no reason."""
    told = [f"{count:,} because {_REASONS.get(why, why)}" for why, count in reasons.items()]
    return f": {', '.join(told)}" if told else ""
