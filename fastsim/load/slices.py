"""Several short runs taken as one: a live measurement in slices, with rest in between.

Slices alternate with something else on the same machine (a recording, another deployment),
so that the machine's drift hits both alike. Each began with an idle service, and so does a
twin that gets the joined arrivals.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fastsim.errors import NotEnoughDataError
from fastsim.load.driver import LoadResult

REST_S = 10.0
"""Time without requests put between slices, longer than any queue needs to drain."""


def join(slices: Sequence[LoadResult], *, rest_s: float = REST_S) -> LoadResult:
    """Return one result whose requests are those of the slices, one slice after the other.

    Parameters
    ----------
    slices
        Of one mix and rate, each without a warm-up.
    rest_s
        Seconds between the end of one slice and the beginning of the next.

    Raises
    ------
    NotEnoughDataError
        When there is no slice.
    """
    if not slices:
        raise NotEnoughDataError("there is no slice to join")
    first = slices[0]
    lengths = [each.schedule.duration_s + rest_s for each in slices]
    begins = np.concatenate([[0.0], np.cumsum(lengths)])
    offsets = begins[:-1].tolist()
    schedule = replace(
        first.schedule,
        duration_s=float(begins[-1]) - rest_s,
        at_s=np.concatenate([s.schedule.at_s + at for s, at in zip(slices, offsets, strict=True)]),
        target=np.concatenate([each.schedule.target for each in slices]),
        path=tuple(path for each in slices for path in each.schedule.path),
        body=tuple(body for each in slices for body in each.schedule.body),
    )
    return replace(
        first,
        schedule=schedule,
        sent_s=np.concatenate([s.sent_s + at for s, at in zip(slices, offsets, strict=True)]),
        done_s=np.concatenate([s.done_s + at for s, at in zip(slices, offsets, strict=True)]),
        status=np.concatenate([each.status for each in slices]),
        cause=tuple(cause for each in slices for cause in each.cause),
        received_bytes=np.concatenate([each.received_bytes for each in slices]),
        trace_ids=tuple(name for each in slices for name in each.trace_ids),
        elapsed_s=float(begins[-2]) + slices[-1].elapsed_s,
        cpu_s=sum(each.cpu_s for each in slices),
        stopped=any(each.stopped for each in slices),
    )
