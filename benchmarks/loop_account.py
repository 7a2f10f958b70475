"""Where the event loop's time went, live beside twin: each slice of a recording for itself.

Run: python benchmarks/loop_account.py demo-out/recording demo-out/live [--skip-first 2.2]

The model is fitted to the first recording; both are replayed at their own arrivals. Per request:
how long the loop was busy and how much of that it lost to threads, live and in the twin, with the
fitted hand-over of the GIL and with others (docs/decisions/0005-gil.md). Pauses of more than a
second part the slices.
"""

import argparse
from pathlib import Path

import numpy as np

from fastsim import spans
from fastsim.calibrate.build import build_model, read_requests
from fastsim.calibrate.requests import RequestSet
from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, resolve_deployment
from fastsim.twin import sample_at, simulate

HANDOVERS_S = (20e-6, 100e-6, 200e-6)
REPLAYS = 4
PARTS_S = 1.0


def twin_ms(
    model: ServiceModel, requests: RequestSet, rows: np.ndarray, handover_s: float | None
) -> str:
    """Return busy and lost time of the twin's loop per request, as text."""
    loop = model.loop.model_copy(update={"handover": handover_s})
    tried = model.model_copy(update={"loop": loop})
    names = [endpoint.name for endpoint in model.endpoints]
    known = np.array([names.index(n) if n in names else -1 for n in requests.endpoints])
    endpoint = known[requests.endpoint[rows]]
    rows = rows[endpoint >= 0]
    at_s = (requests.start_ns[rows] - requests.start_ns[rows].min()) / 1e9
    busy = lost = 0.0
    for replay in range(REPLAYS):
        workload = sample_at(tried, at_s, endpoint[endpoint >= 0], replay)
        outcome = simulate(
            workload, resolve_deployment(tried, Deployment()), tried.loop, seed=replay
        )
        busy += float(outcome.loop_busy_s.sum())
        lost += outcome.gil_lost_s
    each = 1e3 / (REPLAYS * len(rows))
    return f"{busy * each:6.2f} {lost * each:5.2f}"


def main() -> None:
    """Fit, replay and print one line for each slice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="+", type=Path, metavar="TRACES")
    parser.add_argument("--skip-first", type=float, default=None, metavar="SECONDS")
    options = parser.parse_args()
    first = read_requests([options.recordings[0]], skip_first_s=options.skip_first)
    model = build_model(first)
    loop = model.loop
    print(f"hand-over {loop.handover}, cold {loop.cold.extra:.3f}, speed {loop.doubt.error:.1%}")
    heads = ["fitted", *(f"{handover_s * 1e6:.0f} us" for handover_s in HANDOVERS_S)]
    print("ms per request: busy and lost, live and in the twin with each hand-over")
    print(f"{'':22}  {'live':>12}" + "".join(f"  {head:>12}" for head in heads))
    for path in options.recordings:
        found = read_requests([path], skip_first_s=0.0)
        parts = np.cumsum(np.diff(found.start_ns, prepend=found.start_ns[0]) > PARTS_S * 1e9)
        for part in range(int(parts[-1]) + 1):
            rows = np.flatnonzero(parts == part)
            if len(rows) < 2:
                continue
            busy, cpu = (
                np.ptp(found.counters[name][rows]) / 1e6 / (len(rows) - 1)
                for name in (spans.LOOP_BUSY_NS, spans.LOOP_CPU_NS)
            )
            twins = [twin_ms(model, found, rows, h) for h in (loop.handover, *HANDOVERS_S)]
            line = f"{path.name[:14]:14} {part:2} {len(rows):4}  {busy:6.2f} {busy - cpu:5.2f}"
            print(line + "".join(f"  {twin}" for twin in twins))


if __name__ == "__main__":
    main()
