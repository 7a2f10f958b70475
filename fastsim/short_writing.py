"""Short forms written: the reverse of ``fastsim.short_forms``, on what is about to become YAML.

``{do: cpu, time: {family: constant, value: 0.8ms}}`` becomes ``cpu: 0.8ms``. Whatever has no short
form, or would not be read back as the same, stays as it is.
"""

from typing import Any

from fastsim.spans import StepKind

Plain = dict[str, Any]

WAITS = tuple(kind.value for kind in StepKind if kind.value in {"db", "http", "cache", "llm", "io"})
"""Kinds of waits that are steps by themselves: ``- db: 8ms``."""

_MARKS = {"respond", "yield"}


def shortened(value: Any) -> Any:
    """Return plain data of a model in which steps and laws have their short forms."""
    if isinstance(value, list):
        return [shortened(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: shortened(item) for key, item in value.items()}
    if "family" in value:
        return _law(inner)
    if "do" in value:
        return _step(inner)
    return inner


def _law(law: Plain) -> Any:
    beside = {key: law[key] for key in ("shift", "fit") if key in law}
    parameters = {key: item for key, item in law.items() if key not in {"family", *beside}}
    family = law["family"]
    if family == "constant" and set(parameters) == {"value"}:
        return {"constant": parameters["value"], **beside} if beside else parameters["value"]
    return {family: parameters, **beside}


def _step(step: Plain) -> Any:
    do = step["do"]
    rest = {key: item for key, item in step.items() if key not in {"do", "steps"}}
    if "steps" in step:  # what is long comes last
        rest["steps"] = step["steps"]
    if do in _MARKS:
        return step if rest else do
    if do == "cpu":
        return {"cpu": rest.pop("time"), **rest}
    if do == "wait":
        kind = rest["kind"]
        head = kind if kind in WAITS else ""
        if kind == "sleep" and rest.get("via") == "timer":
            head = "sleep"
            del rest["via"]
        if not head:
            return step
        del rest["kind"]
        if "tokens" in rest:
            rest["tokens"]["output"] = _count(rest["tokens"]["output"])
        return {head: rest.pop("time"), **rest}
    if do == "use":
        return {"use": rest.pop("resource"), **rest}
    if do == "thread":
        return {"thread": rest.pop("cpu"), **rest}
    if do == "call" and set(rest) == {"steps"}:
        return {"thread": rest["steps"]}
    if do == "limit":
        return {"limit": rest.pop("limit"), **rest}
    if do == "repeat":
        return {"repeat": _count(rest.pop("count")), **rest}
    if do == "stream":
        # The kind of a stream by itself is that of a language model.
        if rest["kind"] == "llm":
            del rest["kind"]
        return {"stream": _count(rest.pop("chunks")), **rest}
    if do == "parallel":
        return {"parallel": rest.pop("branches"), **rest}
    return step


def _count(count: Plain) -> Any:
    values, weights = count["values"], count["weights"]
    return values[0] if len(values) == 1 and weights == [1.0] else count
