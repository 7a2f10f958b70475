"""Requests recorded without FastSim: their programs, and what had to be assumed for them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastsim.calibrate.branch_code import branch_code
from fastsim.calibrate.exposure import are_rests
from fastsim.calibrate.gap_evidence import weigh_gaps
from fastsim.calibrate.gaps import program
from fastsim.calibrate.growth import unsampled
from fastsim.calibrate.hidden_pools import HiddenPool, Line, find_pools, slot_uses, with_asks
from fastsim.calibrate.layouts import Layout, layout_of
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.sampled import ALL_RECORDED
from fastsim.calibrate.server_work import server_work_s
from fastsim.calibrate.span_queues import BusyChains, busy_chains
from fastsim.calibrate.thinning import looked_at_plainly
from fastsim.calibrate.variants import Programs
from fastsim.errors import NotEnoughDataError
from fastsim.spans import StepKind

FloatArray = npt.NDArray[np.float64]

MOST_BUSY = 0.7
"""Code that is assumed, not found, may not keep a recorded loop busier than this on average."""

UNSEEN = 0.2
"""Part of the requests' time in waits without spans that is worth a warning."""

MOSTLY_SEEN = 0.9
"""Of a service with more of its gaps in code, calls are known without their queueing."""
IMPURE = 0.75
"""Were the process one event loop, some place would be more code than that."""


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
    doubt: float
    """Standard error of the code, relative: how much of the gaps may be code or not."""
    elsewhere: float
    """Part of the CPU of the process, where that is known, that is not in the model."""
    accept_s: float
    """CPU of each request outside its spans, seconds."""
    unseen: float
    """Part of the requests' time that is waits without spans."""
    workers: int
    """Event loops behind the spans of one instance."""
    purest: float
    """Share of code of the place in programs that is most so; nan if nothing is known."""
    overlapping: float
    """Part of the requests that have calls at the same time."""
    pools: tuple[HiddenPool, ...]
    """Pools that no span shows."""
    sampled: bool
    """Whether others were served among the requests whose spans these are."""
    known: bool
    """Whether the traces, or the user, say how many."""

    @property
    def hidden(self) -> bool:
        """Whether some of what the loop runs is not seen, and so keeps waits waiting."""
        return self.workers > 1 or self.sampled or self.code_share < MOSTLY_SEEN

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
            "what the loop does for no request, and pools that were never full, are not seen "
            "(fastsim record sees them)"
        )
        if not self.known:
            rests += "; rates are those of the traces (--sampled says which part of all they are)"
        said = [rests]
        if self.elsewhere > 0.05:
            said.append(
                f"{self.elsewhere:.0%} of the CPU of the process is in no gap between calls (other "
                "threads, or inside waits): how it delays requests is not known"
            )
        elif self.doubt > 0.05:
            said.append(
                f"how much code there is may be off by {self.doubt:.0%}: in the gaps between calls "
                "it cannot be told from short waits (--busy, the CPU of the process from your "
                "metrics, says more)"
            )
        if self.unseen > UNSEEN:
            said.append(
                f"{self.unseen:.0%} of the time of requests is waits that have no span (threads, "
                "streams, libraries that are not instrumented?): code in them, and how they grow "
                "with load, is not seen"
            )
        if not self.chosen and 0.01 < self.untold <= 0.5:
            said.append(f"of {self.untold:.0%} of the time between calls nothing tells: assumed")
        if self.overlapping > 0.05:
            calls = (
                f"{self.overlapping:.0%} of the requests have calls at the same time: the code of "
                "one that runs while others go on is known in its mean only"
            )
            said.append(calls)
        said += [pool.sentence() for pool in self.pools]
        if self.purest < IMPURE and not self.chosen:
            several = (
                "no gap between calls is free of other requests' spans: do several workers share a "
                f"service.instance.id? (about {max(round(1.0 / max(self.purest, 0.02)), 2)}, "
                "--loops says how many)"
            )
            said.append(several)
        if self.workers > 1:
            mixed = (
                f"spans of {self.workers} event loops that cannot be told apart: calls contain the "
                "queueing of these loops (give each a service.instance.id)"
            )
            said.append(mixed)
        return said


