"""The steps of one path of a model as a tree in 80 columns: times, what they rest on, how sure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fastsim.distributions import mean, percentile
from fastsim.means import mean_count, step_mean_s
from fastsim.model import (
    AcquireStep,
    CallStep,
    ChooseStep,
    CpuStep,
    Distribution,
    LimitStep,
    ParallelStep,
    ReleaseStep,
    RepeatStep,
    RespondStep,
    Step,
    StreamStep,
    ThreadStep,
    UseStep,
    WaitStep,
)
from fastsim.program import Tokens
from fastsim.report.layout import columns
from fastsim.report.wording import UNKNOWN, clean, count, duration, share
from fastsim.twin.statistics import normal_quantile

HEAD = ("step", "median", "±", "p95", "share", "n", "law")

_SIDE_BY_SIDE = {
    "all": "side by side",
    "first": "side by side, for the first",
    "none": "beside what follows",
}
_WEAK = 0.05
"""Doubt about a median, at 95 %, below which nothing is said."""
_MOSTLY = 0.9
"""Part of the times known as an interval only from which a law rests on little else."""


class _Row(NamedTuple):
    what: str
    law: Distribution | None = None
    mean_s: float | None = None
    """Seconds of latency; None where that is not known, as side by side."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A row, and the rows below it."""

    row: _Row
    below: "tuple[_Node, ...]" = ()


def step_lines(steps: Sequence[Step]) -> list[str]:
    """Return the steps of a path as lines of text.

    Beside each law stand its median and how far that may be off (95 %, where 5 % or more), its 95th
    percentile, its share of the mean latency, how many times it rests on, and its family: with an
    asterisk where no family describes the times and they were kept, with ``≤`` where hardly any is
    known better than as an upper bound.
    """
    latency_s = sum(map(step_mean_s, _before_response(steps)))
    rows: list[list[str]] = []
    responded = False
    for step in steps:
        for margin, row in _walk(_node(step)):
            part = ""
            if responded:
                part = "after"
            elif row.mean_s is not None and latency_s > 0.0:
                part = share(row.mean_s / latency_s)
            rows.append([margin + row.what, *_cells(row.law, part)])
        responded |= isinstance(step, RespondStep)
    return columns(HEAD, rows)


def notes(steps: Sequence[Step]) -> list[str]:
    """Return what the marks beside laws mean, of those that stand there."""
    laws = [row.law for step in steps for _, row in _walk(_node(step)) if row.law is not None]
    fits = [law.fit for law in laws if law.fit is not None]
    said = []
    if not all(fit.accepted for fit in fits):
        said.append("* no family describes these times; they are kept as they were seen")
    if any(fit.censored >= _MOSTLY for fit in fits):
        said.append("≤ hardly any of these times is known better than as an upper bound")
    return said


def _before_response(steps: Sequence[Step]) -> Sequence[Step]:
    for index, step in enumerate(steps):
        if isinstance(step, RespondStep):
            return steps[:index]
    return steps


def _walk(node: _Node, margin: str = "", below: str = "") -> Iterator[tuple[str, _Row]]:
    yield margin, node.row
    for number, child in enumerate(node.below, 1):
        last = number == len(node.below)
        yield from _walk(child, below + ("└ " if last else "├ "), below + ("  " if last else "│ "))


def _cells(law: Distribution | None, part: str) -> list[str]:
    if law is None:
        return ["", "", "", part, "", ""]
    fit = law.fit
    cells = [duration(percentile(law, 0.5)), "", duration(percentile(law, 0.95)), part or UNKNOWN]
    if fit is None:
        return [*cells, "", law.family]
    if fit.level_error is not None:
        doubt = normal_quantile() * min(fit.level_error, 1.0)
        cells[1] = share(round(doubt, 2)) if doubt >= _WEAK else ""
    mark = "*" if not fit.accepted else ""
    mark += "≤" if fit.censored >= _MOSTLY else ""
    return [*cells, count(fit.n), law.family + mark]


def _node(step: Step) -> _Node:
    """Return the row of a step, and those of what it holds."""
    node = _node_of(step)
    size: float = getattr(step, "size", 0.0)
    if not size:
        return node
    return replace(node, row=node.row._replace(what=f"{node.row.what}, size {size:g}"))


def _written(tokens: Tokens) -> tuple[_Node, ...]:
    """Return the rows of what a language model takes first, and for each token."""
    number = mean_count(tokens.output)
    rows = (
        _Row(f"{duration(tokens.first)} first", mean_s=tokens.first),
        _Row(f"{number:.3g} tokens of {duration(tokens.each)}", mean_s=number * tokens.each),
    )
    return tuple(map(_Node, rows))


def _node_of(step: Step) -> _Node:
    match step:
        case CpuStep():
            name = _named("cpu", step.where or step.label)
            name += f" ({share(step.blocking)} blocking)" if step.blocking else ""
            return _timed(name if step.gil else f"{name} (native)", step.time)
        case WaitStep():
            node = _timed(_named(step.kind.value, step.label or step.where), step.time)
            return node if step.tokens is None else replace(node, below=_written(step.tokens))
        case ThreadStep():
            name = step.where or step.label
            if step.off_gil is None:
                return _timed(_named("thread", name), step.cpu)
            parts = (_timed("code", step.cpu), _timed("waiting", step.off_gil))
            return _Node(_Row(_named("thread", name)), parts)
        case StreamStep():
            chunks = mean_count(step.chunks)
            name = _named(step.kind.value, step.label or step.where)
            inside = (
                _Row("wait", step.gap, chunks * mean(step.gap)),
                _Row("cpu", step.cpu, chunks * mean(step.cpu)),
            )
            return _Node(_Row(f"{name}, {chunks:.3g} chunks"), tuple(map(_Node, inside)))
        case ParallelStep():
            return _Node(
                _Row(_SIDE_BY_SIDE[step.join], mean_s=step_mean_s(step)),
                tuple(
                    _Node(_Row(f"{mean_count(branch.count):.3g} ×"), _unshared(branch.steps))
                    for branch in step.branches
                ),
            )
        case UseStep():
            return _Node(_Row(f"slot of {clean(step.resource)}"), tuple(map(_node, step.steps)))
        case CallStep():
            name = _named("in a thread", step.where or step.label)
            return _Node(_Row(name), tuple(map(_node, step.steps)))
        case RepeatStep():
            name = f"{mean_count(step.count):.3g} × in a row"
            return _Node(_Row(name, mean_s=step_mean_s(step)), _unshared(step.steps))
        case ChooseStep():
            ways = tuple(
                _Node(_Row(f"{share(way.share)} {clean(way.name)}".rstrip()), _unshared(way.steps))
                for way in step.ways
            )
            return _Node(_Row("one of", mean_s=step_mean_s(step)), ways)
        case LimitStep():
            return _Node(_Row(f"limit {clean(step.limit)}"))
        case AcquireStep() | ReleaseStep():
            return _Node(_Row(f"{step.do} {clean(step.resource)}"))
        case _:
            return _Node(_Row(step.do))


def _unshared(steps: Sequence[Step]) -> tuple[_Node, ...]:
    """Return steps that another holds, whose share of the time is not known by themselves."""
    return tuple(_without_share(_node(step)) for step in steps)


def _without_share(node: _Node) -> _Node:
    below = tuple(map(_without_share, node.below))
    return _Node(node.row._replace(mean_s=None), below)


def _timed(what: str, law: Distribution) -> _Node:
    return _Node(_Row(what, law, mean(law)))


def _named(what: str, name: str) -> str:
    return f"{what} {clean(name)}".rstrip()
