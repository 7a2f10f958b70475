"""Draws: a value belongs to its seed, node, request and occasion, whoever asks and when."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fastsim.laws import Lognorm
from fastsim.twin.draws import (
    BLOCK,
    KEPT_ROUNDS,
    ROUNDS,
    WORTH_ROUNDS,
    Draws,
    key_of,
    uniform,
    uniforms,
)
from fastsim.twin.tables import Table, table_of
from tests.twin.test_tables import LAWS

SMOOTH: list[Table] = [table_of(law) for law in LAWS]


def draws(seed: int = 1, share: float = 1.0) -> Draws:
    names = [f"GET /{number}" for number in range(len(SMOOTH))]
    return Draws(seed, names, SMOOTH, [share] * len(SMOOTH))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.integers(0, len(SMOOTH) - 1),
    st.lists(st.tuples(st.integers(0, 40 * BLOCK), st.integers(0, 3)), min_size=1, max_size=60),
)
def test_neither_order_nor_blocks_change_a_value(node: int, asked: list[tuple[int, int]]) -> None:
    forward, backward, rare = draws(), draws(), draws(share=0.001)
    first = [forward.value(node, *one) for one in asked]
    assert [backward.value(node, *one) for one in reversed(asked)] == first[::-1]
    assert [rare.value(node, *one) for one in asked] == first


def test_many_numbers_are_those_one_by_one() -> None:
    key = key_of(3, "GET /")
    requests = np.array([0, 1, 255, 256, 10**6, 2**40])
    assert uniforms(key, requests).tolist() == [uniform(key, int(one)) for one in requests]


def test_names_seeds_and_occasions_draw_apart() -> None:
    keys = [key_of(seed, name) for seed in (1, 2) for name in ("a", "b")]
    drawn = [uniforms(key, np.arange(20_000)) for key in keys]
    drawn.append(np.array([uniform(keys[0], 7, occasion) for occasion in range(1, 20_001)]))
    correlation = np.asarray(np.corrcoef(drawn))
    # Five sequences, ten pairs, 0.007 each: beyond 4.5 of that once in 15,000.
    assert np.abs(correlation[np.triu_indices(5, 1)]).max() < 4.5 / np.sqrt(20_000)


def test_numbers_are_uniform_and_neighbours_independent() -> None:
    for seed in range(5):
        found = uniforms(key_of(seed, "GET /"), np.arange(100_000))
        assert found.min() > 0.0
        assert found.max() < 1.0
        assert stats.kstest(found, "uniform").pvalue > 1e-4
        pairs = np.histogram2d(found[:-1], found[1:], bins=16, range=[[0, 1], [0, 1]])[0]
        assert stats.chisquare(pairs.ravel()).pvalue > 1e-4


def sized(*sizes: float, share: float = 1.0) -> Draws:
    names = [f"step {number}" for number in range(len(sizes))]
    tables = [table_of(Lognorm(median=1.0, sigma=1.0), in_order=True)] * len(sizes)
    return Draws(5, names, tables, [share] * len(sizes), sizes)


def test_nodes_that_follow_the_size_of_their_request_correlate_by_the_product() -> None:
    drawn, requests = sized(0.9, 0.6, 0.0, -0.5), range(20_000)
    logs = np.log([[drawn.value(node, one) for one in requests] for node in range(4)])
    # Lognormal: its logarithm is the normal score. A correlation is known to 0.007.
    expected = np.outer([0.9, 0.6, 0.0, -0.5], [0.9, 0.6, 0.0, -0.5])
    np.fill_diagonal(expected, 1.0)
    assert np.abs(np.corrcoef(logs) - expected).max() < 0.03
    for row in logs:
        assert stats.kstest(row, "norm").pvalue > 1e-4


def test_a_node_that_follows_has_the_same_value_alone_and_among_many() -> None:
    often, rare = sized(0.7, 0.3), sized(0.7, 0.3, share=0.001)
    asked = [(node, request) for node in (0, 1) for request in range(0, 3 * BLOCK, 7)]
    assert [often.value(*one) for one in asked] == [rare.value(*one) for one in asked]


def test_every_round_of_a_loop_follows_the_same_size() -> None:
    drawn = sized(1.0)
    assert drawn.value(0, 3, 0) == drawn.value(0, 3, 1) == drawn.value(0, 3, 2)
    assert drawn.value(0, 3) != drawn.value(0, 4)


OCCASIONS = st.integers(0, 5 * ROUNDS) | st.integers(0, 2**40) | st.just(65_537**3)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.integers(0, len(SMOOTH) - 1),
    st.lists(st.tuples(st.integers(0, 2**41), OCCASIONS), min_size=1, max_size=30),
    st.sampled_from([1.0, 0.001]),
)
def test_rounds_drawn_together_are_those_one_by_one(
    node: int, asked: list[tuple[int, int]], share: float
) -> None:
    names = [f"GET /{number}" for number in range(len(SMOOTH))]
    shares, sizes = [share] * len(names), [0.0, 0.7] * len(names)
    loops = Draws(1, names, SMOOTH, shares, sizes[: len(names)], rounds=[WORTH_ROUNDS] * len(names))
    single = Draws(1, names, SMOOTH, shares, sizes[: len(names)])
    found = [loops.value(node, *one) for one in asked]
    assert found == [single.value(node, *one) for one in asked]


def test_rounds_of_the_latest_requests_alone_are_kept() -> None:
    loops = Draws(1, ["a"], SMOOTH[:1], [1.0], rounds=[WORTH_ROUNDS])
    first = [loops.value(0, request, 1) for request in range(3 * KEPT_ROUNDS)]
    assert len(loops._rounds[0]) == KEPT_ROUNDS
    assert [loops.value(0, request, 1) for request in range(3 * KEPT_ROUNDS)] == first
