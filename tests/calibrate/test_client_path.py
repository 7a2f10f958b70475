"""What a client waits beyond the server: requests matched by their trace ids."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from fastsim.calibrate.client_path import LEAST_MATCHES, fit_client_overhead
from fastsim.calibrate.requests import RequestSet
from fastsim.errors import NotEnoughDataError
from fastsim.result import RequestTable, Run


def recorded(n: int, served_s: float) -> RequestSet:
    fake: Any = SimpleNamespace(
        duration_ns=np.full(n, round(served_s * 1e9)),
        timelines=dict,
        trace_ids=tuple(f"{number:032x}" for number in range(n)),
        endpoints=("GET /",),
        endpoint=np.zeros(n, np.int64),
    )
    return cast("RequestSet", fake)


def sent(n: int, latency_s: list[float]) -> Run:
    table = RequestTable(
        endpoints=["GET /"],
        endpoint=[0] * n,
        scheduled_s=[float(number) for number in range(n)],
        latency_s=latency_s,
        ok=[True] * n,
        trace_id=[f"{number:032x}" for number in range(n)],
    )
    return cast("Run", SimpleNamespace(table=table))


def test_it_is_the_median_of_what_neither_server_nor_queue_explain() -> None:
    latency_s = [0.0107 if number % 3 else 0.050 for number in range(60)]
    found = fit_client_overhead(sent(60, latency_s), recorded(60, 0.008), {"GET /": 0.002})
    assert found == pytest.approx(0.0007)


def test_a_queue_longer_than_all_that_was_seen_leaves_none() -> None:
    found = fit_client_overhead(sent(60, [0.010] * 60), recorded(60, 0.008), {"GET /": 0.003})
    assert found == 0.0


def test_few_matches_say_nothing() -> None:
    few = LEAST_MATCHES - 1
    with pytest.raises(NotEnoughDataError, match=f"only {few} requests"):
        fit_client_overhead(sent(few, [0.01] * few), recorded(few, 0.008), {"GET /": 0.001})
