"""What a new model is held against: an older one, and a recording that it was not fitted to."""

from pathlib import Path

from fastsim.calibrate.build import build_model
from fastsim.calibrate.model_diff import Drift, ModelDiff, diff_models
from fastsim.calibrate.requests import RequestSet
from fastsim.errors import NotEnoughDataError
from fastsim.model import ServiceModel
from fastsim.report.findings import comparison_sentence
from fastsim.report.layout import aligned, labelled
from fastsim.report.wording import WORDS, clean, duration, plural, share, signed_percent
from fastsim.result import Comparison
from fastsim.twin import LiveSample, compare, simulate_live
from fastsim.twin.live import Mode
from fastsim.yaml_source import parse_yaml, read_text

REPLICATIONS = 40
_LISTED = 12
_REASONS = 4
_WORDS = {"new": "is new", "gone": "is gone"}


def read_older(path: Path) -> ServiceModel:
    """Read the model to compare with.

    Raises
    ------
    FileFormatError
        When the file is missing or no model.
    """
    return parse_yaml(read_text(path), ServiceModel, name=str(path))


def compare_beside(model: ServiceModel, live: LiveSample, seed: int) -> Comparison:
    """Compare the model with a recording by simulating what that was asked."""
    mode: Mode = "free" if live.sampled else "arrival replay"
    found = simulate_live(model, live, mode=mode, replications=REPLICATIONS, seed=seed, jobs=None)
    return compare(found, live, mode=mode, view="server")


def against_lines(comparison: Comparison, path: Path) -> list[str]:
    """Say whether the twin foretells a recording that it was not fitted to."""
    found = f"{WORDS[comparison.verdict]}: {comparison_sentence(comparison)}"
    text = f"{found}; fastsim compare has the table"
    return labelled("Against", f"{clean(str(path))}: {text}")


def reasons(model: ServiceModel, requests: RequestSet) -> list[str]:
    """Say which steps of a live recording differ from the model's; nothing without timelines."""
    if not requests.recorded.any():
        return []
    try:
        recorded = build_model(requests)
    except NotEnoughDataError:
        return []
    found = diff_models(model, recorded)
    if not found.drifts:
        return [
            (
                f"none of {plural(found.compared, 'value')} of its steps differs for sure: what "
                "differs is how requests wait for each other, or what the recorder does not see"
            )
        ]
    return [_reason(drift) for drift in found.drifts[:_REASONS]]


def _reason(drift: Drift) -> str:
    name = f"{drift.place} {drift.step}".rstrip()
    if drift.before is None or drift.after is None:
        return f"{name} is {'not in the model' if drift.what == 'new' else 'not in the recording'}"
    written = share if drift.what == "share" else duration
    return (
        f"{name}: {drift.what} {written(drift.before)} in the model, {written(drift.after)} live "
        f"({signed_percent(drift.ratio - 1.0)})"
    )


def drift_lines(older: ServiceModel, model: ServiceModel, path: Path) -> list[str]:
    """Say what changed since an older model, largest change first."""
    found = diff_models(older, model)
    if not found.drifts:
        nothing = f"none of {plural(found.compared, 'value')} changed since {clean(str(path))}"
        return labelled("Drift", nothing)
    changed = sum(drift.error is not None for drift in found.drifts)
    text = f"{changed} of {plural(found.compared, 'value')} changed since {clean(str(path))}"
    lines = labelled("Drift", text + _structure(found))
    rows = [_row(drift) for drift in found.drifts[:_LISTED]]
    lines += aligned(rows, "<><", first_wide=True)
    left = len(found.drifts) - _LISTED
    return lines + ([f"  and {left} more"] if left > 0 else [])


def _structure(found: ModelDiff) -> str:
    other = sum(drift.error is None for drift in found.drifts)
    if not other:
        return ""
    return f", {plural(other, 'step or path' if other == 1 else 'steps or path')} came or went"


def _row(drift: Drift) -> list[str]:
    name = f"{clean(drift.place)} {clean(drift.step)}".rstrip()
    if drift.before is None or drift.after is None:
        return [name, "", _WORDS[drift.what]]
    written = share if drift.what == "share" else duration
    values = f"{drift.what} {written(drift.before)} to {written(drift.after)}"
    error = f"±{drift.error:.0%}".replace("%", " %") if drift.error is not None else ""
    return [name, values, f"{signed_percent(drift.ratio - 1.0)} {error}".rstrip()]
