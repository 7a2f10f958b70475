"""``fastsim calibrate`` with metrics instead of traces."""

import hashlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastsim.errors import FileFormatError, InputError

if TYPE_CHECKING:
    from fastsim.model import ServiceModel


def is_metrics(names: Sequence[str]) -> bool:
    """Tell whether the one file that is named holds metrics of Prometheus."""
    from fastsim.load.tools import head_of
    from fastsim.load.tools.prometheus_series import is_prometheus

    path = Path(names[0])
    return len(names) == 1 and path.is_file() and is_prometheus(head_of(path))


def refuse_of_traces(given: Mapping[str, object]) -> None:
    """Refuse options that do nothing for metrics, rather than let them seem to.

    Raises
    ------
    InputError
        Naming the first one that was given.
    """
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name} does nothing to metrics", hint="it is of traces", where=name)


def of_metrics(
    path: Path, over_s: float | None, service: str | None, busy: float | None, loops: int
) -> "ServiceModel":
    """Fit the coarse model of a file of metrics; named after the file where nobody says how."""
    from fastsim.calibrate.from_metrics import model_from_metrics
    from fastsim.cli.output import progress
    from fastsim.load.tools.prometheus import read_metrics

    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror}", where=str(path)) from None
    with progress("fitting"):
        return model_from_metrics(
            read_metrics(data.decode("utf-8-sig", "replace"), str(path), over_s),
            service=service or path.stem,
            busy=busy,
            loops=loops,
            command=shlex.join(["fastsim", *sys.argv[1:]]),
            data_sha256=hashlib.sha256(data).hexdigest(),
        )
