"""Answers of searches as text: what decides is in the table."""

from fastsim.answers import Candidate
from fastsim.report.decisions import render_size
from tests.report.answers import size


def candidate(cost: float, verdict: str, meets: float) -> Candidate:
    return Candidate.model_validate(
        {
            "settings": {"deployment.workers": cost},
            "cost": cost,
            "margin": None if verdict == "misses" else 1.02,
            "meets": meets,
            "verdict": verdict,
            "utilisation": 0.9,
        }
    )


def test_cheaper_ones_that_may_do_as_well_are_said_and_shown() -> None:
    best = candidate(20.0, "meets", 0.99)
    hopeless = [candidate(float(cost), "misses", 0.0) for cost in (*range(1, 5), *range(7, 20))]
    open_ones = [candidate(5.0, "open", 0.64), candidate(6.0, "open", 0.3)]
    every = sorted([*hopeless, *open_ones, best], key=lambda each: each.cost)
    found = size().model_copy(update={"best": best, "candidates": every, "confidence": 0.25})
    lines = render_size(found, top=5).splitlines()
    assert "  Perhaps    workers 5 at a cost of 5, with a probability of 64 %" in lines
    table = [line.split()[1] for line in lines if line.startswith("  workers")]
    assert table == ["5", "6", "18", "19", "20"]


def test_where_nothing_cheaper_may_do_nothing_is_said() -> None:
    assert "Perhaps" not in render_size(size())
