"""Requests recorded without FastSim: their programs, and what had to be assumed for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fastsim.calibrate.gap_evidence import GapEvidence, weigh_gaps
from fastsim.calibrate.gaps import program
from fastsim.calibrate.layouts import Layout, layout_of
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.slower_calls import SlowerCalls, slower_calls
from fastsim.calibrate.span_queues import BusyChains, busy_chains
from fastsim.calibrate.variants import Programs
from fastsim.errors import NotEnoughDataError

MOST_BUSY = 0.7
"""Code that is assumed, not found, may not keep a recorded loop busier than this on average."""


@dataclass(frozen=True, slots=True)
class PlainSpans:
    """What requests did, by spans alone."""

    programs: Programs
    code_share: float
    """Part of the time between calls that is taken for code on the event loop."""
    untold: float
    """Part of that time of which nothing tells what it was."""
    chosen: bool
    """The share was the user's."""
    utilisation: float
    """Share of the time that an event loop runs code of spans."""
    workers: int
    """Event loops behind the spans of one instance."""
    overlapping: float
    """Part of the requests that have calls at the same time."""
    slower: tuple[SlowerCalls, ...]
    """Calls that take longer the more of them go on."""

    def sentences(self) -> list[str]:
        """Say for people what the model rests on."""
        told = "by what else happened meanwhile, "
        if self.chosen:
            told = "as asked, "
        elif self.untold > 0.5:
            told = "assumed, "
        rests = (
            "recorded without FastSim: spans do not tell CPU from waiting. "
            f"{self.code_share:.0%} of the time between calls is, {told}code on the event loop; "
            "what the server does outside spans is not measured"
        )
        said = [rests]
        if not self.chosen and 0.01 < self.untold <= 0.5:
            said.append(f"of {self.untold:.0%} of the time between calls nothing tells: assumed")
        if self.overlapping > 0.05:
            calls = (
                f"{self.overlapping:.0%} of the requests have calls at the same time: code that "
                "runs while others of them go on is not seen, and missing from the model"
            )
            said.append(calls)
        said += [slower.sentence() for slower in self.slower]
        if self.workers > 1:
            mixed = (
                f"spans of {self.workers} event loops that cannot be told apart: calls contain the "
                "queueing of these loops (give each a service.instance.id)"
            )
            said.append(mixed)
        return said


def plain_spans(
    requests: RequestSet, *, code_share: float | None = None, workers: int = 1
) -> PlainSpans:
    """Return what requests without timelines did.

    Parameters
    ----------
    code_share
        Part of every gap between calls that is code, 0 to 1; None to find out.
    workers
        Event loops that make the spans of one instance.

    Raises
    ------
    NotEnoughDataError
        Without any request that was answered by an endpoint.
    """
    rows = np.flatnonzero(requests.fittable).tolist()
    if not rows:
        raise NotEnoughDataError("no request in the traces was answered by an endpoint")
    ends = requests.start_ns + requests.duration_ns
    layouts = [
        layout_of(start, end, waits, last)
        for start, end, waits, last in zip(
            requests.start_ns.tolist(),
            ends.tolist(),
            requests.waits,
            requests.last_end_ns.tolist(),
            strict=True,
        )
    ]
    instances = requests.instance.tolist()
    evidence = weigh_gaps(layouts, requests.endpoint.tolist(), instances, workers=workers)
    lengths_ns, untold = evidence.length_ns, ~evidence.told
    loops = workers * len(requests.instances)
    over_s = float(ends.max() - requests.start_ns.min()) / 1e9 * loops
    if code_share is None:
        fits = MOST_BUSY * 1e9 * over_s - float(evidence.code_ns.sum())
        share = min(max(fits / max(float(lengths_ns[untold].sum()), 1e-3), 0.0), 1.0)
        evidence.first_ns[untold] = share * lengths_ns[untold]
    else:
        evidence.first_ns[:], evidence.last_ns[:] = code_share * lengths_ns, 0.0
    code_s = float(evidence.code_ns.sum()) / 1e9
    total_s = max(float(lengths_ns.sum()) / 1e9, 1e-12)
    chains = busy_chains(evidence, instances) if workers == 1 else {}
    programs = _programs(rows, layouts, evidence, [chains.get(code) for code in instances])
    return PlainSpans(
        programs=programs,
        code_share=code_s / total_s,
        untold=float(lengths_ns[untold].sum()) / 1e9 / total_s,
        chosen=code_share is not None,
        utilisation=min(code_s / max(over_s, 1e-12), 1.0),
        workers=workers,
        overlapping=float(
            np.mean([any(len(calls) > 1 for _, _, calls in each.groups) for each in layouts])
        ),
        slower=slower_calls(requests, programs),
    )


def _programs(
    rows: Iterable[int],
    layouts: Sequence[Layout],
    evidence: GapEvidence,
    loops: Sequence[BusyChains | None],
) -> Programs:
    code_ns = evidence.of_requests(len(layouts))
    return {row: program(layouts[row], code_ns[row], loops[row]) for row in rows}
