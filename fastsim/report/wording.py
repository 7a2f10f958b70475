"""Numbers and names in words that people read, the same in every format.

Three significant digits, a unit on every number, a dash for what is not known. Sentences
that state a finding are in ``findings``.
"""

import math
import re
from collections.abc import Sequence

from fastsim.model import Constant, Distribution, Empirical, Mixture
from fastsim.result import CompareRow, Estimate
from fastsim.spans import StepKind
from fastsim.units import format_duration, format_rate

UNKNOWN = "–"
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
WORDS = {"agrees": "yes", "off": "NO", "cannot tell": "cannot tell"}
"""Whether twin and live agree, in a word that stands in a line of others."""
MARKS = {"agrees": "✓", "off": "✗", "cannot tell": "?"}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_RATIO_UNITS = ("1", "ratio", "share", "%", "")
_RATE_UNITS = ("1/s", "/s", "per_s")


def clean(text: str) -> str:
    """Replace control characters: a route or file name must not steer the reader's terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def duration(seconds: float | None) -> str:
    """Write seconds as, for example, ``20.1ms``."""
    if seconds is None or math.isnan(seconds):
        return UNKNOWN
    if math.isinf(seconds):
        return "∞"
    # 999.6 ms would be written as 1000ms; a unit of its own number reads better.
    return format_duration(float(f"{seconds:.3g}"), 3)


def share(ratio: float | None) -> str:
    """Write a ratio as, for example, ``9.3 %``; anything below 0.01 % but not 0 as such."""
    if ratio is None or not math.isfinite(ratio):
        return UNKNOWN
    percent = ratio * 100.0
    if 0.0 < percent < 0.01:
        return "<0.01 %"
    return f"{percent:.0f} %" if abs(percent) >= 99.95 else f"{percent:.3g} %"


def rate(per_second: float | None) -> str:
    """Write a rate as, for example, ``300/s``."""
    if per_second is None or not math.isfinite(per_second):
        return UNKNOWN
    return format_rate(float(f"{per_second:.3g}"))


def count(number: int) -> str:
    """Write a whole number in groups of three: ``18 204``."""
    return f"{number:,}".replace(",", " ")


def decimal(number: float) -> str:
    """Write a number without a unit: ``1.8``, ``160``."""
    return f"{number:.0f}" if abs(number) >= 10.0 else f"{number:.2g}"


def plural(number: int, noun: str) -> str:
    """Write ``1 request`` or ``18 204 requests``."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def signed_percent(ratio: float, unit: str = "%") -> str:
    """Write a relative difference as ``+4.2 %`` or ``−4.2 %``."""
    if not math.isfinite(ratio):
        return UNKNOWN
    percent = round(ratio * 100.0, 2 if unit == "pp" else 1)
    sign = "−" if percent < 0 else "+" if percent > 0 else "±"
    return f"{sign}{abs(percent):.{2 if unit == 'pp' else 1}f} {unit}"


def quantity(value: float | None, unit: str) -> str:
    """Write a value that carries its unit as text (``s``, ``ratio``, ``1/s``)."""
    if unit == "s":
        return duration(value)
    if unit in _RATIO_UNITS:
        return share(value)
    if unit in _RATE_UNITS:
        return rate(value)
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.3g} {clean(unit)}"


