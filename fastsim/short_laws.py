"""Laws as people write them, and how parts of a file that are rewritten keep their places.

``8ms`` is a constant, ``{lognorm: {median: 8ms, p95: 21ms}}`` a log-normal by what people know of
it (docs/reference/model.md).
"""

import math
from collections.abc import Callable, Mapping

from fastsim.errors import InputError
from fastsim.units import parse_duration
from fastsim.yaml_nodes import Document, Path, Problem, Value
from fastsim.yaml_problems import nearest

ALIASES = {
    "constant": "constant",
    "expon": "expon",
    "exponential": "expon",
    "gamma": "gamma",
    "lognorm": "lognorm",
    "lognormal": "lognorm",
    "weibull": "weibull",
    "pareto": "pareto",
    "invgauss": "invgauss",
    "mixture": "mixture",
    "empirical": "empirical",
    "uniform": "uniform",
    "erlang": "erlang",
}
"""Laws by the names that people use."""

_P95 = 1.6448536269514722
"""Normal quantile of 95 %."""


class Rewriting:
    """Makes a document of another; each part stands where what it was made of stands.

    Parameters
    ----------
    source
        What was read. It is left as it is.
    """

    def __init__(self, source: Document) -> None:
        self.source = source
        self.document = Document(problems=list(source.problems))

    # --- places -----------------------------------------------------------------------------

    def put(self, at: Path, origin: Path) -> None:
        """Let a part of the result stand where a part of the source stands."""
        source, result = self.source, self.document
        result.values[at] = source.value_place(origin)
        result.keys[at] = source.keys.get(origin) or source.value_place(origin)
        result.origins[at] = origin
        if origin in source.texts:
            result.texts[at] = source.texts[origin]

    def copy(self, value: Value, at: Path, origin: Path) -> Value:
        """Take a part over as it is."""
        self.put(at, origin)
        if isinstance(value, dict):
            return {k: self.copy(v, (*at, k), (*origin, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self.copy(v, (*at, i), (*origin, i)) for i, v in enumerate(value)]
        return value

    def wrong(self, at: Path, origin: Path, message: str, hint: str | None = None) -> None:
        """Note a mistake."""
        place = self.source.key_place(origin)
        self.document.problems.append(Problem(place, at, message, hint))

    # --- laws -------------------------------------------------------------------------------

    def law(self, value: Value, at: Path, origin: Path) -> Value:
        """Return the long form of a law."""
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            self.put(at, origin)
            self.put((*at, "value"), origin)
            return {"family": "constant", "value": value}
        if not isinstance(value, dict) or "family" in value:
            return self.copy(value, at, origin)
        self.put(at, origin)
        names = [key for key in value if key not in {"shift", "fit"}]
        if len(names) != 1 or names[0] not in ALIASES:
            self._unknown_law(names, at, origin)
            return {"family": "constant", "value": "0s"}
        name = names[0]
        made = self._parameters(ALIASES[name], value[name], at, (*origin, name))
        for key in ("shift", "fit"):
            if key in value:
                made[key] = self.copy(value[key], (*at, key), (*origin, key))
        return made

    def _unknown_law(self, names: list[str], at: Path, origin: Path) -> None:
        if any(name in {"normal", "gauss", "gaussian", "norm"} for name in names):
            hint = "times are never below 0; write, for example, {gamma: {mean: 30ms, sd: 12ms}}"
            self.wrong(at, origin, "a normal distribution has times below 0", hint)
            return
        name = names[0] if names else ""
        near = nearest(name, ALIASES)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(ALIASES)}"
        message = "a law has one name" if len(names) > 1 else f"unknown law {name!r}"
        self.wrong(at, origin, message, hint)

    def _parameters(self, family: str, value: Value, at: Path, origin: Path) -> dict[str, Value]:
        if isinstance(value, str):  # nothing but its typical time
            name = _TYPICAL.get(family, "mean")
            self.put((*at, name), origin)
            return {"family": family, name: value}
        if not isinstance(value, dict):
            self.wrong(at, origin, f"{family} needs its parameters", f"write {_EXAMPLES[family]}")
            return {"family": "constant", "value": "0s"}
        made: dict[str, Value] = {}
        for key, inner in value.items():
            to, of = (*at, key), (*origin, key)
            if key == "parts" and isinstance(inner, list):
                self.put(to, of)
                made[key] = [self.law(v, (*to, i), (*of, i)) for i, v in enumerate(inner)]
            elif key == "tail" and family == "empirical":
                made[key] = self.law(inner, to, of)
            else:
                made[key] = self.copy(inner, to, of)
        convert = _CONVERSIONS.get(family)
        try:
            changed = convert(made) if convert else made
        except InputError as error:
            self.wrong(at, origin, error.message, error.hint or f"write {_EXAMPLES[family]}")
            return {"family": "constant", "value": "0s"}
        return {"family": _FAMILIES.get(family, family), **changed}


_TYPICAL = {"constant": "value", "lognorm": "median", "weibull": "scale", "pareto": "scale"}
_FAMILIES = {"uniform": "empirical", "erlang": "gamma"}
_EXAMPLES = {
    "constant": "{constant: 8ms}",
    "expon": "{exponential: 8ms}",
    "gamma": "{gamma: {mean: 30ms, sd: 12ms}}",
    "erlang": "{erlang: {mean: 30ms, k: 3}}",
    "lognorm": "{lognorm: {median: 8ms, p95: 21ms}}",
    "weibull": "{weibull: {scale: 8ms, shape: 0.7}}",
    "pareto": "{pareto: {scale: 8ms, tail: 0.3}}",
    "invgauss": "{invgauss: {mean: 8ms, shape: 2}}",
    "uniform": "{uniform: {low: 5ms, high: 9ms}}",
    "mixture": "{mixture: {weights: [9, 1], parts: [8ms, {exponential: 50ms}]}}",
    "empirical": "{empirical: {probabilities: [0, 0.5, 1], values: [5ms, 8ms, 40ms]}}",
}


def _time(parameters: Mapping[str, Value], name: str) -> float:
    value = parameters[name]
    if not isinstance(value, str):
        raise InputError(f"{name} is not a duration", hint=f"add a unit, for example {name}: 20ms")
    return parse_duration(value)


def _mean_and_sd(given: Mapping[str, Value]) -> tuple[float, float]:
    mean, sd = _time(given, "mean"), _time(given, "sd")
    if not (mean > 0.0 and sd > 0.0):
        raise InputError("mean and sd must be above 0")
    return mean, sd


def _lognorm(given: dict[str, Value]) -> dict[str, Value]:
    """By median and p95, or by mean and standard deviation."""
    rest = {key: value for key, value in given.items() if key not in {"p95", "mean", "sd"}}
    if "median" in given and "p95" in given:
        median, p95 = _time(given, "median"), _time(given, "p95")
        if not p95 > median > 0.0:
            raise InputError("p95 must be above the median, and the median above 0")
        return rest | {"sigma": math.log(p95 / median) / _P95}
    if "mean" in given and "sd" in given:
        mean, sd = _mean_and_sd(given)
        variance = math.log1p((sd / mean) ** 2)
        median = mean * math.exp(-variance / 2)
        return rest | {"median": f"{median!r}s", "sigma": variance**0.5}
    return given


def _gamma(given: dict[str, Value]) -> dict[str, Value]:
    """By mean and standard deviation."""
    if "sd" not in given or "mean" not in given:
        return given
    mean, sd = _mean_and_sd(given)
    rest = {key: value for key, value in given.items() if key != "sd"}
    return rest | {"shape": (mean / sd) ** 2}


def _erlang(given: dict[str, Value]) -> dict[str, Value]:
    rest = {key: value for key, value in given.items() if key != "k"}
    return rest | {"shape": given["k"]} if "k" in given else given


def _uniform(given: dict[str, Value]) -> dict[str, Value]:
    if set(given) != {"low", "high"}:
        raise InputError("a uniform law lies between low and high")
    if not _time(given, "low") < _time(given, "high"):
        raise InputError("low must be below high")
    return {"probabilities": [0.0, 1.0], "values": [given["low"], given["high"]]}


_CONVERSIONS: dict[str, Callable[[dict[str, Value]], dict[str, Value]]] = {
    "lognorm": _lognorm,
    "gamma": _gamma,
    "erlang": _erlang,
    "uniform": _uniform,
}
