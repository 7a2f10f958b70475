"""What is known of a live run whose requests were not kept: percentiles, counts, a rate."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

from fastsim.errors import NotEnoughDataError
from fastsim.load.tools.found import Measured, ToolSummary
from fastsim.result import Estimate
from fastsim.units import format_share


class LiveValue(NamedTuple):
    """One value that was measured."""

    estimate: Estimate
    requests: int
    rounding: float = 0.0
    """By how much its logarithm may be off because it was rounded."""


@dataclass(frozen=True, slots=True)
class LiveSummary:
    """Percentiles of a live run, where its requests are not known.

    How far chance may move them is told by replications that are as long as it was.
    """

    endpoints: tuple[str, ...]
    values: Mapping[str | None, Measured]
    """By endpoint, and for all together."""
    rate_per_s: float
    duration_s: float
    title: str
    rounded: bool = False
    view: Literal["client", "server"] = "client"
    recorded: bool = False
    warmup_s: float | None = None
    piles_up: bool = False
    """Never: a summary does not tell."""
    evenly_spaced: bool = False

    @classmethod
    def of_tool(cls, found: ToolSummary, names: Mapping[str, str]) -> Self:
        """Take what another load tool says.

        Parameters
        ----------
        names
            What its names of requests are called here; those without one are left as they are.
        """
        each = {names.get(name, name): value for name, value in found.endpoints.items()}
        if not each and len(names) == 1:
            each = {next(iter(names.values())): found.total}
        values: dict[str | None, Measured] = {None: found.total}
        values.update(each)
        return cls(
            endpoints=tuple(each),
            values=values,
            rate_per_s=found.rate_per_s,
            duration_s=found.duration_s,
            title=found.tool,
            rounded=found.rounded,
            view=found.view,
        )

    @property
    def requests(self) -> int:
        """How many requests are compared."""
        found = self.values.get(None)
        return sum(self.values[name].requests for name in self.endpoints) if found is None else (
            found.requests
        )  # fmt: skip

    def has(self, endpoint: str) -> bool:
        """Tell whether there are requests of an endpoint."""
        return endpoint in self.values and self.values[endpoint].requests > 0

    def latency(self, endpoint: str | None, metric: str) -> LiveValue | None:
        """Return a latency of an endpoint, or of all; None where it is not known."""
        found = self.values.get(endpoint)
        value = None if found is None else found.latency_s.get(metric)
        if found is None or value is None or not 0.0 < value < math.inf:
            return None
        step = 0.001 if value < 0.1 else 0.01 if value < 1.0 else 0.1
        half = math.log1p(step / 2.0 / value) if self.rounded and metric != "mean" else 0.0
        half = max(half, found.within.get(metric, 0.0))
        return LiveValue(Estimate(value=value), found.requests - found.failed, half)

    def failures(self, endpoint: str | None) -> tuple[int, int]:
        """Return how many requests failed, and how many were answered or failed."""
        found = self.values.get(endpoint)
        return (0, 0) if found is None else (found.failed, found.requests)

    def successes_per_s(self) -> Estimate:
        """Return successful responses per second."""
        failed, finished = self.failures(None)
        share = 1.0 - failed / finished if finished else 1.0
        return Estimate(value=share * self.rate_per_s, unit="/s")

    def shares(self) -> dict[str, float]:
        """Return each endpoint's part of the requests."""
        total = max(1, sum(self.values[name].requests for name in self.endpoints))
        return {name: self.values[name].requests / total for name in self.endpoints}

    def known_to(self, endpoints: Sequence[str]) -> tuple[Self, list[str]]:
        """Leave out endpoints the twin does not have; return the rest and what to say.

        Raises
        ------
        NotEnoughDataError
            When nothing is left.
        """
        shares = self.shares()
        missing = {n: shares[n] for n in self.endpoints if n not in endpoints and shares[n]}
        known = tuple(name for name in self.endpoints if name in endpoints)
        if not known:
            raise nothing_in_common(self.endpoints, endpoints)
        if not missing:
            return self, []
        # The percentiles of all are those of others, too.
        values: dict[str | None, Measured] = {name: self.values[name] for name in known}
        rate = self.rate_per_s * (1.0 - sum(missing.values()))
        return replace(self, endpoints=known, values=values, rate_per_s=rate), [
            left_out_sentence(missing)
        ]


def nothing_in_common(live: Sequence[str], twin: Sequence[str]) -> NotEnoughDataError:
    """Return the error of a live run of other endpoints than the twin's."""
    return NotEnoughDataError(
        "live and twin have no endpoint in common",
        hint=f"live: {_listed(live)}; twin: {_listed(twin)}",
    )


def left_out_sentence(missing: Mapping[str, float]) -> str:
    """Say which endpoints the twin does not have, and how much of the load they are."""
    return (
        f"the twin does not know {_listed(list(missing))}: "
        f"{format_share(sum(missing.values()), 3)} of the live requests are left out, and the "
        "load they made"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown or "none"
