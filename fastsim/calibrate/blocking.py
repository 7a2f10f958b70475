"""Which lines of a service hold its event loop: calls that block, and long calculations."""

from dataclasses import dataclass

from fastsim.calibrate.requests import RequestSet


@dataclass(slots=True)
class BlockingLine:
    """One line of the service's code that held the loop for long, in all its requests."""

    where: str
    """``file.py:12 function``; empty for stretches too short to be looked at."""
    called: str
    """The library function that the line had called; empty if none."""
    endpoints: set[str]
    count: int = 0
    held_s: float = 0.0
    """Time it held the loop, all in all."""
    longest_s: float = 0.0
    cpu_s: float = 0.0
    """CPU in that time. Far below ``held_s``: it blocked. Near it: it calculated."""


def blocking_lines(requests: RequestSet) -> list[BlockingLine]:
    """Return the lines that held the loop longest in all, the worst first.

    What held it is recorded from 5 ms beyond its CPU, or 50 ms in all (``fastsim.spans``).
    """
    found: dict[tuple[str, str], BlockingLine] = {}
    for row, timeline in requests.timelines():
        endpoint = requests.endpoints[int(requests.endpoint[row])]
        for block in timeline.blocks:
            key = (block.where, block.called)
            line = found.setdefault(key, BlockingLine(*key, endpoints=set()))
            line.endpoints.add(endpoint)
            line.count += 1
            line.held_s += block.wall_s
            line.longest_s = max(line.longest_s, block.wall_s)
            line.cpu_s += block.cpu_s
    return sorted(found.values(), key=lambda line: (-line.held_s, line.where, line.called))
