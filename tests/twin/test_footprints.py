"""Which steps are the same code, and what it costs when it is warm."""

import math

import pytest

from fastsim.loop_costs import ColdCost
from fastsim.model import ServiceModel
from fastsim.twin.code import CPU
from fastsim.twin.compiling import compile_model
from fastsim.twin.footprints import Caches, places

LAW = ColdCost(extra=0.5, less=0.6)
CODE_S = 0.0002


def test_steps_are_named_by_what_they_follow() -> None:
    found = list(places(["cpu", "db", "cpu", "db", "cpu"], ("GET",)))
    assert found == [
        ("GET", "begin", 0),
        ("GET", "cpu", 0),
        ("GET", "db", 0),
        ("GET", "cpu", 1),
        ("GET", "db", 1),
    ]


def caches(law: ColdCost = LAW) -> Caches:
    """Three pieces of code: two that share, and one that nothing keeps warm."""
    return Caches(law, own=[0, 1, -1], shared=[2, 2, -1], count=3)


def test_what_ran_just_now_costs_less_and_idleness_leaves_it_alone() -> None:
    law = caches()
    cold = law.cost_s(0, 1.0, CODE_S, 0.4)
    assert cold == pytest.approx(CODE_S * 1.4)
    again = law.cost_s(0, 1.0 + cold, CODE_S, 0.4)
    assert again == pytest.approx(CODE_S * (1.0 - LAW.less))


def test_what_endpoints_share_is_half() -> None:
    law = caches()
    over = 1.0 + law.cost_s(0, 1.0, CODE_S, 0.0)
    other = law.cost_s(1, over + LAW.forgets, CODE_S, 0.0)
    assert other == pytest.approx(CODE_S * (1.0 - LAW.less * math.exp(-1.0) / 2.0))


def test_long_code_is_warm_for_its_beginning_alone() -> None:
    law = caches()
    long_s = 0.010
    over = 1.0 + law.cost_s(0, 1.0, long_s, 0.0)
    assert law.cost_s(0, over, long_s, 0.0) == pytest.approx(long_s - LAW.less * LAW.reach)


def test_nothing_keeps_warm_what_has_no_number() -> None:
    law = caches()
    assert [law.cost_s(2, 1.0, CODE_S, 0.4) for _ in range(2)] == pytest.approx([CODE_S * 1.4] * 2)


def test_without_less_idleness_is_all() -> None:
    law = caches(ColdCost(extra=0.5))
    assert [law.cost_s(0, 1.0, CODE_S, 0.4) for _ in range(2)] == pytest.approx([CODE_S * 1.4] * 2)


def test_code_of_endpoints_and_paths_has_the_numbers_it_shares() -> None:
    code = {"do": "cpu", "time": {"family": "constant", "value": 0.001}}
    query = {
        "do": "wait",
        "kind": "db",
        "label": "db",
        "time": {"family": "constant", "value": 0.01},
    }
    failing = {"share": 0.2, "failed": True, "steps": [code]}
    model = ServiceModel.model_validate(
        {
            "endpoints": [
                {
                    "name": "GET /a",
                    "share": 0.5,
                    "variants": [{"share": 0.8, "steps": [code, query, code]}, failing],
                },
                {"name": "GET /b", "share": 0.5, "variants": [{"steps": [query, code]}]},
            ]
        }
    )
    found = compile_model(model, [0.5, 0.5]).code
    own, shared = (
        [number for does, number in zip(found.operation, of, strict=True) if does == CPU]
        for of in (found.own, found.shared)
    )
    begin, after, begin_failing, of_other = range(4)
    # Both paths begin with the same code; what follows a query is shared with the other endpoint.
    assert own[begin] == own[begin_failing]
    assert own[after] != own[of_other]
    assert shared[after] == shared[of_other]
    assert len({*own, *shared}) == 5 == len(found.footprints)
