"""Traffic as monitoring saw it: phases from a file of rates over time.

``day.csv`` repeats it, ``day.csv x2`` with twice the rates, ``day.csv in 10min`` in less time:
every rate lasts for its part of that. Of more steps than are reported one by one, neighbours are
put together.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastsim.errors import FileFormatError
from fastsim.load.course import MOST_PHASES
from fastsim.load.history import read_points, summed
from fastsim.load.source import scaled_file
from fastsim.phases import Level, Phase, parse_phases

FloatArray = npt.NDArray[np.float64]

_DAY_S = 86_400.0
_FILE = re.compile(r".+?\.(?:csv|tsv|json)(?:\s+[x×].*|\s+in\s.*)?", re.IGNORECASE)


def phases_of(text: str) -> list[Phase]:
    """Read phases, or a file of rates over time.

    Raises
    ------
    InputError
        When it is neither.
    FileFormatError
        When the file holds no rates, or too few.
    """
    if _FILE.fullmatch(text.strip()) is None:
        return parse_phases(text)
    found = scaled_file(text, hint="write it like 'day.csv x2 in 10min'")
    return file_phases(found.path, times=found.times, length_s=found.length_s)


def file_phases(path: Path, *, times: float = 1.0, length_s: float | None = None) -> list[Phase]:
    """Return the rates of a file as phases, named by when they began (UTC).

    Parameters
    ----------
    times
        What every rate is multiplied by.
    length_s
        How long all of it lasts, seconds; as long as the file covers by default.

    Raises
    ------
    FileFormatError
        When the file holds no rates, or fewer than two.
    """
    points, counts = read_points(path)
    begins, values = summed(points)
    if len(begins) < 2:
        raise FileFormatError(f"{path} has fewer than two rates", where=str(path))
    steps = np.diff(begins)
    step_s = float(np.median(steps))
    steps = np.append(steps, step_s)
    rates = values / (steps if counts else 1.0)
    if not rates.sum() > 0.0:
        raise FileFormatError(f"{path} has no traffic: every rate is 0", where=str(path))
    shrunk = 1.0 if length_s is None else length_s / float(steps.sum())
    form = "%H:%M" if begins[-1] - begins[0] < _DAY_S else "%m-%d %H:%M"
    found = []
    for rows in np.array_split(np.arange(len(begins)), min(MOST_PHASES, len(begins))):
        length = float(steps[rows].sum())
        rate = times * float(rates[rows] @ steps[rows]) / length
        began = datetime.fromtimestamp(float(begins[rows[0]]), UTC).strftime(form)
        found.append(Phase(name=began, length=length * shrunk, rate=Level(rate, rate, False)))
    return found
