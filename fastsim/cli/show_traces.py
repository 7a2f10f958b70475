"""Traces as an account: what was read, what was left out and why, what the requests did."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from fastsim.calibrate.readers import Account
    from fastsim.calibrate.requests import RequestSet
    from fastsim.collector.account import ProcessAccount
    from fastsim.spans import Span


def show_traces(path: str, *, service: str | None, as_json: bool) -> None:
    """Print the account of trace files and a table of endpoints.

    Raises
    ------
    InputError
        When the files cannot be read as traces, or the service is not in them.
    """
    from fastsim.calibrate.blocking import blocking_lines
    from fastsim.calibrate.readers import open_traces
    from fastsim.calibrate.requests import collect_requests
    from fastsim.cli.output import print_json, stdout_console
    from fastsim.cli.show_loop import blocking_table, loop_lines, taken_lines
    from fastsim.cli.show_processes import account_lines, process_lines, recorded_account
    from fastsim.errors import InputError, NotEnoughDataError, UnknownNameError
    from fastsim.spans import SpanKind

    servers: Counter[str] = Counter()

    def counted(spans: "Iterable[Span]") -> "Iterator[Span]":
        for span in spans:
            if span.kind is SpanKind.SERVER:
                servers[span.service] += 1
            yield span

    source = open_traces([path])
    requests: RequestSet | None = None
    remark = ""
    try:
        requests = collect_requests(counted(source), service=service)
    except NotEnoughDataError as error:
        remark = error.message
    except UnknownNameError:
        raise
    except InputError as error:
        if path == "-" or not servers:
            raise
        # Several services are no mistake here: show the busiest and name the others.
        remark = error.message
        source, chosen = open_traces([path]), servers.most_common(1)[0][0]
        requests = collect_requests(source, service=chosen)
    rows = [] if requests is None else _endpoint_rows(requests)
    account = recorded_account(path)
    if as_json:
        answer = _as_json(source.account, servers, requests, rows, remark)
        print_json(answer | _recorder_as_json(account, requests))
        return
    console = stdout_console()
    for line in _account_lines(source.account, servers, requests, remark):
        console.print(line)
    if account is not None:
        for line in account_lines(account):
            console.print(line)
    if requests is not None:
        for line in process_lines(requests.instances):
            console.print(line)
        console.print(_table(rows))
        for line in (*loop_lines(requests.loop_series), *taken_lines(requests)):
            console.print(line)
        worst = blocking_lines(requests)
        if worst:
            console.print(blocking_table(worst))


def _account_lines(
    account: "Account", servers: Counter[str], requests: "RequestSet | None", remark: str
) -> Iterator[str]:
    from fastsim.report.wording import clean, count, plural

    for file in account.files:
        outcome = f"left out: {file.refused}" if file.refused else ""
        reasons = [f"{count(n)} × {reason.value}" for reason, n in sorted(file.skipped.items())]
        skipped = f", skipped {', '.join(reasons)}" if reasons else ""
        kept = (
            f"{file.format}, {plural(file.spans_read, 'span')} read, {count(file.spans_kept)} kept"
        )
        yield f"{clean(file.name)}: {clean(outcome or kept + skipped)}"
    listing = ", ".join(f"{clean(name) or '(no name)'} ({count(n)})" for name, n in servers.items())
    yield f"services with server spans: {listing or 'none'}"
    if remark:
        yield clean(remark)
    if requests is not None:
        yield f"{clean(requests.service) or '(no name)'}:"
        yield from (f"  {clean(line)}" for line in requests.account.summary().splitlines())


def _endpoint_rows(requests: "RequestSet") -> list[dict[str, object]]:
    """Return one row per endpoint, the most used first."""
    import numpy as np

    steps, step_s, recorded = _steps(requests)
    rows: list[dict[str, object]] = []
    for index, name in enumerate(requests.endpoints):
        chosen = requests.endpoint == index
        number = int(chosen.sum())
        p50_s, p95_s = np.percentile(requests.duration_ns[chosen], [50, 95]) / 1e9
        each = recorded[index]
        rows.append(
            {
                "endpoint": name,
                "requests": number,
                "p50_s": float(p50_s),
                "p95_s": float(p95_s),
                "error_ratio": float(requests.failed[chosen].mean()),
                "with_timeline": each,
                "steps_per_request": {k: n / each for k, n in sorted(steps[index].items())},
                "mean_s_by_kind": {k: s / each for k, s in sorted(step_s[index].items())},
            }
        )
    return sorted(rows, key=lambda row: (-int(str(row["requests"])), str(row["endpoint"])))


def _steps(
    requests: "RequestSet",
) -> tuple[dict[int, Counter[str]], dict[int, defaultdict[str, float]], Counter[int]]:
    """Return steps and seconds by endpoint and kind, and requests with a timeline."""
    steps: dict[int, Counter[str]] = defaultdict(Counter)
    step_s: dict[int, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    recorded: Counter[int] = Counter()
    for row, timeline in requests.timelines():
        endpoint = int(requests.endpoint[row])
        recorded[endpoint] += 1
        for kind, wall_s in zip(timeline.kind, timeline.wall_s, strict=True):
            steps[endpoint][kind.value] += 1
            step_s[endpoint][kind.value] += wall_s
    return steps, step_s, recorded


def _table(rows: list[dict[str, object]]) -> "Table":
    from rich import box
    from rich.table import Table

    from fastsim.report.wording import clean, count, duration, share

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("endpoint", overflow="fold")
    for name in ("requests", "p50", "p95", "errors"):
        table.add_column(name, justify="right")
    table.add_column("steps per request, mean time", overflow="fold")
    for row in rows:
        per_request, time_s = row["steps_per_request"], row["mean_s_by_kind"]
        steps = "no timeline"
        if isinstance(per_request, dict) and isinstance(time_s, dict) and per_request:
            steps = ", ".join(f"{k} {n:.3g}× {duration(time_s[k])}" for k, n in per_request.items())
        p50_s, p95_s = float(str(row["p50_s"])), float(str(row["p95_s"]))
        table.add_row(
            clean(str(row["endpoint"])),
            count(int(str(row["requests"]))),
            duration(p50_s),
            duration(p95_s),
            share(float(str(row["error_ratio"]))),
            steps,
        )
    return table


def _as_json(
    account: "Account",
    servers: Counter[str],
    requests: "RequestSet | None",
    rows: list[dict[str, object]],
    remark: str,
) -> dict[str, object]:
    return {
        "kind": "traces",
        "files": [
            {
                "name": file.name,
                "format": file.format,
                "spans_read": file.spans_read,
                "spans_kept": file.spans_kept,
                "skipped": {reason.value: n for reason, n in sorted(file.skipped.items())},
                "refused": file.refused,
            }
            for file in account.files
        ],
        "server_spans": dict(servers),
        "service": None if requests is None else requests.service,
        "requests": 0 if requests is None else len(requests),
        "remark": remark,
        "endpoints": rows,
        "event_loop": None if requests is None else _loop(requests),
    }


def _loop(requests: "RequestSet") -> dict[str, object]:
    from fastsim.calibrate.blocking import blocking_lines
    from fastsim.calibrate.taken import fit_taken
    from fastsim.cli.show_loop import loop_as_json

    return loop_as_json(requests.loop_series, blocking_lines(requests), fit_taken(requests))


def _recorder_as_json(
    account: "ProcessAccount | None", requests: "RequestSet | None"
) -> dict[str, object]:
    from dataclasses import asdict

    from fastsim.cli.show_processes import process_facts

    instances = () if requests is None else requests.instances
    return {
        "processes": [process_facts(instance) for instance in instances],
        "recorder": None if account is None else asdict(account),
    }
