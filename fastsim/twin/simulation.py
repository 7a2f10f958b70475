"""One simulation of a plan: draw who asks for what, let the service answer, and summarise."""

from dataclasses import replace

import numpy as np

from fastsim.errors import InputError
from fastsim.twin.doubt import draw_processor, on_processor
from fastsim.twin.engine import simulate
from fastsim.twin.law_doubt import draw_model, idle_s
from fastsim.twin.metrics import Measures, summarise
from fastsim.twin.plan import ArrivalReplay, Plan
from fastsim.twin.sampling import sample, sample_at, sample_source, sample_users
from fastsim.twin.users import sent_only
from fastsim.twin.workload import Workload


def simulate_once(plan: Plan, seed: int) -> Measures:
    """Draw a workload, simulate it and summarise: one replication."""
    if plan.doubtful:
        drawn = draw_processor(plan.model.loop, plan.duration_s, seed)
        other = draw_model(plan.model, seed)
        found = simulate_once(replace(plan, model=on_processor(other, drawn), doubtful=False), seed)
        return replace(found, idle_s=idle_s(other))
    warmup_s, workload = _workload(plan, seed)
    outcome = simulate(workload, plan.deployment, plan.model.loop, seed=seed)
    if workload.users is not None:
        workload, outcome = sent_only(workload, outcome, workload.users.sent)
    return summarise(
        workload,
        outcome,
        model=plan.model,
        deployment=plan.deployment,
        warmup_s=warmup_s,
        duration_s=plan.duration_s,
    )


def _workload(plan: Plan, seed: int) -> tuple[float, Workload]:
    """Return the length of the warm-up, seconds, and who asks for what."""
    if plan.replay is not None:
        return _replayed(plan, plan.replay, seed)
    warmup_s = plan.warmup_s
    if plan.source is not None:
        return warmup_s, sample_source(
            plan.model,
            plan.source,
            rate_per_s=plan.rate_per_s,
            duration_s=plan.duration_s,
            warmup_s=warmup_s,
            seed=seed,
            mix=plan.mix,
        )
    if plan.users is not None:
        length_s = warmup_s + plan.duration_s
        return warmup_s, sample_users(
            plan.model, plan.users, duration_s=length_s, seed=seed, mix=plan.mix
        )
    return warmup_s, sample(
        plan.model,
        rate_per_s=plan.rate_per_s,
        duration_s=plan.duration_s,
        warmup_s=warmup_s,
        seed=seed,
        mix=plan.mix,
        arrivals=plan.arrivals,
        bursts=plan.bursts,
        course=plan.course,
    )


def _replayed(plan: Plan, replay: ArrivalReplay, seed: int) -> tuple[float, Workload]:
    """Return the length of the warm-up and the workload at the given arrivals."""
    at_s, endpoint = replay.at_s, replay.endpoint
    if not len(at_s):
        raise InputError("there are no arrivals to replay")
    if at_s[0] < 0.0:
        warmup_s = max(plan.warmup_s, float(-at_s[0]))
    else:
        warmup_s = plan.warmup_s
        # A live service was warm and busy when its measured time began: fresh arrivals of
        # the same rate and mix bring the twin there.
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5741524D]))
        count = int(rng.poisson(plan.rate_per_s * warmup_s))
        before_s = np.sort(rng.random(count)) * warmup_s - warmup_s
        at_s = np.concatenate([before_s, at_s])
        endpoint = np.concatenate([rng.choice(endpoint, count), endpoint])
    return warmup_s, sample_at(plan.model, at_s + warmup_s, endpoint, seed)
