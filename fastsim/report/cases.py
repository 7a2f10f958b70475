"""Pair up comparisons, twin runs and live runs that belong to the same question."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fastsim.report.wording import ordered_names
from fastsim.result import CompareRow, Comparison, Run, Summary

_TOTAL_NAMES = frozenset({"", "all", "total", "all requests"})


@dataclass(frozen=True, slots=True)
class Case:
    """One question: what the twin predicted, what was measured, how they compare."""

    title: str
    comparison: Comparison | None
    twin: Run | None
    live: Run | None

    @property
    def runs(self) -> list[Run]:
        """The runs there are, twin first."""
        return [run for run in (self.twin, self.live) if run is not None]

    @property
    def endpoints(self) -> list[str]:
        """Endpoints in the order of the comparison, then of the runs."""
        rows = [row.endpoint for row in self.comparison.rows] if self.comparison else []
        return ordered_names(rows, *(list(run.endpoints) for run in self.runs))

    def rows_of(self, endpoint: str) -> list[CompareRow]:
        """Return the compared metrics of an endpoint."""
        if self.comparison is None:
            return []
        return [row for row in self.comparison.rows if row.endpoint == endpoint]


def summary_of(run: Run | None, endpoint: str) -> Summary | None:
    """Return the summary of an endpoint, or of all requests for a name such as ``all``."""
    if run is None:
        return None
    found = run.endpoints.get(endpoint)
    return run.total if found is None and endpoint.lower() in _TOTAL_NAMES else found


def latencies_s(run: Run | None, endpoint: str) -> list[float]:
    """Return the sorted latencies of the requests that succeeded, seconds."""
    if run is None or run.table is None:
        return []
    table = run.table
    rows = zip(table.endpoint, table.latency_s, table.ok, strict=False)
    if endpoint in table.endpoints:
        wanted = table.endpoints.index(endpoint)
        return sorted(s for index, s, ok in rows if ok and index == wanted and math.isfinite(s))
    if endpoint.lower() in _TOTAL_NAMES:
        return sorted(s for _, s, ok in rows if ok and math.isfinite(s))
    return []


def pair_cases(
    comparisons: Sequence[Comparison], runs: Sequence[Run], live: Sequence[Run]
) -> list[Case]:
    """Pair by equal title where there is one, by position otherwise; the rest stand alone."""
    twins: list[Run | None] = list(runs)
    measured: list[Run | None] = list(live)
    titles = {comparison.title for comparison in comparisons}
    cases = []
    for index, comparison in enumerate(comparisons):
        twin = _take(twins, comparison.title, index, titles)
        real = _take(measured, comparison.title, index, titles)
        cases.append(Case(comparison.title, comparison, twin, real))
    for index, run in enumerate(runs):
        if twins[index] is not None:
            twins[index] = None
            cases.append(Case(run.title, None, run, _take(measured, run.title, index, titles)))
    cases += [Case(run.title, None, None, run) for run in measured if run is not None]
    return [
        Case(case.title or f"Case {number}", case.comparison, case.twin, case.live)
        for number, case in enumerate(cases, start=1)
    ]


def _take(pool: list[Run | None], title: str, index: int, titles: set[str]) -> Run | None:
    """Take a run out of the pool: the one of this title, else the one at this position.

    A run at this position that bears the title of another comparison stays for that one.
    """
    for place, run in enumerate(pool):
        if title and run is not None and run.title == title:
            pool[place] = None
            return run
    there = pool[index] if index < len(pool) else None
    if there is None or (there.title and there.title in titles):
        return None
    pool[index] = None
    return there
