"""The processes of a recording: what they ran on, and what became of their requests."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fastsim.cli.recording_account import because

if TYPE_CHECKING:
    from fastsim.calibrate.requests import Instance
    from fastsim.collector.account import ProcessAccount
    from fastsim.spans import AttributeValue

_NAMED = ("fastapi", "starlette", "uvicorn", "gunicorn", "uvloop", "httptools", "fastsim")


def process_lines(instances: "tuple[Instance, ...]") -> Iterator[str]:
    """Describe the processes, those that are alike once."""
    from fastsim.report.wording import clean, count

    alike: Counter[tuple[str, ...]] = Counter()
    for instance in instances:
        facts = process_facts(instance)
        if facts:
            alike[tuple(_describe(facts))] += 1
    for described, number in alike.items():
        processes = "1 process" if number == 1 else f"{count(number)} processes"
        yield f"{processes}: {clean(', '.join(described))}"


def process_facts(instance: "Instance") -> "dict[str, AttributeValue]":
    """Return what the recorder noted, by short name; empty for other tools' traces."""
    prefix = "fastsim.process."
    facts = {name.removeprefix(prefix): value for name, value in instance.facts.items()}
    python = instance.resource.get("process.runtime.version")
    return facts | {"python": python} if facts and python else facts


def _describe(facts: "Mapping[str, AttributeValue]") -> Iterator[str]:
    from fastsim.report.wording import plural

    yield f"one of {plural(_whole(facts.get('workers'), 1), 'worker')}"
    if facts.get("loop"):
        yield str(facts["loop"])
    cores = _whole(facts.get("cores"), 1)
    machine = _whole(facts.get("machine_cores"), cores)
    yield plural(cores, "core") if machine <= cores else f"{cores} of {machine} cores"
    if isinstance(facts.get("cpu_quota"), (int, float)):
        yield f"container limit {facts['cpu_quota']:g} cores"
    yield f"{_whole(facts.get('thread_tokens'), 40)} threads"
    if facts.get("http"):
        yield str(facts["http"])
    for name, text in (
        ("limit_concurrency", "at most {} requests at once"),
        ("backlog", "backlog {}"),
        ("keep_alive_s", "keep-alive {} s"),
        ("limit_max_requests", "restarts after {} requests"),
    ):
        if facts.get(name) is not None:
            yield text.format(facts[name])
    if facts.get("python"):
        gil = "" if facts.get("gil", True) else " without GIL"
        yield f"Python {facts['python']}{gil}"
    versions = facts.get("versions")
    if isinstance(versions, list):
        known = dict(str(item).partition("==")[::2] for item in versions)
        yield from (f"{name} {known[name]}" for name in _NAMED if name in known)
    ratio = facts.get("sample_ratio")
    if isinstance(ratio, (int, float)) and ratio < 1:
        yield f"{ratio:.3g} of the requests sampled"
    if facts.get("opentelemetry") is False:
        yield "without OpenTelemetry"


def _whole(value: "AttributeValue", default: int) -> int:
    return value if isinstance(value, int) else default


def recorded_account(path: str) -> "ProcessAccount | None":
    """Return what the recorder counted beside the traces, if it did."""
    from fastsim.collector.account import add_up, read_accounts

    directory = Path(path)
    if not directory.is_dir():
        return None
    accounts = read_accounts(directory)
    return add_up(accounts.values()) if accounts else None


def account_lines(account: "ProcessAccount") -> Iterator[str]:
    """Say how many requests there were and what became of them."""
    from fastsim.report.wording import clean, count

    yield (
        f"the recorder saw {count(account.seen)} requests, recorded {count(account.recorded)}, "
        f"wrote {count(account.written)}, dropped {count(account.dropped_total)}"
        f"{because(account.dropped)}"
    )
    if account.problem:
        yield f"the recorder said: {clean(account.problem)}"
