"""Which tests start servers and which measure, and their order: what needs no server first."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("anywhere", deadline=None)
settings.load_profile("anywhere")

_SLOW = ("live", "examples")
"""Folders whose tests start processes and wait for them."""


@pytest.fixture(scope="session", autouse=True)
def _one_core_for_each_that_runs_tests() -> Iterator[None]:
    """Keep simulations here where tests run side by side: the other cores have tests of their own.

    Starting processes costs more than most of these simulations do.
    """
    with pytest.MonkeyPatch.context() as patch:
        if "PYTEST_XDIST_WORKER" in os.environ:
            patch.setattr("fastsim.twin.processes.available_cores", lambda: 1)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _needs_a_server(item):
            item.add_marker("live")
    items.sort(key=_needs_a_server)


def _needs_a_server(item: pytest.Item) -> bool:
    return item.get_closest_marker("live") is not None or item.path.parent.name in _SLOW
