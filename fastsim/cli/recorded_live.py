"""A recording as a live run to compare with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastsim import spans
from fastsim.calibrate.growth import per_request_s, stand_for, unsampled
from fastsim.calibrate.readers import read_spans
from fastsim.calibrate.requests import RequestSet, collect_requests
from fastsim.calibrate.taken import fit_taken
from fastsim.errors import NotEnoughDataError
from fastsim.twin.live import LiveSample
from fastsim.units import format_share


@dataclass(frozen=True, slots=True)
class RecordedLive:
    """A live run, and the requests that it was taken from."""

    sample: LiveSample
    requests: RequestSet

    def remarks(self) -> list[str]:
        """Say what part of all requests it is."""
        if not self.sample.sampled:
            return []
        told = self.requests.sampling.told or "as the recorder counted"
        part = format_share(1.0 / unsampled(self.requests), 3)
        return [f"live are {part} of all requests, {told}: the twin is asked at the rate of all"]


def read_recorded(path: Path, service: str | None, sampled: float | None = None) -> RecordedLive:
    """Take the server spans of a recording; its warm-up is simulated but not compared.

    Parameters
    ----------
    sampled
        Part of all requests that was traced, where traces do not say.

    Raises
    ------
    NotEnoughDataError
        When it holds hardly a request.
    """
    requests = collect_requests(read_spans([path]), service=service, sampled=sampled)
    start_s = (requests.start_ns - requests.start_ns[0]) / 1e9
    begin_s = float(start_s[requests.warm_up].max(initial=-1e-9)) + 1e-9
    at_s = start_s - begin_s
    duration_s = float(at_s[-1]) + 1e-9
    measured = int((at_s >= 0.0).sum())
    if measured < 2:
        raise NotEnoughDataError(
            f"{path} holds {measured} requests after the warm-up", hint="record for longer"
        )
    taken = fit_taken(requests)
    sample = LiveSample(
        endpoints=requests.endpoints,
        endpoint=requests.endpoint,
        at_s=at_s,
        latency_s=requests.duration_ns.astype(np.float64) / 1e9,
        ok=~requests.failed,
        rate_per_s=(measured - 1) / duration_s * unsampled(requests),
        duration_s=duration_s,
        title=requests.service,
        warmup_s=max(0.0, float(-at_s[0])),
        recorded=bool(requests.recorded.any()),
        stand_for=stand_for(requests),
        taken=None if taken is None else taken.share,
        busy_s=per_request_s(requests, spans.LOOP_BUSY_NS),
    )
    return RecordedLive(sample, requests)
