"""The schedule: every request of a run and the moment it is due, fixed before sending.

Drawing, saving and reading back. The driver sends a schedule, the twin can simulate the
same one. Draws come from separate streams, so that a change of the rate keeps the order of
endpoints and a longer run starts with the shorter one's requests.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from fastsim.bursts import Bursts
from fastsim.errors import FileFormatError, InputError, UnknownNameError
from fastsim.load.arrivals import Jumps, Rates
from fastsim.load.course import Course, Stretch
from fastsim.load.source import Source
from fastsim.load.template import Template
from fastsim.load.traffic_file import REQUEST_TARGET, Method, Mix
from fastsim.model import Part
from fastsim.streams import stream
from fastsim.yaml_source import write_new

Arrivals = Literal["poisson", "uniform", "source"]
MAX_REQUESTS = 2_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """What the requests of one mix entry have in common."""

    endpoint: str
    method: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Requests in the order they are due.

    Parameters
    ----------
    at_s : float array, shape (n,)
        Seconds from the start of sending, not decreasing, below ``warmup_s + duration_s``.
    target : int array, shape (n,)
        Index into ``targets``.
    path, body
        The concrete request, one entry per request.
    warmup_s
        Requests due before this moment are sent but not counted.
    duration_s
        The measured time, after the warm-up.
    """

    seed: int
    rate_per_s: float
    duration_s: float
    warmup_s: float
    arrivals: Arrivals
    targets: tuple[Target, ...]
    at_s: NDArray[np.float64]
    target: NDArray[np.int64]
    path: tuple[str, ...]
    body: tuple[str | None, ...]
    course: Course | None = None
    """The rate over time, around ``rate_per_s`` in the mean."""

    def __len__(self) -> int:
        return len(self.at_s)

    def to_json(self) -> str:
        """Return the schedule as JSON text; the same schedule gives the same bytes."""
        value = {
            "kind": "schedule",
            "version": 1,
            "seed": self.seed,
            "rate_per_s": self.rate_per_s,
            "duration_s": self.duration_s,
            "warmup_s": self.warmup_s,
            "arrivals": self.arrivals,
            "phases": [] if self.course is None else list(map(asdict, self.course.stretches)),
            "targets": [
                {"endpoint": t.endpoint, "method": t.method, "headers": dict(t.headers)}
                for t in self.targets
            ],
            "at_s": self.at_s.tolist(),
            "target": self.target.tolist(),
            "path": self.path,
            "body": self.body,
        }
        return json.dumps(value, separators=(",", ":"))

    def save(self, path: Path, *, force: bool = False) -> None:
        """Write the schedule as JSON.

        Raises
        ------
        StoreError
            When the file exists and ``force`` is not set, or cannot be written.
        """
        write_new(path, self.to_json() + "\n", force=force)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a saved schedule.

        Raises
        ------
        FileFormatError
            When the file is missing, torn, or not a schedule.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileFormatError(f"cannot read the schedule: {error}", where=str(path)) from None
        return cls.from_json(text, where=str(path))

    @classmethod
    def from_json(cls, text: str, *, where: str | None = None) -> Self:
        """Read a schedule from JSON text.

        Raises
        ------
        FileFormatError
            When the text is torn or not a schedule.
        """
        hint = "write one with fastsim load --save-schedule"
        try:
            file = _ScheduleFile.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            problem = f"{place}: {first['msg']}" if place else first["msg"]
            raise FileFormatError(f"not a schedule: {problem}", hint=hint, where=where) from None
        return cls(
            seed=file.seed,
            rate_per_s=file.rate_per_s,
            duration_s=file.duration_s,
            warmup_s=file.warmup_s,
            arrivals=file.arrivals,
            targets=tuple(
                Target(t.endpoint, t.method, tuple(t.headers.items())) for t in file.targets
            ),
            at_s=np.array(file.at_s, dtype=np.float64),
            target=np.array(file.target, dtype=np.int64),
            path=tuple(file.path),
            body=tuple(file.body),
            course=file.course(),
        )


class _TargetFile(Part):
    endpoint: str
    method: Method
    headers: dict[str, str] = Field(default_factory=dict)


class _StretchFile(Part):
    name: str
    start_s: float = Field(ge=0.0, allow_inf_nan=False)
    end_s: float = Field(gt=0.0, allow_inf_nan=False)
    begins: float = Field(ge=0.0, allow_inf_nan=False)
    ends: float = Field(ge=0.0, allow_inf_nan=False)
    mix: dict[str, float] = Field(default_factory=dict)


class _ScheduleFile(Part):
    kind: Literal["schedule"]
    version: Literal[1]
    seed: int = Field(ge=0)
    rate_per_s: float = Field(gt=0.0, allow_inf_nan=False)
    duration_s: float = Field(gt=0.0, allow_inf_nan=False)
    warmup_s: float = Field(ge=0.0, allow_inf_nan=False)
    arrivals: Arrivals
    phases: list[_StretchFile] = Field(default_factory=list)
    targets: list[_TargetFile] = Field(min_length=1)
    at_s: list[float] = Field(max_length=MAX_REQUESTS)
    target: list[int]
    path: list[str]
    body: list[str | None]

    def course(self) -> Course | None:
        """Return the phases, if there are any."""
        stretches = tuple(Stretch(**each.model_dump()) for each in self.phases)
        return Course(stretches) if stretches else None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not len(self.at_s) == len(self.target) == len(self.path) == len(self.body):
            raise ValueError("at_s, target, path and body must have the same length")
        at_s = np.array(self.at_s, dtype=np.float64)
        within = np.all((at_s >= 0.0) & (at_s < self.warmup_s + self.duration_s))
        if not within or np.any(np.diff(at_s) < 0.0):
            raise ValueError("at_s must not decrease and must lie within the run")
        if any(not 0 <= index < len(self.targets) for index in self.target):
            raise ValueError(f"target must lie between 0 and {len(self.targets) - 1}")
        for path in self.path:
            if REQUEST_TARGET.fullmatch(path) is None:
                raise ValueError(f"path {path!r} cannot be sent")
        return self


