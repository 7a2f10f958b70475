"""Code that holds the event loop for so long that everybody else feels it."""

from collections.abc import Mapping

from fastsim.distributions import mean
from fastsim.model import CpuStep, ServiceModel, all_steps
from fastsim.units import format_duration

LONG_S = 0.050
"""Code that runs longer without a break is worth a word: others wait that long for their turn."""

_MOST_NAMED = 3


def long_code(model: ServiceModel, mix: Mapping[str, float] | None = None) -> list[str]:
    """Say which endpoints hold the event loop for long at a time, the longest first.

    Parameters
    ----------
    mix
        Shares of the endpoints in the traffic; those without any are left out. The model's own
        when None or empty.
    """
    found: list[tuple[float, str]] = []
    for endpoint in model.endpoints:
        if not (mix.get(endpoint.name, 0.0) if mix else endpoint.share):
            continue
        code = [
            (mean(step.time), step.where)
            for variant in endpoint.variants
            for step in all_steps(variant.steps, of_threads=False)
            if isinstance(step, CpuStep)
        ]
        held_s, where = max(code, key=lambda each: each[0], default=(0.0, ""))
        if held_s >= LONG_S:
            held = format_duration(float(f"{held_s:.3g}"), 3)
            place = f" ({where})" if where else ""
            found.append((held_s, f"{endpoint.name} holds the event loop for {held}{place}"))
    found.sort(reverse=True)
    return [
        f"{said} at a time: every other request of its process waits for that; run it in a thread "
        "that lets go of the GIL, or in another process"
        for _, said in found[:_MOST_NAMED]
    ]
