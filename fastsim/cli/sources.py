"""``--source`` and ``traffic.source``: requests of a recording, or of a function."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fastsim.errors import InputError

if TYPE_CHECKING:
    from fastsim.cli.question import Question
    from fastsim.load.source import Recorded, Source, SourceText

_FLAG = "--source"


def source_of(question: "Question") -> "Source | None":
    """Read what the traffic of a question names as its source.

    Raises
    ------
    InputError
        When there is no such recording or function, or the scenario says the same differently.
    """
    text = question.scenario.traffic.source
    if text is None:
        return None
    names = [endpoint.name for endpoint in question.model.endpoints]
    source = read_source(text, names, folder=question.folder)
    traffic = question.scenario.traffic
    if source.length_s is not None:
        said = {"duration": "duration" in traffic.model_fields_set, "mix": bool(traffic.mix)}
        given = [name for name, is_said in said.items() if is_said]
        if given:
            raise InputError(
                f"the recording has its own {given[0]}",
                hint=f"leave {given[0]} out; '{text} in 10min' repeats it in another time",
                where=_FLAG,
            )
    return source


def read_source(text: str, names: Sequence[str], *, folder: Path = Path()) -> "Source":
    """Read a source of requests.

    Parameters
    ----------
    names
        Endpoints that can be asked for; what else was recorded is left out, which is said.
    folder
        Where its file is looked for.

    Raises
    ------
    InputError
        When there is no such recording or function.
    """
    from fastsim.load.source import Own

    try:
        asked = check_source_text(text, folder=folder)
        if asked.own:
            return Own(str(folder / asked.file))
        recorded = _recorded(folder / asked.path, tuple(names))
        return recorded.scaled(asked.times, asked.length_s)
    except InputError as error:
        error.where = error.where or _FLAG
        raise


def check_source_text(text: str, *, folder: Path = Path()) -> "SourceText":
    """Tell, without reading or running it, whether there is such a source.

    Raises
    ------
    InputError
        When there is none.
    """
    from fastsim.errors import FileFormatError
    from fastsim.load.source import Own, parse_source

    asked = parse_source(text)
    if asked.own:
        Own(str(folder / asked.file)).check()
    elif not (folder / asked.path).exists():
        where = str(folder / asked.path)
        raise FileFormatError(
            f"{where} does not exist", hint="check the path of the recording", where=where
        )
    return asked


@lru_cache(maxsize=1)
def _recorded(path: Path, names: tuple[str, ...]) -> "Recorded":
    """Return the requests of a recording for known endpoints."""
    import numpy as np

    from fastsim.calibrate.build import read_requests
    from fastsim.calibrate.exposure import watched_times_s
    from fastsim.calibrate.growth import stand_for
    from fastsim.calibrate.unseen import with_unseen
    from fastsim.cli.output import note, progress
    from fastsim.load.source import Arrived, Recorded

    with progress("reading traces"):
        requests = read_requests([path], skip_first_s=0.0)
    code = np.array([names.index(n) if n in names else -1 for n in requests.endpoints], np.int64)
    endpoint = code[requests.endpoint]
    known = np.flatnonzero(endpoint >= 0)
    if len(known) < 2:
        there = ", ".join(sorted(requests.endpoints)[:5])
        raise InputError(
            f"{path} holds no requests for what the service is asked for",
            hint=f"recorded: {there}; known: {', '.join(names[:5])}",
            where=str(path),
        )
    if len(known) < len(endpoint):
        others = len(endpoint) - len(known)
        note(f"{others} of {len(endpoint)} recorded requests are for other endpoints: left out")
    watched_s = watched_times_s(requests)
    rows = known[np.argsort(watched_s[known], kind="stable")]
    at_s = watched_s[rows] - watched_s[rows[0]]
    every = with_unseen(at_s, endpoint[rows], stand_for(requests)[rows], seed=0, most=None)
    # The last one ends it: after it comes, as far as is known, a usual gap.
    span_s = float(every.at_s[-1] - every.at_s[0])
    length_s = span_s * len(every.at_s) / (len(every.at_s) - 1)
    came = Arrived(every.at_s - every.at_s[0], every.endpoint, names)
    return Recorded(came, max(length_s, 1e-9))
