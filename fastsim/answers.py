"""What the searches found: how much a deployment holds, the cheapest one, and until when it does.

SI units only, as in ``fastsim.result``; keys end in their unit.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from fastsim.result import Block, Comparison, Estimate, Latency, Run, RunProvenance


class LimitPoint(Block):
    """One load that the search for a limit tried."""

    rate_per_s: float
    margin: float | None = Field(
        description="largest value over its goal's limit, mean of the replications; below 1 "
        "every goal is met; absent under overload"
    )
    met: bool
    utilisation: float = Field(description="of the busiest loop or resource, 0 to 1")
    p95: float | None = Field(
        None, description="of all requests, seconds, client view; absent under overload"
    )
    errors: float = Field(0.0, description="share of requests that failed, 0 to 1")


class Limit(Block):
    """The highest load at which goals are met, and where the service saturates."""

    schema_version: Literal[1] = 1
    kind: Literal["limit"] = "limit"
    title: str = ""
    seed: int
    replications: int
    goals: list[str]
    rate: Estimate | None = Field(description="highest load that meets every goal; absent if none")
    decided_by: str = Field(description="the goal that is missed first; empty without goals")
    saturation: Estimate = Field(description="what the service gets done when it is overloaded")
    saturated: str = Field(description="what is full then")
    points: list[LimitPoint]
    peak: float | None = Field(
        None, description="traffic with phases: its highest rate over the mean, which rates are"
    )
    unit: float | None = Field(None, description="and what x1 stands for, over the mean")
    verdict: Literal["yes", "no"]
    stopped: bool = Field(False, description="by Ctrl-C: intervals are what was tried by then")
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()


class Candidate(Block):
    """One deployment that was considered."""

    settings: dict[str, float]
    cost: float
    margin: float | None = Field(None, description="as in LimitPoint; absent if not simulated")
    meets: float | None = Field(
        None, description="probability that it meets every goal, given the simulations"
    )
    verdict: Literal["meets", "misses", "open", "implied"] = Field(
        description="implied: not simulated, because a larger one misses"
    )
    utilisation: float | None = None


class Size(Block):
    """The cheapest deployment that meets goals."""

    schema_version: Literal[1] = 1
    kind: Literal["size"] = "size"
    title: str = ""
    seed: int
    rate_per_s: float
    goals: list[str]
    prices: dict[str, float]
    best: Candidate | None
    confidence: float | None = Field(
        None, description="probability that the choice meets and nothing cheaper does"
    )
    considered: int
    simulated: int
    candidates: list[Candidate] = Field(description="simulated ones, cheapest first")
    pareto: list[Candidate] = Field(description="no other is both cheaper and further from a miss")
    verdict: Literal["yes", "no"]
    stopped: bool = Field(False, description="by Ctrl-C, with the cheapest one found by then")
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()


class SweepPoint(Block):
    """One combination of settings."""

    settings: dict[str, str] = Field(description="as they were asked for")
    rate_per_s: float
    latency: Latency | None = Field(description="client view; absent under overload")
    errors: Estimate
    throughput: Estimate
    busiest: str = Field(description="event loop or resource")
    utilisation: float = Field(description="of it, 0 to 1")
    overloaded: bool
    met: bool | None = Field(description="whether every goal is met; absent without goals")


class Sweep(Block):
    """What every combination of some settings does."""

    schema_version: Literal[1] = 1
    kind: Literal["sweep"] = "sweep"
    title: str = ""
    seed: int
    replications: int
    vary: dict[str, list[str]]
    goals: list[str]
    points: list[SweepPoint]
    sentence: str = Field(description="what is found, in words")
    verdict: Literal["yes", "no", "none"] = Field(description="whether some point meets the goals")
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()


class OutlookHour(Block):
    """One hour to come."""

    start: str = Field(description="UTC, ISO 8601")
    rate_per_s: float = Field(description="mean of the hour, in the median")
    low_per_s: float = Field(description="of a band of 90 %")
    high_per_s: float
    utilisation: float = Field(description="of the busiest loop or resource, 0 to 1")
    margin: float | None = Field(
        description="largest value over its goal's limit in its busiest time; absent under overload"
    )
    missed: float = Field(description="chance that a goal is missed, 0 to 1")
    p95: float | None = Field(
        None, description="in its busiest time, seconds, client view; absent under overload"
    )
    errors: float | None = Field(
        None, description="share of failed requests in its busiest time; absent under overload"
    )
    needed: int | None = Field(
        None, description="units that meet the goals, of what is priced first; absent without"
    )
    cost: float | None = Field(None, description="of these units and all else that is priced")


class LoadOutlook(Block):
    """What the history says of the load."""

    history_hours: int
    ends: str = Field(description="end of the history, UTC")
    peak_now_per_s: float = Field(description="busiest hour of its last week")
    peak_then_per_s: float = Field(description="busiest hour of the last week to come")
    growth_per_month: float | None = Field(description="as a share; absent when nothing tells")
    growth_low: float | None = None
    growth_high: float | None = None
    growth_asked: bool = Field(description="given, not seen in the history")
    within_hour: float = Field(description="busiest minutes over the mean of their hour")
    exceptional: list[tuple[str, float]] = Field(
        default_factory=list, description="days left out, and how many times the usual they had"
    )
    holidays: list[tuple[str, str]] = Field(
        default_factory=list, description="date and name of public holidays to come"
    )
    holidays_seen: int = Field(0, description="public holidays in the history")
    of_a_sunday: float | None = Field(
        None, description="load of those, of that of a Sunday; taken for Sundays when absent"
    )
    method: Literal["seasons", "mstl"] = Field("seasons", description="how it is carried on")


class Backtest(Block):
    """The last week of a history, forecast from what was before it."""

    hours: int
    covered: float = Field(description="share of the hours inside the band")
    confidence: float = Field(description="the share that should be")
    median_error: float = Field(description="typical distance of an hour, as a share")
    peak_error: float = Field(description="busiest hour, forecast over true, minus 1")


class OutlookCost(Block):
    """What the deployment costs over the horizon."""

    prices: dict[str, float] = Field(description="of one unit for an hour, by path")
    units: dict[str, int] = Field(description="that are deployed")
    per_hour: float
    total: float = Field(description="as deployed")
    following: float = Field(
        description="with as many units of the first path as each hour needs, the others as they "
        "are"
    )
    fewest: int = Field(description="units that the quietest hour needs")
    most: int = Field(description="and the busiest one")
    enough: bool = Field(description="whether so many meet the goals in the busiest hour")


class OutlookWay(Block):
    """A change of the deployment that holds longer."""

    change: str
    holds_up_to: Estimate
    breaks: str | None = Field(description="when goals are missed then; absent within the horizon")


class Outlook(Block):
    """The load to come, and when a deployment no longer meets its goals."""

    schema_version: Literal[1] = 1
    kind: Literal["forecast"] = "forecast"
    title: str = ""
    seed: int
    goals: list[str]
    limit: Limit
    holds_up_to: Estimate | None = Field(description="highest rate that meets the goals")
    load: LoadOutlook
    breaks: str | None = Field(
        description="first hour in which a goal is more likely missed than met; absent if none"
    )
    breaks_earliest: str | None = Field(description="first hour with a chance of 5 % for that")
    hours: list[OutlookHour]
    ways: list[OutlookWay] = Field(default_factory=list)
    backtest: Backtest | None = None
    cost: OutlookCost | None = Field(None, description="absent without prices")
    verdict: Literal["yes", "no"]
    stopped: bool = Field(False, description="by Ctrl-C, when the limit was known")
    warnings: list[str] = Field(default_factory=list)
    provenance: RunProvenance = RunProvenance()


ANSWERS: Mapping[str, type[Block]] = {
    "run": Run,
    "comparison": Comparison,
    "limit": Limit,
    "size": Size,
    "sweep": Sweep,
    "forecast": Outlook,
}
"""Kinds of answers, by what their files say of themselves."""
