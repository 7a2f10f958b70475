"""What a server does for a request outside its span: reading it before, writing the answer after.

No span shows that, but on a busy loop it keeps the next stretch of code waiting. So the breaks
between two stretches are longer where the second begins a request, and where the first ended one,
than where neither does: by what the server does there.
"""

from collections.abc import Sequence

import numpy as np

from fastsim.calibrate.gap_evidence import GapEvidence
from fastsim.calibrate.layouts import Layout
from fastsim.calibrate.span_queues import shortest_sleep

LEAST_BREAKS = 30


def server_work_s(
    layouts: Sequence[Layout], evidence: GapEvidence, instances: Sequence[int]
) -> float:
    """Return the mean CPU per request outside spans, seconds; 0 where nothing tells.

    Parameters
    ----------
    layouts, evidence, instances
        Of all requests; each instance is one event loop.
    """
    begins = np.array([layout.start_ns for layout in layouts], np.int64)
    answers = np.array([layout.respond_ns for layout in layouts], np.int64)
    own = np.asarray(instances, np.int64)[evidence.request]
    rows = []
    for instance in np.unique(own):
        mine = np.flatnonzero((own == instance) & (evidence.code_ns >= 1.0))
        mine = mine[np.argsort(evidence.begin_ns[mine], kind="stable")]
        request = evidence.request[mine]
        opens = evidence.begin_ns[mine] == begins[request]
        closes = evidence.end_ns[mine] >= answers[request]
        apart = evidence.begin_ns[mine][1:] - evidence.end_ns[mine][:-1]
        # In a longer break the loop slept.
        short = (apart >= 0) & (apart <= shortest_sleep(apart))
        rows.append(np.stack([apart, opens[1:], closes[:-1]], axis=1)[short])
    apart, opens, closes = np.concatenate(rows).T
    found = 0.0
    for flag, other in ((opens, closes), (closes, opens)):
        with_it = apart[(flag == 1) & (other == 0)]
        without = apart[(flag == 0) & (other == 0)]
        if min(len(with_it), len(without)) >= LEAST_BREAKS:
            found += max(float(np.median(with_it) - np.median(without)), 0.0)
    return found / 1e9
