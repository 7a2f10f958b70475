"""Bursts of traffic, as people write them: ``x4 for 2s every 20s``.

That is four times the mean rate for times, and at distances, that are exponential and have these
means (a Markov-modulated Poisson process of two states).
"""

import re
from typing import Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fastsim.errors import InputError
from fastsim.model import Part
from fastsim.units import Duration, parse_duration

_BURSTS = re.compile(r"[x×](?P<times>[\d.]+)\s+for\s+(?P<lasting>\S+)\s+every\s+(?P<every>\S+)")
_BURSTS_HINT = "write it like 'x4 for 2s every 20s'"


class Bursts(Part):
    """A rate that jumps between two levels, each kept for an exponential time (an MMPP)."""

    times: float = Field(gt=1.0, description="of the mean rate while a burst lasts")
    lasting: Duration = Field(gt=0.0, description="mean length of a burst")
    every: Duration = Field(gt=0.0, description="mean time from the begin of one to the next")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        long = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [{"type": "string", "examples": ["x4 for 2s every 20s"]}, long]}

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            parts = _bursts_parts(value)
        except InputError as error:
            raise ValueError(f"{error.message}; {error.hint}") from None
        return {**parts, "times": float(parts["times"])}

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        problem = _bursts_problem(self.times, self.lasting, self.every)
        if problem:
            raise ValueError(problem)
        return self


def parse_bursts(text: str) -> Bursts:
    """Read ``x4 for 2s every 20s``.

    Raises
    ------
    InputError
        When it is none, or bursts hold more than all requests.
    """
    parts = _bursts_parts(text)
    times = float(parts["times"])
    lasting, every = parse_duration(parts["lasting"]), parse_duration(parts["every"])
    problem = _bursts_problem(times, lasting, every)
    if problem or not times > 1.0 or not lasting > 0.0:
        raise InputError(problem or f"{text!r} are no bursts", hint=_BURSTS_HINT)
    return Bursts(times=times, lasting=lasting, every=every)


def _bursts_parts(text: str) -> dict[str, str]:
    match = _BURSTS.fullmatch(text.strip())
    if match is None or match["times"].count(".") > 1:
        raise InputError(f"{text.strip()!r} are no bursts", hint=_BURSTS_HINT)
    return match.groupdict()


def _bursts_problem(times: float, lasting: float, every: float) -> str:
    if every <= lasting:
        return "a burst would last longer than it takes until the next"
    if times * lasting > every:
        most = every / lasting
        return f"bursts would hold more than all requests: at most x{most:.4g} with these times"
    return ""
