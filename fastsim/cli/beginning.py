"""The texts that ``fastsim init`` writes: complete files, with what to look at said beside it."""

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastsim.errors import FastSimError
from fastsim.units import format_duration, format_rate, format_share

if TYPE_CHECKING:
    from fastsim.load.openapi import Described, Operation
    from fastsim.model import ServiceModel

_EXAMPLE = """\
# A service that does not exist yet: what each request does, in order. Replace the guesses.
# docs/reference/model.md has every step and law; `fastsim check model.yaml` checks this file.
version: 1
service: my-service
endpoints:
  GET /items/{id}:
    share: 80%
    steps:
      - cpu: 1ms                                    # code on the event loop
      - use: db                                     # a connection of the pool below
        steps: [{db: {lognorm: {median: 5ms, p95: 15ms}}}]
  POST /items:
    share: 20%
    steps:
      - cpu: 2ms
      - use: db
        steps: [{db: {lognorm: {median: 8ms, p95: 25ms}}}]
resources: {db: 10}
process: {workers: 1, cores: 1}
"""
_GOALS = (1, 2, 5)


def model_text(described: "Described | None") -> str:
    """Return a model to be filled in: of every request described, or of an example."""
    if described is None:
        return _EXAMPLE
    lines = [
        "# Guesses for every request of the description; replace them, or record the service:",
        "# fastsim record -o traces -- <your start command>",
        "# fastsim calibrate traces -o model.yaml --force",
        "version: 1",
        f"service: {json.dumps(described.title)}",
        "endpoints:",
    ]
    share = format_share(1.0 / len(described.operations))
    for operation in described.operations:
        lines += [
            f"  {_key(operation.endpoint)}:",
            f"    share: {share}",
            "    steps:",
            "      - cpu: 1ms",
            "      - use: db",
            "        steps: [{db: {lognorm: {median: 5ms, p95: 15ms}}}]",
        ]
    lines += ["resources: {db: 10}", "process: {workers: 1, cores: 1}"]
    return "\n".join(lines) + "\n"


def scenario_text(model: "ServiceModel", path: str) -> str:
    """Return a scenario: the recorded rate and deployment, and a goal near what is met now."""
    rate = model.traffic.rate if model.traffic is not None else 50.0
    said = "as recorded" if model.traffic is not None else "a guess"
    process = model.process
    lines = [
        "# fastsim run scenario.yaml          will it hold?",
        "# fastsim limit scenario.yaml        where does it break?",
        "# fastsim size scenario.yaml --vary deployment.workers=1..8",
        "version: 1",
        "kind: scenario",
        f"model: {json.dumps(path, ensure_ascii=False)}",
        "traffic:",
        f"  rate: {format_rate(float(f'{rate:.3g}'))}    # {said}",
        "  # phases: [60s x1, spike: 10s x3, after: 60s x1]",
        "deployment:",
        f"  workers: {process.workers}",
        f"  cores: {process.cores}",
    ]
    if model.resources:
        capacities = ", ".join(
            f"{_key(name)}: {{capacity: {each.capacity}}}" for name, each in model.resources.items()
        )
        lines.append(f"  resources: {{{capacities}}}")
    lines += ["slo:", f"  - p95 < {_goal(model, rate)}", "  - errors < 1%"]
    return "\n".join(lines) + "\n"


def _goal(model: "ServiceModel", rate_per_s: float) -> str:
    """Return twice the p95 at the rate, rounded up; 200ms where there is none."""
    from fastsim.scenario import TrafficPlan
    from fastsim.twin.forecast import forecast_run

    duration_s = min(20.0, max(2.0, 2000.0 / rate_per_s))
    try:
        run, _ = forecast_run(
            model, traffic=TrafficPlan(rate=rate_per_s, duration=duration_s), replications=2
        )
    except FastSimError:
        return "200ms"
    if run.total.latency is None or run.total.latency.p95.value <= 0.0:
        return "200ms"
    wanted = 2.0 * run.total.latency.p95.value
    power = 10.0 ** math.floor(math.log10(wanted))
    steps = [step * power for step in (*_GOALS, 10)]
    return format_duration(next(step for step in steps if step >= wanted * (1.0 - 1e-9)), 3)


def traffic_text(model: "ServiceModel", described: "Described | None") -> str:
    """Return what clients ask for: recorded shares, and requests as they are described."""
    known = {} if described is None else {each.endpoint: each for each in described.operations}
    shares = {each.name: each.share for each in model.endpoints if each.share > 0.0}
    total = sum(shares.values())
    requests = {name: known.get(name) for name in shares}
    lines = [
        "# What clients ask for. {1..100} is a number drawn for every request, {a|b} one of these.",
        "# fastsim load http://127.0.0.1:8000 --traffic traffic.yaml --rate 50/s --duration 30s",
        "version: 1",
        "kind: traffic",
        *_login(requests, described),
        "requests:",
    ]
    for name, operation in requests.items():
        lines += [
            f"  - endpoint: {_value(name)}",
            f"    share: {format_share(shares[name] / total, 5)}",
        ]
        lines += _of_path(name) if operation is None else _of_operation(operation)
    return "\n".join(lines) + "\n"


def _login(requests: "Mapping[str, Operation | None]", described: "Described | None") -> list[str]:
    needed = any(
        "${token}" in value
        for each in requests.values()
        if each is not None
        for value in each.headers.values()
    )
    if not needed:
        return []
    path = (described.login if described is not None else None) or "/token"
    return [
        "before:    # sent once; USERNAME and PASSWORD come from the environment",
        f"  - endpoint: {_value(f'POST {path}')}",
        '    form: {username: "${env.USERNAME}", password: "${env.PASSWORD}"}',
        "    capture: {token: access_token}",
    ]


def _of_operation(operation: "Operation") -> list[str]:
    method, _, route = operation.endpoint.partition(" ")
    look = ", ".join(operation.unsure)
    lines = [f"    path: {_value(operation.path)}" + (f"    # which {look}?" if look else "")]
    if operation.path == route:
        lines = []
    if operation.json_body is not None:
        lines.append(f"    json: {_flow(operation.json_body)}")
    elif operation.form is not None:
        lines.append(f"    form: {_flow(operation.form)}")
    elif method in {"POST", "PUT", "PATCH"}:
        lines.append("    # json: {}    # no body is described")
    if operation.headers:
        lines.append(f"    headers: {_flow(operation.headers)}")
    return lines


def _of_path(endpoint: str) -> list[str]:
    """Return what can be said of a request that was recorded, but not described."""
    method, _, route = endpoint.partition(" ")
    path = re.sub(r"\{[^{}]*\}", "{1..100}", route)
    lines = [] if path == route else [f"    path: {_value(path)}    # values that exist?"]
    if method in {"POST", "PUT", "PATCH"}:
        lines.append("    # json: {}    # bodies are not recorded: write one, or name openapi.json")
    return lines


def _flow(value: Any) -> str:
    """Write a value on one line; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def _value(text: str) -> str:
    return text if re.fullmatch(r"[A-Z]+ /[\w/{}.-]*|/[\w/.-]*", text) else _flow(text)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Z]+ /[\w/{}.-]*|\w+", name) else _flow(name)
