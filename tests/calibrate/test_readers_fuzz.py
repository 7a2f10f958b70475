"""Damaged trace files give fewer spans or a clear error, never anything else."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastsim import spans
from fastsim.calibrate.readers import Account, read_spans
from fastsim.calibrate.requests import collect_requests
from fastsim.calibrate.timeline import normalise
from fastsim.errors import FastSimError
from fastsim.step_columns import pack_rows
from tests.packing import pack_steps

Json = Any
ODD: list[Json] = [None, True, -1, 2**70, 0.5, 1e400, "", "x", "\ud800", [], [[]], {}, {"a": 1}]


def _value(value: object) -> Json:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


STEPS, NAMES = pack_steps(
    [
        ("cpu", "loop", 0, 10, 5, 0, 0, 0, "", "", 0),
        ("thread", "thread", 10, 10, 0, 1, 1, 0, "anyio", "a.py:f", 0),
        ("cpu", "loop", 20, 10, 5, 0, 0, 0, "", "", 0),
    ]
)


def _span(number: int) -> Json:
    attributes = {
        "http.request.method": "GET",
        "http.route": "/a",
        "http.response.status_code": 200,
        spans.FORMAT: spans.FORMAT_VERSION,
        spans.START_UNIX_NS: 1_700_000_000_000_000_000 + number,
        spans.START_CLOCK_NS: 5,
        spans.RESPONSE_NS: 25,
        spans.END_NS: 30,
        spans.STEPS: STEPS,
        spans.STEP_NAMES: NAMES,
        spans.RESOURCE_EVENTS: "acquire\tdb\t3\t5",
        spans.THREAD_CALLS: pack_rows([1, 1, 8, 4]),
        spans.REQUESTS_SEEN: number,
    }
    return {
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "name": "GET /a",
        "kind": 2,
        "startTimeUnixNano": str(1_700_000_000_000_000_000 + number),
        "endTimeUnixNano": str(1_700_000_000_000_000_030 + number),
        "attributes": [{"key": key, "value": _value(value)} for key, value in attributes.items()],
        "status": {},
    }


def _export(*numbers: int) -> Json:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    scope = {"scope": {"name": "fastsim"}, "spans": [_span(number) for number in numbers]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


DOCUMENTS = [_export(0, 1), _export(2), {"resourceLogs": []}]
FILE = "".join(json.dumps(document) + "\n" for document in DOCUMENTS).encode()


def use(path: Path) -> int:
    """Read, collect and normalise as calibration does; return how many spans were kept."""
    account = Account()
    try:
        requests = collect_requests(read_spans([path], account))
        for _, timeline in requests.timelines():
            normalise(timeline)
    except FastSimError as error:
        str(error).encode()  # every message can be printed
    account.summary().encode()
    for file in account.files:
        assert file.spans_read == file.spans_kept + file.spans_skipped
        assert min(file.skipped.values(), default=1) > 0
    return account.spans_kept


QUIET = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_the_undamaged_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(FILE)
    assert use(path) == 3


@QUIET
@given(data=st.data())
def test_damaged_bytes(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(FILE)
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content)))
        action = data.draw(st.sampled_from(["cut", "insert", "replace", "repeat"]))
        if action == "cut":
            del content[place : place + data.draw(st.integers(1, 400))]
        elif action == "insert":
            content[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        elif action == "replace":
            content[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
        else:
            content[place:place] = content[place : place + 300]
    path = tmp_path / "t.jsonl"
    path.write_bytes(content)
    use(path)


def test_every_cut_of_the_file_end(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    for length in range(0, len(FILE), 97):
        path.write_bytes(FILE[:length])
        assert use(path) <= 3


def _places(value: Json, path: tuple[Json, ...] = ()) -> Iterator[tuple[Json, ...]]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield (*path, key)
        yield from _places(item, (*path, key))


PLACES = list(_places(DOCUMENTS[:1]))


def _holder(document: Json, place: tuple[Json, ...]) -> Json:
    for key in place[:-1]:
        document = document[key]
    return document


def _save(path: Path, documents: list[Json], indent: int | None) -> None:
    path.write_text("\n".join(json.dumps(document, indent=indent) for document in documents))


@pytest.mark.parametrize("indent", [None, 1])
def test_every_key_dropped_or_of_a_wrong_type(indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    rng = random.Random(7)
    for place in PLACES[1:]:
        for odd in (..., *rng.sample(ODD, 2)):
            damaged = copy.deepcopy(DOCUMENTS[:1])
            holder = _holder(damaged, place)
            if odd is ...:
                del holder[place[-1]]
            else:
                holder[place[-1]] = odd
            _save(path, damaged, indent)
            assert use(path) <= 2


@QUIET
@given(data=st.data())
def test_parts_repeated_and_shuffled(data: st.DataObject, tmp_path: Path) -> None:
    damaged = copy.deepcopy(DOCUMENTS)
    for _ in range(data.draw(st.integers(1, 6))):
        places = list(_places(damaged))
        holder = _holder(damaged, data.draw(st.sampled_from(places)))
        if isinstance(holder, list) and holder:
            holder.append(copy.deepcopy(data.draw(st.sampled_from(holder))))
            data.draw(st.randoms(use_true_random=False)).shuffle(holder)
        elif isinstance(holder, dict) and holder:
            first, second = data.draw(st.tuples(*[st.sampled_from(sorted(holder))] * 2))
            holder[first], holder[second] = holder[second], holder[first]
    path = tmp_path / "t.json"
    _save(path, damaged, None)
    # A copy of a span that is damaged differently is another span.
    assert use(path) <= json.dumps(damaged).count('"traceId"')


def test_nesting_without_end(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    for deep in ("[" * 100_000, '{"a":' * 100_000):
        path.write_text('{"resourceSpans":' + deep)
        assert use(path) == 0
    inner = '{"arrayValue":{"values":[' * 300 + '{"intValue":1}' + "]}}" * 300
    line = json.dumps(_export(0)).replace('{"intValue": "200"}', inner)
    path.write_text(line)
    assert use(path) == 1
