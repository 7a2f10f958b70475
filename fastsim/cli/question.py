"""What is asked of the twin: a model or scenario file with the command line's changes.

Shared by the commands that simulate.
"""

import hashlib
import json
import math
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fastsim.errors import InputError, ScenarioError, UnknownNameError
from fastsim.units import parse_duration, parse_rate, parse_share

if TYPE_CHECKING:
    from fastsim.model import ServiceModel
    from fastsim.result import RunProvenance
    from fastsim.scenario import Scenario, Slo, TrafficPlan, Users
    from fastsim.twin.plan import Plan

SETTING_HINT = "write it like --set deployment.workers=4"


@dataclass(frozen=True, slots=True)
class Question:
    """A service, and what to ask about it."""

    model: "ServiceModel"
    scenario: "Scenario"
    inputs: dict[str, str]
    """File name to sha256."""
    folder: Path = Path()
    """Where the files that the scenario names are looked for."""

    def provenance(self) -> "RunProvenance":
        """Return how to repeat the answer."""
        from fastsim import __version__
        from fastsim.result import RunProvenance

        return RunProvenance(
            command=shlex.join(["fastsim", *sys.argv[1:]]),
            fastsim_version=__version__,
            inputs=self.inputs,
        )


def ask(
    path: Path,
    settings: Iterable[str] | None,
    slow: Iterable[str] | None,
    faster: Iterable[str] | None,
) -> Question:
    """Read a question and apply what the flags ``--set``, ``--slow`` and ``--faster`` say.

    Raises
    ------
    InputError
        When a file or a flag is wrong.
    """
    return apply_what_if(apply_settings(read_question(path), settings or []), slow, faster)


def read_question(path: Path) -> Question:
    """Read a model, or a scenario and the model it names.

    Raises
    ------
    FileFormatError
        When a file is missing or neither.
    ScenarioError
        When keys or values are wrong.
    """
    from fastsim.errors import FileFormatError
    from fastsim.model import ServiceModel
    from fastsim.scenario import Scenario
    from fastsim.yaml_source import kind_of, parse_yaml, read_text

    text = read_text(path)
    inputs = {str(path): _sha256(text)}
    kind = kind_of(text, [ServiceModel, Scenario], name=str(path))
    if kind == "model":
        model = parse_yaml(text, ServiceModel, name=str(path))
        return Question(model, Scenario(model=str(path)), inputs)
    if kind != "scenario":
        raise FileFormatError(
            f"{path} is {f'a {kind} file' if kind else 'neither model nor scenario'}",
            hint="name a model.yaml (fastsim calibrate writes one) or a scenario.yaml",
            where=str(path),
        )
    scenario = parse_yaml(text, Scenario, name=str(path))
    # From standard input there is no directory to start from but the current one.
    folder = Path() if str(path) == "-" else path.parent
    model_path = folder / scenario.model
    model_text = read_text(model_path)
    inputs[str(model_path)] = _sha256(model_text)
    model = parse_yaml(model_text, ServiceModel, name=str(model_path))
    return Question(model, scenario, inputs, folder)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def apply_settings(question: Question, settings: Iterable[str]) -> Question:
    """Return the question with ``path=value`` settings applied, in order.

    The path is that of a key in a scenario file; the value is written as there.

    Raises
    ------
    ScenarioError
        When a setting is malformed, its key unknown or its value wrong.
    UnknownNameError
        When it names a resource the model does not have.
    """
    scenario = question.scenario.model_copy(deep=True)
    for setting in settings:
        _apply(scenario, question.model, setting)
    return replace(question, scenario=scenario)


