"""Commands are tested for what they say, on fewer requests than users ask them about."""

from collections.abc import Iterator

import pytest

from tests.trials import short_trials


@pytest.fixture(autouse=True, scope="module")
def _short_trials() -> Iterator[None]:
    with short_trials():
        yield
