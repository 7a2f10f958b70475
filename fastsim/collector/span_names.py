"""What OpenTelemetry's current span says about the wait it surrounds."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace

from fastsim.spans import StepKind

_CLIENTS = frozenset({"CLIENT", "PRODUCER"})
_CACHES = frozenset({"redis", "memcached", "valkey"})


def name_by_span(package: str) -> tuple[str, str] | None:
    """Return kind and label of a wait inside a client span; None where there is no such span.

    ``package`` is the library that was seen waiting, if any: it makes the better label.
    """
    span: Any = trace.get_current_span()
    attributes: Mapping[str, Any] | None = getattr(span, "attributes", None)
    if not attributes or getattr(getattr(span, "kind", None), "name", "") not in _CLIENTS:
        return None
    if any(key.startswith(("gen_ai.", "llm.")) for key in attributes):
        system = attributes.get("gen_ai.provider.name") or attributes.get("gen_ai.system")
        return StepKind.LLM.value, package or str(system or "llm")
    system = attributes.get("db.system.name") or attributes.get("db.system")
    if system:
        kind = StepKind.CACHE if system in _CACHES else StepKind.DB
        return kind.value, package or str(system)
    if "messaging.system" in attributes:
        return StepKind.IO.value, package or str(attributes["messaging.system"])
    for key in ("http.request.method", "http.method", "rpc.system", "rpc.system.name"):
        if key in attributes:
            return StepKind.HTTP.value, package or key.partition(".")[0]
    return None