def draw_schedule(
    mix: Mix,
    *,
    rate_per_s: float,
    duration_s: float,
    warmup_s: float = 0.0,
    seed: int = 1,
    arrivals: Arrivals = "poisson",
    course: Course | None = None,
    bursts: Bursts | None = None,
    source: Source | None = None,
    prefix: str = "",
    evenly_mixed: bool = False,
) -> Schedule:
    """Draw every request of a run.

    Parameters
    ----------
    course
        The rate over time, around ``rate_per_s`` in the mean; it gives the duration.
    bursts
        Clusters of requests.
    source
        What says when requests come, at ``rate_per_s`` in the mean, and for which endpoints of the
        mix.
    prefix
        Put before every path, for a service that does not sit at the root of its host.
    evenly_mixed
        Have every entry of the mix as often as its share asks for, but for one request; their
        order is drawn.

    Raises
    ------
    InputError
        When rate or duration is not positive or the run has more than ``MAX_REQUESTS``.
    """
    if course is not None:
        duration_s = course.duration_s
    if source is not None and source.length_s is not None:
        duration_s = source.length_s
    _check_size(rate_per_s, duration_s, warmup_s, seed)
    times, targets, *numbers = np.random.SeedSequence(seed).spawn(2 + len(mix))
    came = None
    if source is not None:
        came = source.arrivals(rate_per_s, duration_s, seed).warmed_up(warmup_s, duration_s)
        at_s, arrivals = came.at_s + warmup_s, "source"
    else:
        rates = Rates.of(rate_per_s, duration_s, warmup_s=warmup_s, course=course)
        if bursts is not None:
            rates = rates.jumping(Jumps.by_hand(bursts), stream(seed, "bursts"))
        at_s = rates.arrivals(np.random.default_rng(times), evenly=arrivals == "uniform")
    shares = np.cumsum([entry.share for entry in mix])
    chosen = np.random.default_rng(targets)
    if evenly_mixed:
        u = (chosen.permutation(len(at_s)) + chosen.random()) / max(len(at_s), 1)
    else:
        u = chosen.random(len(at_s))
    # Rounding may leave the last cumulative share a hair below 1.
    target = np.minimum(np.searchsorted(shares, u, side="right"), len(mix) - 1)
    if came is not None:
        endpoints = [entry.endpoint for entry in mix]
        for name in came.names:
            if name not in endpoints:
                raise UnknownNameError("endpoint", name, endpoints, where="source")
        said = came.in_terms_of(endpoints)
        target = np.where(said < 0, target, said)
    path: list[str] = [""] * len(at_s)
    body: list[str | None] = [None] * len(at_s)
    for index, (entry, number) in enumerate(zip(mix, numbers, strict=True)):
        rows = np.flatnonzero(target == index).tolist()
        rng = np.random.default_rng(number)
        for row, (filled, content) in zip(
            rows, _fill(entry.path, entry.body, len(rows), rng), strict=True
        ):
            path[row], body[row] = prefix + filled, content
    return Schedule(
        seed=seed,
        # Floats, whatever was passed: the same schedule must give the same bytes.
        rate_per_s=float(rate_per_s),
        duration_s=float(duration_s),
        warmup_s=float(warmup_s),
        arrivals=arrivals,
        targets=tuple(Target(entry.endpoint, entry.method, entry.headers) for entry in mix),
        at_s=at_s,
        target=target.astype(np.int64),
        path=tuple(path),
        body=tuple(body),
        course=course,
    )


def _check_size(rate_per_s: float, duration_s: float, warmup_s: float, seed: int) -> None:
    if not (rate_per_s > 0.0 and math.isfinite(rate_per_s)):
        raise InputError("the rate must be above 0", hint="write it like 200/s")
    if not (duration_s > 0.0 and math.isfinite(duration_s)):
        raise InputError("the duration must be above 0", hint="write it like 30s")
    if not (warmup_s >= 0.0 and math.isfinite(warmup_s)):
        raise InputError("the warm-up must not be negative", hint="write it like 2s")
    if seed < 0:
        raise InputError(f"seed {seed} is negative", hint="use 0 or above")
    expected = rate_per_s * (warmup_s + duration_s)
    if expected > MAX_REQUESTS:
        raise InputError(
            f"this would be {expected:.3g} requests",
            hint=f"lower rate or duration: one run sends at most {MAX_REQUESTS}",
        )


def _fill(
    path: Template, body: Template | None, count: int, rng: np.random.Generator
) -> list[tuple[str, str | None]]:
    ranges = path.ranges + (body.ranges if body else ())
    low = np.array([r.low for r in ranges], dtype=np.int64)
    size = np.array([r.high - r.low + 1 for r in ranges], dtype=np.int64)
    steps = np.floor(rng.random((count, len(ranges))) * size).astype(np.int64)
    rows: Sequence[list[int]] = (low + np.minimum(steps, size - 1)).tolist()
    split = len(path.ranges)
    return [(path.fill(row[:split]), body.fill(row[split:]) if body else None) for row in rows]
