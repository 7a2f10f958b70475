"""How well a recording knows the machine's mean speed."""

from dataclasses import replace

import numpy as np
import pytest

from fastsim.calibrate.code_runs import CodeRuns
from fastsim.calibrate.requests import collect_requests
from fastsim.calibrate.wander import CodePieces, fit_speed_doubt, fit_wander
from fastsim.model import ColdCost, SpeedDoubt
from tests.calibrate.trace_formats import trace

LENGTH_S = 40.0
PER_S = 100
WINDOW_S = 0.2


def runs_at(rng: np.random.Generator, *, drift: float = 0.0, rest_s: float = 0.0) -> CodeRuns:
    """Code of sd 20 % on a machine whose speed differs by ``drift`` from 10 s to 10 s."""
    n = int(LENGTH_S * PER_S)
    at_s = np.sort(rng.random(n)) * LENGTH_S
    part = (at_s / 10.0).astype(np.int64)
    level = 1.0 + drift * rng.standard_normal(int(LENGTH_S / 10.0))
    ratio = level[part] * rng.gamma(25.0, 1.0 / 25.0, n)
    ratio /= ratio.mean()
    one, nothing = np.zeros(n, np.int64), np.zeros(n)
    return CodeRuns(
        at_s + rest_s * part,
        np.arange(n),
        one,
        np.ones(n),
        ratio,
        np.full(n, 0.5),
        nothing,
        nothing,
        nothing,
        np.full(n, 1.0 / 0.04),
    )


def doubt_of(runs: CodeRuns, cold: ColdCost) -> SpeedDoubt:
    return fit_speed_doubt(CodePieces.of_runs(runs, cold))


def test_a_steady_machine_leaves_little() -> None:
    found = [doubt_of(runs_at(np.random.default_rng(n)), ColdCost()) for n in range(20)]
    chance = 0.2 / np.sqrt(LENGTH_S * PER_S)
    # What chance does to the mean is the laws' own doubt, and would count twice.
    assert np.median([each.error for each in found]) < 0.5 * chance
    assert max(each.error for each in found) < 2.0 * chance
    assert found[0].over == pytest.approx(LENGTH_S)


def test_slow_changes_are_found() -> None:
    found = [doubt_of(runs_at(np.random.default_rng(n), drift=0.1), ColdCost()) for n in range(20)]
    # Four levels of sd 10 %: their mean has 5 %.
    assert np.median([each.error for each in found]) == pytest.approx(0.05, rel=0.3)
    assert np.median([each.drift for each in found]) == pytest.approx(0.05, rel=0.3)


def test_rests_do_not_count() -> None:
    steady, broken = (
        doubt_of(runs_at(np.random.default_rng(5), drift=0.1, rest_s=rest_s), ColdCost())
        for rest_s in (0.0, 60.0)
    )
    assert broken.over == pytest.approx(steady.over)
    assert broken.error == pytest.approx(steady.error, rel=0.05)


def test_what_idleness_costs_is_no_doubt() -> None:
    rng = np.random.default_rng(3)
    runs = runs_at(rng)
    idle = np.where(runs.at_s < LENGTH_S / 2.0, 0.0, 1.0)
    ratio = runs.ratio * (1.0 + 0.3 * idle)
    cold = replace(runs, ratio=ratio / ratio.mean(), idle=idle)
    assert doubt_of(cold, ColdCost(extra=0.3)).error < 0.01
    assert doubt_of(cold, ColdCost()).error > 0.05


def test_too_little_says_nothing() -> None:
    requests = collect_requests(trace(3), skip_first_s=0.0)
    assert fit_wander(requests, CodeRuns.none(), ColdCost()).doubt == SpeedDoubt()
    at_s = np.linspace(0.0, 3.0, 100)
    brief = CodeRuns(at_s, np.arange(100), *(np.ones(100),) * 8)  # type: ignore[arg-type]
    assert doubt_of(brief, ColdCost()) == SpeedDoubt()


def test_what_swings_back_does_not_last() -> None:
    rng = np.random.default_rng(8)
    runs = runs_at(rng)
    # Fast for a second, slow for a second: neighbours are alike, stretches of 2.5 s hardly differ.
    swinging = runs.ratio * np.where(runs.at_s % 2.0 < 1.0, 1.1, 0.9)
    swing = replace(runs, ratio=swinging / swinging.mean())
    found = fit_wander(collect_requests(trace(3), skip_first_s=0.0), swing, ColdCost())
    law = found.law
    assert law.sigma == pytest.approx(0.1, abs=0.015)
    # By neighbours alone it would be 0.8, and the mean of the recording known to 2 % instead of 1.
    assert law.correlation < 0.5
    lasting = (1.0 + law.correlation) / (1.0 - law.correlation) * law.window / LENGTH_S
    assert law.sigma * np.sqrt(lasting) <= max(found.doubt.drift, law.sigma / 200**0.5) * 1.001
