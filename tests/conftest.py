"""Order of the tests: what needs no server first, so that most mistakes show in seconds."""

import pytest

_SLOW = ("live", "examples")
"""Folders whose tests start processes and wait for them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_needs_a_server)


def _needs_a_server(item: pytest.Item) -> bool:
    return item.get_closest_marker("live") is not None or item.path.parent.name in _SLOW