def apply_what_if(
    question: Question, slow: Iterable[str] | None, faster: Iterable[str] | None
) -> Question:
    """Return the question about a service some parts of which take longer, or less long.

    What the answer is about says so: ``shop with db ×2``.

    Raises
    ------
    InputError
        When a text is not like ``db=2x``.
    UnknownNameError
        When the model has no such part.
    """
    from fastsim.twin.whatif import slowed

    model, said = question.model, []
    for name, texts in (("--slow", slow or []), ("--faster", faster or [])):
        with flag(name):
            for text in texts:
                part, times = _part_and_times(text)
                model = slowed(model, part, times if name == "--slow" else 1.0 / times)
                said.append(f"{part} {'×' if name == '--slow' else '÷'}{times:g}")
    if not said:
        return question
    model = model.model_copy(update={"service": f"{model.service} with {', '.join(said)}"})
    return replace(question, model=model)


def search_plan(
    question: Question, slo: Iterable[str] | None, *, from_anywhere: bool = False
) -> "tuple[Plan, list[Slo]]":
    """Return what a search simulates, and the goals of the scenario and of ``--slo``.

    Parameters
    ----------
    from_anywhere
        The search finds the rate itself: where none is known, it begins at 1/s.
    """
    from fastsim.cli.sources import source_of
    from fastsim.load.source import Own
    from fastsim.twin.goals import parse_goals
    from fastsim.twin.planning import make_plan

    model, scenario = question.model, question.scenario
    traffic = scenario.traffic
    known = model.traffic is not None or traffic.users is not None or traffic.source is not None
    if from_anywhere and scenario.traffic.rate is None and not known:
        scenario.traffic.rate = 1.0
    names = [endpoint.name for endpoint in model.endpoints]
    goals = parse_goals([*scenario.slo, *(slo or [])], names)
    source = source_of(question)
    plan = make_plan(model, scenario.traffic, scenario.deployment, source=source)
    if isinstance(source, Own):
        source.require_following(plan.rate_per_s, plan.duration_s)
    return plan, goals


def _part_and_times(text: str) -> tuple[str, float]:
    part, _, times = (piece.strip() for piece in text.rpartition("="))
    number = times.removesuffix("x").removesuffix("×").strip()
    try:
        factor = parse_share(number) if number.endswith("%") else float(number)
    except (InputError, ValueError):
        factor = 0.0
    if not part or not 0.0 < factor < math.inf:
        raise InputError(f"{text!r} is not a change", hint="write it like db=2x")
    return part, factor


def _apply(scenario: "Scenario", model: "ServiceModel", setting: str) -> None:
    from fastsim.scenario import Scenario
    from fastsim.yaml_source import SourceError, parse_yaml

    where = f"--set {setting}"
    path, equals, value = (part.strip() for part in setting.partition("="))
    if not equals or not path or not value or "\n" in setting:
        raise ScenarioError(f"{setting!r} is not a setting", hint=SETTING_HINT, where=where)
    keys = _keys(path)
    if keys[0] in {"version", "kind", "model", "slo"}:
        hint = "use --slo" if keys[0] == "slo" else "traffic, deployment, seed, replications can"
        raise ScenarioError(f"{keys[0]!r} cannot be set", hint=hint, where=where)
    if keys[:2] == ["deployment", "resources"] and len(keys) > 2 and keys[2] not in model.resources:
        raise UnknownNameError("resource", keys[2], model.resources, where=where)
    lines = [f"{'  ' * depth}{json.dumps(key)}:" for depth, key in enumerate(keys)]
    try:
        parsed = parse_yaml("model: x\n" + "\n".join(lines) + f" {value}\n", Scenario)
    except SourceError as error:
        # What is missing beside a wrong key would only distract from it.
        wrong = [p for p in error.problems if not p.message.startswith("missing")]
        first = (wrong or list(error.problems))[0]
        raise ScenarioError(first.message, hint=first.hint, where=where) from None
    _copy(parsed, scenario, keys)


def _keys(path: str) -> list[str]:
    """Split a path at its dots; the name of a resource may hold dots itself."""
    keys = path.split(".")
    if keys[:2] == ["deployment", "resources"] and len(keys) > 4:
        return [*keys[:2], ".".join(keys[2:-1]), keys[-1]]
    if keys[:2] == ["traffic", "mix"] and len(keys) > 3:
        return [*keys[:2], ".".join(keys[2:])]
    return keys


