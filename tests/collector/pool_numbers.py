"""Pools are numbered in a process; tests are many processes in one."""

from fastsim.collector.pools import slots


def number_from_one() -> None:
    """Forget all pools, as a process that starts anew."""
    slots._born.clear()
    slots._numbers.clear()
