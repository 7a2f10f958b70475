"""What has to be said about a recording, whatever its laws turn out to be."""

from fastsim import spans
from fastsim.calibrate.background import background_warnings
from fastsim.calibrate.loop_costs import utilisation
from fastsim.calibrate.observed import walk
from fastsim.calibrate.requests import RequestSet
from fastsim.calibrate.thinning import looked_at_plainly
from fastsim.calibrate.variants import ObservedEndpoint, ObservedVariant

FEW = 200
"""Requests of an endpoint below which its tail is not known."""

MUCH_POOLED = 0.1
"""Share of an endpoint's requests, or of their code, in rare paths that is worth a warning."""

_LISTED = 3


def thinned(requests: RequestSet) -> list[str]:
    """Say how many of the requests are looked at, where that is not all."""
    known = int((~requests.left_out).sum())
    if requests.waits:
        known = len(looked_at_plainly(requests.endpoint))
    if known == len(requests):
        return []
    looked = f"of {len(requests):,} requests {known:,} were looked at in detail"
    return [f"{looked}, in stretches of the time; all count for rates and shares"]


def language(requests: RequestSet) -> str:
    """Return the language of a service that is not written in Python, as far as is known."""
    said = requests.instances[0].resource if requests.instances else {}
    language = str(said.get("telemetry.sdk.language") or "python")
    return "" if language == "python" else language


def recording_warnings(requests: RequestSet, observed: list[ObservedEndpoint]) -> list[str]:
    """Return what makes fits to a recording weak, or what they leave out."""
    warnings = [f"reading {problem}" for problem in requests.reading[:_LISTED]]
    if len(requests.reading) > _LISTED:
        warnings.append(
            f"reading: {len(requests.reading) - _LISTED} more files were not used whole"
        )
    busy = utilisation(requests)
    if busy is not None and busy > 0.9:
        warnings.append(
            f"recorded at {busy:.0%} utilisation: hardly any wait ended on an idle loop, "
            "so the fits are weak; record at 40 to 70 %"
        )
    warnings += background_warnings(requests)
    missing = len(requests) - int(requests.recorded.sum())
    if 0 < missing < len(requests):
        warnings.append(f"{missing} requests have no timeline and were used for rates only")
    dropped = max(int(requests.counters[spans.SPANS_DROPPED].max(initial=0)), 0)
    if dropped:
        warnings.append(f"the recorder dropped {dropped} spans; rates are corrected for it")
    if language(requests):
        warnings.append(
            f"a service in {language(requests)}: the twin replays it as an asyncio event loop, "
            "which it is not"
        )
    few = [endpoint for endpoint in observed if endpoint.requests < FEW]
    if len(few) > _LISTED:
        warnings.append(
            f"{len(few)} endpoints have fewer than {FEW} requests, tail percentiles are guesses: "
            + ", ".join(f"{endpoint.name} ({endpoint.requests})" for endpoint in few)
        )
    else:
        warnings += [
            f"{endpoint.name}: only {endpoint.requests} requests, tail percentiles are guesses"
            for endpoint in few
        ]
    for endpoint in observed:
        warnings += _rare_paths(endpoint)
    return warnings


def _rare_paths(endpoint: ObservedEndpoint) -> list[str]:
    """Say how much of an endpoint is pooled, where it is much of its requests or their code."""
    code_s = [_code_s(variant) for variant in endpoint.variants]
    pooled_s = sum(
        spent for spent, variant in zip(code_s, endpoint.variants, strict=True) if variant.pooled
    )
    recorded = sum(len(variant.requests) for variant in endpoint.variants)
    share, of_code = endpoint.pooled / recorded, pooled_s / max(sum(code_s), 1e-12)
    if max(share, of_code) <= MUCH_POOLED:
        return []
    return [
        (
            f"{endpoint.name}: {endpoint.pooled} of {recorded} requests took rare paths; they are "
            f"pooled into one, with {of_code:.0%} of the endpoint's code"
        )
    ]


def _code_s(variant: ObservedVariant) -> float:
    return sum(
        step.cpu_s
        for steps in variant.requests
        for step in walk(steps)
        if step.do in {"cpu", "stream"}
    )
