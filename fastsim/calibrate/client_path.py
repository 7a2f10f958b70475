"""What clients see on top of the server span: network, and the client's own work.

Needs a load result whose requests can be matched with the server spans by trace id.
"""

import numpy as np

from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.selfcheck import served_s
from fastsim.errors import NotEnoughDataError
from fastsim.result import Run

LEAST_MATCHES = 30


def fit_client_overhead(
    run: Run, requests: RequestSet, before_application_s: dict[str, float]
) -> float:
    """Return the typical seconds a client waits beyond the server, queue excluded.

    Parameters
    ----------
    run
        Live result with a request table and trace ids.
    before_application_s
        Per endpoint, the time requests spent in the server before the application's first
        instruction, as the twin sees it: spans cannot see it.

    Raises
    ------
    NotEnoughDataError
        When fewer than 30 requests can be matched.
    """
    table = run.table
    ids = [] if table is None else table.trace_id
    if table is None or not ids:
        raise NotEnoughDataError("the load result holds no trace ids to match with the spans")
    served = served_s(requests)
    row_of = {trace_id: row for row, trace_id in enumerate(requests.trace_ids)}
    extra = []
    for position, trace_id in enumerate(ids):
        row = row_of.get(trace_id)
        if row is None or not table.ok[position]:
            continue
        name = requests.endpoints[int(requests.endpoint[row])]
        if name in before_application_s:
            extra.append(
                table.latency_s[position] - float(served[row]) - before_application_s[name]
            )
    if len(extra) < LEAST_MATCHES:
        raise NotEnoughDataError(
            f"only {len(extra)} requests of the load result are in the traces",
            hint="give the load result of the same recording",
        )
    return max(float(np.median(extra)), 0.0)
