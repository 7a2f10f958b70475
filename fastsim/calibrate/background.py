"""What the event loop does for no request: said, since the twin has none of it."""

from fastsim import spans
from fastsim.calibrate.growth import loop_share
from fastsim.calibrate.requests import RequestSet
from fastsim.units import format_share

MUCH = 0.01
"""Share of the time on the loop that is worth a word."""
_NAMED = 3


def background_share(requests: RequestSet) -> float:
    """Return the share of the time with requests that loops spent on work of no request."""
    return loop_share(requests, spans.BACKGROUND_WALL_NS) or 0.0


def background_warnings(requests: RequestSet) -> list[str]:
    """Say what takes the loop from requests, if it is much."""
    share = background_share(requests)
    if share < MUCH:
        return []
    names = list(requests.loop_series.background_s)[:_NAMED]
    by = f" ({', '.join(names)})" if names else ""
    return [
        (
            f"the event loop spent {format_share(share, 2)} of the time on work that belongs to no "
            f"request{by}: it is in nobody's cost, and the twin leaves it out"
        )
    ]
