"""The twin: simulate a service model and compare it with the live service.

``forecast_run`` answers what a service would do, ``simulate_live`` and ``compare`` how far
the twin is from what was measured.
"""

from fastsim.twin.compare import compare
from fastsim.twin.engine import simulate
from fastsim.twin.equivalence import Compared, Judgement, judge, together
from fastsim.twin.forecast import Forecast, forecast_run
from fastsim.twin.live import LiveSample, simulate_live
from fastsim.twin.plan import ArrivalReplay, Plan
from fastsim.twin.replicate import Replications, replicate
from fastsim.twin.sampling import sample, sample_at
from fastsim.twin.workload import Outcome

__all__ = [
    "ArrivalReplay",
    "Compared",
    "Forecast",
    "Judgement",
    "LiveSample",
    "Outcome",
    "Plan",
    "Replications",
    "compare",
    "forecast_run",
    "judge",
    "replicate",
    "sample",
    "sample_at",
    "simulate",
    "simulate_live",
    "together",
]
