"""Fitted laws beside what was seen: quantiles, density and probabilities.

What was seen are the quantiles that ``calibrate`` keeps (``Fit.quantiles``), free of queueing.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastsim.distributions import cdf, mean, percentiles
from fastsim.laws import SEEN_AT
from fastsim.model import Distribution, Endpoint
from fastsim.program import all_steps
from fastsim.report.charts import Spec, axis, chart, plot, series
from fastsim.report.markup import Markup, tag
from fastsim.report.tables import distributions, step_name, table
from fastsim.report.wording import clean, count, duration, share, signed_percent

MOST = 4
"""Laws of an endpoint that are shown: those that take the most time."""

_INNER = slice(2, 9)
"""From 5 to 95 % among ``SEEN_AT``."""
_P99 = SEEN_AT.index(0.99)
_CURVE = np.concatenate([np.linspace(0.002, 0.98, 80), 1.0 - np.geomspace(0.02, 0.001, 20)])
_BINS = 60


class _Law(NamedTuple):
    name: str
    law: Distribution
    seen_s: tuple[float, ...]
    n: int
    weight_s: float


def law_figures(endpoint: Endpoint) -> list[Markup]:
    """Return a figure for each of the laws that take most of an endpoint's time."""
    known = sorted(_laws(endpoint), key=lambda law: -law.weight_s)[:MOST]
    return [_figure(law) for law in known]


def _laws(endpoint: Endpoint) -> Iterator[_Law]:
    for variant in endpoint.variants:
        prefix = f"{clean(variant.name)}: " if len(endpoint.variants) > 1 and variant.name else ""
        for number, step in enumerate(all_steps(variant.steps), start=1):
            for what, law in distributions(step):
                fit = law.fit
                if fit is None or len(fit.quantiles) != len(SEEN_AT) or law.family == "constant":
                    continue
                place = f" at {clean(step.where)}" if step.where else ""
                named = f"{prefix}step {number}, {clean(step_name(step))} {what}".strip()
                weight = variant.share * mean(law)
                yield _Law(named + place, law, tuple(fit.quantiles), fit.n, weight)


def _figure(law: _Law) -> Markup:
    drawn = [_quantile_plot(law), _density_plot(law), _probability_plot(law)]
    data = table(
        ["share below", "seen", "law", "gap"],
        [
            [share(p), duration(seen), duration(fitted), signed_percent(gap)]
            for p, seen, fitted, gap in zip(
                SEEN_AT[1:-1],
                law.seen_s[1:-1],
                _fitted(law)[1:-1],
                _gaps(law)[1:-1],
                strict=True,
            )
        ],
    )
    return tag(
        "figure",
        tag("figcaption", _finding(law)),
        tag("div", *map(chart, drawn), class_="grid-3"),
        tag("details", tag("summary", "Data"), data),
    )


def _fitted(law: _Law) -> list[float]:
    inner = np.clip(np.array(SEEN_AT), 1e-6, 1.0 - 1e-6)
    found: list[float] = percentiles(law.law, inner).tolist()
    return found


def _gaps(law: _Law) -> list[float]:
    pairs = zip(_fitted(law), law.seen_s, strict=True)
    return [fitted / seen - 1.0 if seen > 0.0 else 0.0 for fitted, seen in pairs]


def _finding(law: _Law) -> str:
    gaps = _gaps(law)
    most = max(map(abs, gaps[_INNER]))
    name = law.name[:1].upper() + law.name[1:]
    return (
        f"{name}, {law.law.family}, fitted to {count(law.n)} times: off by at most "
        f"{share(round(most, 3))} between 5 and 95 %, by {signed_percent(gaps[_P99])} at 99 %."
    )


def _quantile_plot(law: _Law) -> Spec:
    curve = zip((-np.log10(1.0 - _CURVE)).tolist(), percentiles(law.law, _CURVE), strict=True)
    points = [(-np.log10(1.0 - p), t) for p, t in zip(SEEN_AT, law.seen_s, strict=True) if p < 1.0]
    return plot(
        axis("percentile (1 − CDF, log scale)", "", "quantile", least=0.0, most=3.05),
        axis("time", "s", "log"),
        [
            series("law", "twin", "line", [(x, float(t)) for x, t in curve if t > 0.0]),
            series("seen", "live", "points", [(float(x), t) for x, t in points if t > 0.0]),
        ],
    )


def _density_plot(law: _Law) -> Spec:
    """Show how often times are about so long, on a logarithmic axis of time."""
    at = percentiles(law.law, np.array([0.001, 0.999]))
    low = max(min(float(at[0]), law.seen_s[1]), 1e-9)
    edges = np.geomspace(low, max(float(at[1]), law.seen_s[-2], 1.01 * low), _BINS + 1)
    density = np.diff(cdf(law.law, edges)) / np.diff(np.log(edges))
    middles = np.sqrt(edges[1:] * edges[:-1])
    steps: list[tuple[float, float]] = []
    for begin, end, p, q in zip(
        law.seen_s[1:-2], law.seen_s[2:-1], SEEN_AT[1:-2], SEEN_AT[2:-1], strict=True
    ):
        if end > begin > 0.0:
            height = (q - p) / float(np.log(end / begin))
            steps += [(begin, height), (end, height)]
    return plot(
        axis("time", "s", "log"),
        axis("density of its logarithm", "count", least=0.0),
        [
            series("law", "twin", "line", zip(middles.tolist(), density.tolist(), strict=True)),
            series("seen", "live", "line", steps),
        ],
    )


def _probability_plot(law: _Law) -> Spec:
    """Show the law's share below what so many of the times were below."""
    below = cdf(law.law, np.array(law.seen_s[1:-1])).tolist()
    return plot(
        axis("share of the times seen", "ratio", least=0.0, most=1.0),
        axis("share of the law", "ratio", least=0.0, most=1.0),
        [
            series("the same", "muted", "line", [(0.0, 0.0), (1.0, 1.0)]),
            series("seen", "live", "points", zip(SEEN_AT[1:-1], below, strict=True)),
        ],
    )
