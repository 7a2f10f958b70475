"""Short trials: how a search goes does not hang on how well each of its loads is known."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fastsim.twin import trial


@contextmanager
def short_trials(part: int = 4) -> Iterator[None]:
    """Have searches simulate so many times less than users have them do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "LEAST_REQUESTS", trial.LEAST_REQUESTS // part)
        patch.setattr(trial, "SHORTEST_S", trial.SHORTEST_S / part)
        for metric, requests in trial.NEEDED.items():
            patch.setitem(trial.NEEDED, metric, requests // part)
        yield