def _copy(source: object, target: object, keys: list[str]) -> None:
    """Copy what stands at a path; blocks that the target does not have are copied whole."""
    for key in keys[:-1]:
        inner = _child(target, key)
        if inner is None:
            _place(target, key, _child(source, key))
            return
        source, target = _child(source, key), inner
    _place(target, keys[-1], _child(source, keys[-1]))


def _child(node: object, key: str) -> object:
    return node.get(key) if isinstance(node, dict) else getattr(node, key)


def _place(node: object, key: str, value: object) -> None:
    if isinstance(node, dict):
        node[key] = value
    else:
        setattr(node, key, value)


def apply_traffic(
    scenario: "Scenario",
    *,
    rate: str | None = None,
    phases: str | None = None,
    bursts: str | None = None,
    source: str | None = None,
    users: int | None = None,
    think: str | None = None,
    duration: str | None = None,
    warmup: str | None = None,
    mix: str | None = None,
) -> None:
    """Change the traffic of a scenario by the texts of the flags of these names.

    Raises
    ------
    InputError
        When a text has no unit, or a wrong one.
    """
    from fastsim.bursts import parse_bursts
    from fastsim.load.rates import phases_of
    from fastsim.phases import check_phases
    from fastsim.scenario import check_bursts, check_source, check_users

    traffic = scenario.traffic
    if rate is not None:
        with flag("--rate"):
            traffic.rate = parse_rate(rate)
    if phases is not None:
        with flag("--phases"):
            traffic.phases = phases_of(phases)
    with flag("--phases"):
        check_phases(traffic.phases, traffic.rate)
    if bursts is not None:
        with flag("--bursts"):
            traffic.bursts = parse_bursts(bursts)
            check_bursts(traffic)
    if users is not None or think is not None:
        with flag("--users" if think is None else "--think"):
            traffic.users = _users(traffic, users, think)
    with flag("--users"):
        check_users(traffic)
    if source is not None:
        traffic.source = source
    with flag("--source"):
        check_source(traffic)
    if duration is not None:
        with flag("--duration"):
            if traffic.phases:
                raise InputError(
                    "phases say how long they last", hint="leave --duration or the phases out"
                )
            traffic.duration = parse_duration(duration)
    if warmup is not None:
        with flag("--warmup"):
            traffic.warmup = parse_duration(warmup)
    if mix is not None:
        with flag("--mix"):
            traffic.mix = parse_mix(mix)


def _users(traffic: "TrafficPlan", count: int | None, think: str | None) -> "Users":
    """Return the users of a scenario with what the flags say of them."""
    from fastsim.scenario import Users

    known = traffic.users
    if count is None and known is None:
        raise InputError("a think time is that of users", hint="say how many: --users 50")
    users = Users() if known is None else known.model_copy()
    if count is not None:
        users.count = count
    if think is not None:
        users.think = parse_duration(think)
    return users


def parse_mix(text: str) -> dict[str, float]:
    """Read shares such as ``GET /a=60%, GET /b=40%``.

    Raises
    ------
    InputError
        When an entry has no share or an endpoint stands twice.
    """
    shares: dict[str, float] = {}
    for entry in text.split(","):
        # The last "=": a route may hold one itself.
        name, equals, share = (part.strip() for part in entry.rpartition("="))
        if not equals or not name:
            raise InputError(
                f"{entry.strip()!r} is not a share", hint="write it like 'GET /items=60%'"
            )
        if name in shares:
            raise InputError(f"{name!r} stands twice in the mix")
        shares[name] = parse_share(share)
        if not 0.0 <= shares[name] <= 1.0:
            raise InputError(f"{share} is not between 0% and 100%")
    return shares


@contextmanager
def flag(name: str) -> Iterator[None]:
    """Tell in errors which flag they are about."""
    try:
        yield
    except InputError as error:
        error.where = error.where or name
        raise
