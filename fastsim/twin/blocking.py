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
        steps = [
            step
            for variant in endpoint.variants
            for step in all_steps(variant.steps, of_threads=False)
            if isinstance(step, CpuStep)
        ]
        longest = max(steps, key=lambda step: mean(step.time), default=None)
        if longest is not None and mean(longest.time) >= LONG_S:
            where = f" ({longest.where})" if longest.where else ""
            held = format_duration(float(f"{mean(longest.time):.3g}"), 3)
            found.append(
                (mean(longest.time), f"{endpoint.name} holds the event loop for {held}{where}")
            )
    found.sort(reverse=True)
    return [
        f"{said} at a time: every other request of its process waits for that; run it in a thread "
        "that lets go of the GIL, or in another process"
        for _, said in found[:_MOST_NAMED]
    ]
