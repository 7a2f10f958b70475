"""Laws beside what was seen: what is shown, and what is said of it."""

import json
import re
from typing import Any

import numpy as np
import pytest

from fastsim.distributions import percentiles
from fastsim.laws import SEEN_AT, Expon, Fit
from fastsim.model import CpuStep, Distribution, Endpoint, UseStep, Variant, WaitStep
from fastsim.report.law_figures import MOST, law_figures
from fastsim.spans import StepKind


def fitted(law: Distribution, *, times: float = 1.0, n: int = 400) -> Distribution:
    """Return a law that was fitted to times of which each quantile is so many times its own."""
    inner = percentiles(law, np.array(SEEN_AT[1:-1])) * times
    quantiles = [float(inner[0]) / 2.0, *inner.tolist(), float(inner[-1]) * 2.0]
    return law.model_copy(update={"fit": Fit(n=n, quantiles=quantiles)})


def endpoint(*laws: Distribution) -> Endpoint:
    waits = [
        WaitStep(kind=StepKind.DB, time=law, label="pg", where=f"a.py:f{number}")
        for number, law in enumerate(laws)
    ]
    steps = [CpuStep(time=Expon(mean=0.001)), UseStep(resource="db", steps=list(waits))]
    return Endpoint(name="GET /", share=1.0, variants=[Variant(steps=steps)])


def charts(figure: str) -> list[dict[str, Any]]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', figure, re.DOTALL)
    return [json.loads(each) for each in found]


def test_a_law_that_fits_lies_on_what_was_seen() -> None:
    [figure] = law_figures(endpoint(fitted(Expon(mean=0.01))))
    assert "Step 3, db pg at a.py:f0, expon, fitted to 400 times" in figure
    assert "off by at most 0 % between 5 and 95 %, by ±0.0 % at 99 %" in figure
    quantiles, density, below = charts(figure)
    law, seen = quantiles["series"]
    assert [point[1] for point in seen["data"]][1:] == pytest.approx(
        percentiles(Expon(mean=0.01), np.array(SEEN_AT[1:-1])).tolist()
    )
    assert len(law["data"]) > 50
    _, shares = below["series"]
    assert shares["data"] == [pytest.approx([p, p]) for p in SEEN_AT[1:-1]]
    # A density of the logarithm: its area over the logarithm of time is that of all times.
    _, steps = density["series"]
    pairs = np.array(steps["data"]).reshape(-1, 2, 2)
    area = (np.log(pairs[:, 1, 0] / pairs[:, 0, 0]) * pairs[:, 0, 1]).sum()
    assert area == pytest.approx(0.98)


def test_a_law_that_does_not_is_told_by_how_much() -> None:
    [figure] = law_figures(endpoint(fitted(Expon(mean=0.01), times=1.25)))
    assert "off by at most 20 % between 5 and 95 %, by −20.0 % at 99 %" in figure


def test_those_that_take_the_most_time_are_shown_first() -> None:
    laws = [fitted(Expon(mean=0.001 * (1 + n))) for n in range(MOST + 2)]
    figures = law_figures(endpoint(*laws))
    assert len(figures) == MOST
    assert f"a.py:f{MOST + 1}" in figures[0]
    assert "a.py:f2," in figures[-1]


def test_what_was_not_fitted_or_is_constant_is_left_out() -> None:
    few = Expon(mean=0.01, fit=Fit(n=3, quantiles=[0.001, 0.02]))
    assert law_figures(endpoint(few, Expon(mean=0.01))) == []
