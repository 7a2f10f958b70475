"""A recording as a live run knows what was beside it."""

from pathlib import Path

import pytest

from fastsim.cli.recorded_live import read_recorded
from tests.virtual.services import beside_others
from tests.virtual.serving import poisson, serve


@pytest.mark.parametrize("starved_s", [0.0, 0.002])
def test_a_recording_says_what_others_took(tmp_path: Path, starved_s: float) -> None:
    app = beside_others(0.004, starved_s)
    serve(app, poisson({"/": 1.0}, rate_per_s=50.0, requests=400, seed=7), record=tmp_path)
    taken = read_recorded(tmp_path, None).sample.taken
    assert taken == pytest.approx(starved_s / (0.004 + starved_s), rel=0.05)