def interval(value: float, low: float | None, high: float | None, unit: str) -> str:
    """Write an interval in the unit of its value, ``(80.1–89)``; empty when not known."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    scale = 1.0
    if unit == "s":
        size = abs(float(f"{value:.3g}")) if math.isfinite(value) and value else abs(high)
        scale = next((step for step in (1.0, 1e-3, 1e-6, 1e-9) if size >= step), 1.0)
    elif unit in _RATIO_UNITS:
        scale = 0.01
    return f"({_plain(low / scale)}–{_plain(high / scale)})"


def estimate(found: Estimate) -> str:
    """Write a value with its interval: ``84ms (80.1–89)``."""
    bounds = interval(found.value, found.low, found.high, found.unit)
    return f"{quantity(found.value, found.unit)} {bounds}".rstrip()


def is_ratio(unit: str) -> bool:
    """Tell whether a unit means a share, whose error is a difference and not relative."""
    return unit in _RATIO_UNITS


def error_of(row: CompareRow) -> str:
    """Write how far the twin is from live, in per cent or (for ratios) percentage points."""
    return signed_percent(row.error, "pp" if is_ratio(row.unit) else "%")


def could_be(row: CompareRow) -> str:
    """Write the interval of a row's error: ``+94..+129 %``; a dash when nothing is known."""
    if row.error_low is None or row.error_high is None:
        return UNKNOWN
    unit = "pp" if is_ratio(row.unit) else "%"
    low, high = (_signed(bound, unit) for bound in (row.error_low, row.error_high))
    return f"{low}..{high} {unit}"


def _signed(ratio: float, unit: str) -> str:
    digits = 1 if unit == "pp" else 0
    number = round(ratio * 100.0, digits)
    sign = "−" if number < 0 else "+" if number > 0 else "±"
    return f"{sign}{abs(number):.{digits}f}"


def metric_name(metric: str) -> str:
    """Write ``p999`` as ``p99.9``."""
    return "p99.9" if metric == "p999" else clean(metric)


def kind_of(cause: str) -> str:
    """Return the step kind (or ``loop``, ``network``, ``other``) a cause of time belongs to."""
    name = cause.lower()
    first = re.split(r"[^a-z]+", name, maxsplit=1)[0]
    if first in {kind.value for kind in StepKind}:
        return "pool" if first in ("db", "http", "cache") and "pool" in name else first
    for word, kind in _CAUSE_WORDS:
        if word in name:
            return kind
    return "other"


_CAUSE_WORDS = (
    ("pool", "pool"),
    ("loop", "loop"),
    ("queue", "loop"),
    ("thread", "thread"),
    ("network", "network"),
    ("client", "network"),
    ("running", "cpu"),
    ("server", "cpu"),
    ("overhead", "cpu"),
)


def cause_name(cause: str) -> str:
    """Write a key such as ``pool_wait`` as words."""
    return clean(cause).replace("_", " ").strip() or "other"


def ordered_names(*groups: Sequence[str]) -> list[str]:
    """Return each name once, in the order of first appearance."""
    return list(dict.fromkeys(name for group in groups for name in group))


def distribution_parameters(distribution: Distribution) -> str:
    """Write the parameters of a distribution: ``median 20ms, sigma 0.4``."""
    parts: list[str] = []
    if isinstance(distribution, Mixture):
        total = sum(distribution.weights)
        parts = [
            f"{share(weight / total)} {part.family}({distribution_parameters(part)})"
            for weight, part in zip(distribution.weights, distribution.parts, strict=True)
        ]
    elif isinstance(distribution, Empirical):
        low, high = distribution.values[0], distribution.values[-1]
        parts = [f"{len(distribution.values)} points from {duration(low)} to {duration(high)}"]
        if distribution.tail is not None:
            beyond = distribution_parameters(distribution.tail)
            parts.append(f"{share(distribution.tail_share)} above it by pareto({beyond})")
    elif isinstance(distribution, Constant):
        parts = [duration(distribution.value)]
    else:
        for name in ("mean", "median", "scale"):
            if name in type(distribution).model_fields:
                parts.append(f"{name} {duration(getattr(distribution, name))}")
        for name in ("shape", "sigma", "tail"):
            if name in type(distribution).model_fields:
                parts.append(f"{name} {getattr(distribution, name):.3g}")
    if distribution.shift:
        parts.append(f"shift {duration(distribution.shift)}")
    return ", ".join(parts)


def _plain(number: float) -> str:
    text = f"{number:.3g}"
    return f"{float(text):.0f}" if "e" in text and abs(number) >= 1 else text