def plain_spans(
    requests: RequestSet,
    *,
    code_share: float | None = None,
    busy: float | None = None,
    workers: int = 1,
) -> PlainSpans:
    """Return what requests without timelines did.

    Parameters
    ----------
    code_share
        Part of every gap between calls that is code, 0 to 1; None to find out.
    busy
        CPU that each process used while recorded, of one core: there cannot be more code than
        that. None if nobody knows.
    workers
        Event loops that make the spans of one instance.

    Raises
    ------
    NotEnoughDataError
        Without any request that was answered by an endpoint.
    """
    fittable = requests.fittable
    if not fittable.any():
        raise NotEnoughDataError("no request in the traces was answered by an endpoint")
    taken = looked_at_plainly(requests.endpoint)
    starts = requests.start_ns[taken]
    instances, endpoints = requests.instance[taken].tolist(), requests.endpoint[taken].tolist()
    served = unsampled(requests)
    sampled = served > ALL_RECORDED
    pools: list[tuple[HiddenPool, Line]] = []
    if sampled or workers > 1:
        # Of some of the requests nobody can count how many calls there are at a time.
        layouts = _layouts(requests, taken, ())
    else:
        shown = _shown_pools(requests, taken)
        layouts = _layouts(requests, taken, shown)
        pools = find_pools(layouts, endpoints, instances)
        limited = shown & {pool.label for pool, _ in pools}
        if limited < shown:  # taking a connection that nothing limits is a call
            layouts = _layouts(requests, taken, limited)
            pools = find_pools(layouts, endpoints, instances)
    slots = slot_uses(pools, len(layouts))
    layouts = with_asks(layouts, slots)
    evidence = weigh_gaps(layouts, endpoints, instances, workers=workers)
    lengths_ns, untold = evidence.length_ns, ~evidence.told
    # Of the time of the loops, that in which they would serve what was traced and no more.
    of = requests.instance[taken]
    over_s = sum(_observed_s(starts[of == each]) for each in np.unique(of)) * workers / served
    doubt_s = accept_s = elsewhere_s = 0.0
    if code_share is None:
        fits = MOST_BUSY * 1e9 * over_s - float(evidence.code_ns.sum())
        share = min(max(fits / max(float(lengths_ns[untold].sum()), 1e-3), 0.0), 1.0)
        evidence.first_ns[untold] = share * lengths_ns[untold]
        more_s, known_s = float(evidence.more_ns.sum()) / 1e9, float(evidence.code_ns.sum()) / 1e9
        part, doubt_s = 0.5, 0.5 * more_s
        if workers == 1 and not sampled:
            accept_s = server_work_s(layouts, evidence, instances)
        if busy is not None:
            missing_s = max(busy * over_s - known_s - accept_s * len(layouts), 0.0)
            part = min(missing_s / max(more_s, 1e-12), 1.0)
            # The rest is other threads' or somewhere in waits: how it delays requests is not known.
            elsewhere_s = max(missing_s - more_s, 0.0)
            doubt_s = 0.5 * elsewhere_s
        evidence.first_ns[:] += part * evidence.more_ns
    else:
        evidence.first_ns[:], evidence.last_ns[:] = code_share * lengths_ns, 0.0
    code_s = float(evidence.code_ns.sum()) / 1e9
    total_s = max(float(lengths_ns.sum()) / 1e9, 1e-12)
    branches = [[0.0] * len(layout.groups) for layout in layouts]
    chains: dict[int, BusyChains] = {}
    if workers == 1:
        if code_share is None:
            branches = branch_code(layouts, endpoints, instances)
        if not sampled:
            chains = busy_chains(evidence, instances, _stretches(layouts, branches, instances))
    code_ns = evidence.of_requests(len(layouts))
    programs = {
        row: program(layouts[n], code_ns[n], branches[n], chains.get(instances[n]), slots[n])
        for n, row in enumerate(taken.tolist())
        if fittable[row]
    }
    return PlainSpans(
        programs=programs,
        code_share=code_s / total_s,
        untold=float(lengths_ns[untold].sum()) / 1e9 / total_s,
        chosen=code_share is not None,
        utilisation=min(code_s / max(over_s, 1e-12), 1.0),
        doubt=doubt_s / max(code_s, 1e-12),
        elsewhere=0.0 if busy is None else elsewhere_s / max(busy * over_s, 1e-12),
        accept_s=accept_s,
        unseen=(total_s - code_s) / max(float(requests.duration_ns[taken].sum()) / 1e9, 1e-12),
        workers=workers,
        purest=evidence.purest,
        overlapping=float(
            np.mean([any(len(calls) > 1 for _, _, calls in each.groups) for each in layouts])
        ),
        pools=tuple(pool for pool, _ in pools),
        sampled=sampled,
        known=bool(requests.sampling.told),
    )


def _shown_pools(requests: RequestSet, taken: npt.NDArray[np.int64]) -> set[str]:
    """Return what there are spans of taking a slot of."""
    waits = (wait for row in taken.tolist() for wait in requests.waits[row])
    return {wait.label for wait in waits if wait.kind is StepKind.POOL}


def _layouts(
    requests: RequestSet, taken: npt.NDArray[np.int64], pools: Collection[str]
) -> list[Layout]:
    starts = requests.start_ns[taken]
    return [
        layout_of(start, end, requests.waits[row], last, pools=pools)
        for row, start, end, last in zip(
            taken.tolist(),
            starts.tolist(),
            (starts + requests.duration_ns[taken]).tolist(),
            requests.last_end_ns[taken].tolist(),
            strict=True,
        )
    ]


def _observed_s(start_ns: npt.NDArray[np.int64]) -> float:
    """Return for how long requests came to a process, without long breaks, seconds."""
    apart_s: FloatArray = np.diff(np.sort(start_ns)).astype(np.float64) / 1e9
    return max(float(apart_s[~are_rests(apart_s)].sum()), 1e-6)


def _stretches(
    layouts: Sequence[Layout], branches: Sequence[Sequence[float]], instances: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Return instance, begin and end of the code after calls that ended before others."""
    return [
        (instance, call.end_ns, min(call.end_ns + int(code_ns), over))
        for layout, own, instance in zip(layouts, branches, instances, strict=True)
        for (_, over, calls), code_ns in zip(layout.groups, own, strict=True)
        for call in calls
        if code_ns >= 1.0 and call.end_ns < over
    ]
