"""Which tests may run side by side, and in which order.

What needs no server runs first, on all cores; ``alone`` marks the rest (``make test`` runs the
two one after the other).
"""

import pytest

_SLOW = ("live", "examples")
"""Folders whose tests start processes and wait for them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _needs_the_machine(item):
            item.add_marker("alone")
    items.sort(key=_needs_the_machine)


def _needs_the_machine(item: pytest.Item) -> bool:
    marked = any(item.get_closest_marker(name) is not None for name in ("live", "timed"))
    return marked or item.path.parent.name in _SLOW
