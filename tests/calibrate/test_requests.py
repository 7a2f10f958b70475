"""Which spans are requests, and what each says."""

from typing import Any

import numpy as np
import pytest

from fastsim import spans
from fastsim.calibrate.requests import COUNTERS, RequestSet, collect_requests
from fastsim.errors import InputError, NotEnoughDataError, UnknownNameError
from fastsim.spans import Attributes, Span, SpanKind, StatusCode
from tests.packing import pack_steps

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000

STEPS, NAMES = pack_steps([("cpu", "loop", 0, 3 * MS, 2 * MS, 0, 0, 0, "", "", 0)], origin=123)

TIMELINE: Attributes = {
    spans.FORMAT: spans.FORMAT_VERSION,
    spans.START_CLOCK_NS: 123,
    spans.END_NS: 3 * MS,
    spans.RESPONSE_NS: 2 * MS,
    spans.STEPS: STEPS,
    spans.STEP_NAMES: NAMES,
    spans.REQUESTS_SEEN: 7,
}


def span(number: int, at_ms: float = 0.0, **more: Any) -> Span:
    """A request of 5 ms to one route, unless told otherwise."""
    attributes = {
        "http.request.method": "GET",
        "http.route": "/items/{id}",
        "http.response.status_code": 200,
    }
    attributes |= more.pop("attributes", {})
    start = START_NS + round(at_ms * MS)
    values: dict[str, Any] = {
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
        "parent_id": None,
        "kind": SpanKind.SERVER,
        "name": "GET /items/{id}",
        "start_ns": start,
        "end_ns": start + 5 * MS,
        "service": "shop",
        "instance": "one",
        "attributes": {key: value for key, value in attributes.items() if value is not None},
    }
    return Span(**(values | more))


def endpoints(requests: RequestSet) -> list[str]:
    return [requests.endpoints[code] for code in requests.endpoint]


def balanced(requests: RequestSet) -> bool:
    account = requests.account
    return account.spans == (
        account.requests
        + account.inner
        + account.loop
        + account.nested
        + account.repeated
        + account.other_services
        + account.thinned
    )


# --- what a request says ------------------------


def test_rows_are_sorted_by_start_and_complete() -> None:
    requests = collect_requests([
        span(1, at_ms=20, attributes={"http.route": "/b"}),
        span(2, at_ms=10, attributes=TIMELINE, resource={"fastsim.process.cores": 2, "host": "h"}),
    ])  # fmt: skip
    assert len(requests) == 2
    assert endpoints(requests) == ["GET /items/{id}", "GET /b"]
    assert requests.start_ns.tolist() == [START_NS + 10 * MS, START_NS + 20 * MS]
    assert requests.duration_ns.tolist() == [5 * MS, 5 * MS]
    assert requests.clock_ns.tolist() == [123, -1]
    assert requests.status.tolist() == [200, 200]
    assert list(requests.trace_ids) == [f"{3:032x}", f"{2:032x}"]
    assert requests.recorded.tolist() == [True, False]
    assert requests.counters[spans.REQUESTS_SEEN].tolist() == [7, -1]
    assert set(requests.counters) == set(COUNTERS)
    timeline = requests.timeline(0)
    assert timeline is not None
    assert timeline.end_s == 0.003
    assert [index for index, _ in requests.timelines()] == [0]
    assert list(requests.timelines(np.array([False, True]))) == []
    assert balanced(requests)


def test_the_start_is_the_recorders_where_there_is_one() -> None:
    requests = collect_requests(
        [span(1, attributes={**TIMELINE, spans.START_UNIX_NS: START_NS - 9})]
    )
    assert requests.start_ns.tolist() == [START_NS - 9]
    assert requests.duration_ns.tolist() == [5 * MS]


@pytest.mark.parametrize(
    ("attributes", "name", "endpoint"),
    [
        ({}, "x", "GET /items/{id}"),
        ({"http.request.method": None, "http.method": "POST"}, "x", "POST /items/{id}"),
        ({"http.request.method": None}, "PUT /items/{id}", "PUT /items/{id}"),
        ({"http.route": None, "http.response.status_code": 404}, "GET", "unmatched"),
        (
            {"http.route": None, "url.path": "/a", "http.response.status_code": 404},
            "x",
            "unmatched",
        ),
        ({"http.route": None, "url.path": "/a/42/b"}, "GET", "GET /a/{}/b"),
        ({"http.route": None, "http.target": "/a?x=1"}, "GET", "GET /a"),
        ({"http.route": None}, "GET", "unmatched"),
    ],
)
def test_names_of_endpoints(attributes: Attributes, name: str, endpoint: str) -> None:
    requests = collect_requests([span(1, name=name, attributes=attributes)])
    assert endpoints(requests) == [endpoint]


def test_a_server_span_without_http_is_named_after_itself() -> None:
    remote = span(1, name="shop.Items/Get")
    remote.attributes = {"rpc.system": "grpc"}
    assert endpoints(collect_requests([remote])) == ["shop.Items/Get"]


@pytest.mark.parametrize(
    ("status", "error", "failed", "rejected"),
    [
        (200, False, False, False),
        (500, False, True, False),
        (503, True, True, False),
        (404, True, False, True),
        (405, False, False, True),
        (422, False, False, True),
        (401, True, False, False),
        (None, True, True, False),
        (None, False, False, False),
        ("abc", False, False, False),
        ("502", False, True, False),
    ],
)
@pytest.mark.parametrize("name", ["http.response.status_code", "http.status_code"])
def test_outcome(name: str, status: object, error: bool, failed: bool, rejected: bool) -> None:
    code = StatusCode.ERROR if error else StatusCode.UNSET
    attributes = {"http.response.status_code": None, name: status}
    requests = collect_requests([span(1, status=code, attributes=attributes)])
    assert (requests.failed[0], requests.rejected[0]) == (failed, rejected)
    assert endpoints(requests) == ["GET /items/{id}"]
    assert (requests.account.failed, requests.account.rejected) == (failed, rejected)


def test_instances_keep_what_was_noted_about_their_process() -> None:
    resource: Attributes = {"fastsim.process.cores": 2, "telemetry.sdk.name": "opentelemetry"}
    requests = collect_requests([
        span(1, instance="b", resource=resource), span(2, at_ms=-1, instance="a"),
    ])  # fmt: skip
    assert [requests.instances[code].name for code in requests.instance] == ["a", "b"]
    noted = next(instance for instance in requests.instances if instance.name == "b")
    assert noted.facts == {"fastsim.process.cores": 2}
    assert noted.resource["telemetry.sdk.name"] == "opentelemetry"


# --- which spans are requests ------------------------


def test_spans_inside_a_request_are_none() -> None:
    inside = [
        span(2, kind=SpanKind.CLIENT),
        span(3, kind=SpanKind.INTERNAL, attributes={"http.route": None}),
        span(4, kind=SpanKind.INTERNAL, attributes={"http.request.method": None}),
    ]
    requests = collect_requests([span(1), *inside])
    assert (requests.account.requests, requests.account.inner) == (1, 3)
    assert balanced(requests)


def test_requests_filed_under_an_upload_are_requests() -> None:
    upload = span(1)
    later = [
        span(n, at_ms=10.0 * n, kind=SpanKind.INTERNAL, trace_id=upload.trace_id,
             parent_id=upload.span_id)
        for n in range(2, 9)
    ]  # fmt: skip
    assert len(collect_requests([*later, upload])) == 8


def test_a_mounted_application_makes_no_second_request() -> None:
    outer = span(1)
    inner = span(2, at_ms=1, trace_id=outer.trace_id, parent_id=outer.span_id)
    requests = collect_requests([inner, outer])  # inner spans end, and are written, first
    assert endpoints(requests) == ["GET /items/{id}"]
    assert list(requests.trace_ids) == [outer.trace_id]
    assert requests.account.nested == 1
    assert balanced(requests)


def test_a_call_to_another_process_of_the_service_is_a_request() -> None:
    outer = span(1)
    inner = span(2, at_ms=1, trace_id=outer.trace_id, parent_id=outer.span_id, instance="two")
    assert len(collect_requests([inner, outer])) == 2


def test_requests_met_before_are_counted_once() -> None:
    requests = collect_requests([span(1), span(2), span(1)])
    assert (len(requests), requests.account.repeated) == (2, 1)
    assert balanced(requests)


# --- which service ------------------------


def test_the_only_service_is_meant() -> None:
    assert (
        collect_requests([span(1), span(2, service="db", kind=SpanKind.CLIENT)]).service == "shop"
    )


def test_the_only_recorded_service_is_meant() -> None:
    several = [span(n, service="other") for n in range(3)]
    requests = collect_requests([*several, span(9, attributes=TIMELINE)])
    assert (requests.service, requests.account.other_services) == ("shop", 3)
    assert balanced(requests)


def test_the_dominating_service_is_meant() -> None:
    many = [span(n) for n in range(9)]
    assert collect_requests([*many, span(10, service="other")]).service == "shop"


def test_several_services_are_listed_with_their_requests() -> None:
    mixed = [span(1), span(2), span(3, service="other")]
    with pytest.raises(InputError, match=r"2 services: shop \(2\), other \(1\)") as caught:
        collect_requests(mixed)
    assert "--service shop" in str(caught.value.hint)
    assert len(collect_requests(mixed, service="other")) == 1


def test_an_unknown_service_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="'shp'") as caught:
        collect_requests([span(1)], service="shp")
    assert caught.value.hint == "did you mean 'shop'?"


def test_traces_without_requests_say_what_they_hold() -> None:
    clients = [span(n, kind=SpanKind.CLIENT, service="x") for n in range(12)]
    with pytest.raises(NotEnoughDataError, match="only 12 CLIENT spans of service x"):
        collect_requests(clients)
    with pytest.raises(NotEnoughDataError, match="no spans"):
        collect_requests([])


# --- timelines and warm-up ------------------------


def test_requests_without_a_timeline_are_counted_by_reason() -> None:
    damaged = {**TIMELINE, spans.STEPS: "AAAAAAAAAAA="}
    requests = collect_requests([
        span(1), span(2, attributes=damaged), span(3, attributes=TIMELINE),
    ])  # fmt: skip
    assert requests.recorded.tolist() == [False, False, True]
    assert requests.account.without_timeline == {
        "request recorded without FastSim": 1,
        "timeline with columns of unequal length": 1,
    }


def test_requests_without_counters_share_the_reading_before_them_in_their_process() -> None:
    silent = {**TIMELINE, spans.REQUESTS_SEEN: None}
    recorded = [
        span(1, 1.0, attributes={**TIMELINE, spans.REQUESTS_SEEN: 7}),
        span(2, 2.0, attributes={**TIMELINE, spans.REQUESTS_SEEN: 40}, instance="two"),
        span(3, 3.0, attributes=silent),
        span(4, 4.0, attributes=silent, instance="two"),
        span(5, 5.0),  # not ours
        span(6, 6.0, attributes=silent, instance="three"),
    ]
    requests = collect_requests(recorded, skip_first_s=0.0)
    assert requests.counters[spans.REQUESTS_SEEN].tolist() == [7, 40, 7, 40, -1, -1]


def test_who_says_nothing_before_the_first_that_counts_has_counted_nothing() -> None:
    plain = [span(n, float(n)) for n in range(3)]
    counting = span(3, 3.0, attributes={**TIMELINE, spans.REQUESTS_SEEN: 7}, instance="two")
    requests = collect_requests([*plain, counting, span(4, 4.0)], skip_first_s=0.0)
    assert requests.counters[spans.REQUESTS_SEEN].tolist() == [-1, -1, -1, 7, -1]
    assert requests.account.without_timeline == {"request recorded without FastSim": 4}
    some = requests.part(np.array([False, True, False, True, False]))
    assert some.counters[spans.REQUESTS_SEEN].tolist() == [-1, 7]
    assert list(some.trace_ids) == [plain[1].trace_id, counting.trace_id]


def test_counters_out_of_range_count_as_absent() -> None:
    requests = collect_requests([span(1, attributes={spans.REQUESTS_SEEN: 2**63})])
    assert requests.counters[spans.REQUESTS_SEEN].tolist() == [-1]


def every_10_ms(count: int, **more: Any) -> list[Span]:
    return [span(n, at_ms=10.0 * n, **more) for n in range(count)]


def test_the_first_twentieth_of_a_recording_is_warm_up() -> None:
    requests = collect_requests(every_10_ms(101))  # one second
    assert requests.warm_up.sum() == 5
    assert requests.account.warm_up == 5
    assert requests.fittable.tolist() == [False] * 5 + [True] * 96


def test_never_more_than_two_seconds_are_warm_up() -> None:
    long = [span(n, at_ms=1000.0 * n) for n in range(101)]
    assert collect_requests(long).warm_up.sum() == 2


def test_short_recordings_are_used_whole() -> None:
    assert collect_requests(every_10_ms(19)).warm_up.sum() == 0


def test_every_process_warms_up_by_itself() -> None:
    late = [span(200 + n, at_ms=5000 + 10.0 * n, instance="two") for n in range(50)]
    requests = collect_requests([*every_10_ms(50), *late], skip_first_s=0.1)
    assert requests.warm_up.sum() == 20
    assert collect_requests(every_10_ms(50), skip_first_s=0).warm_up.sum() == 0


def test_a_negative_warm_up_is_refused() -> None:
    with pytest.raises(InputError, match="must not be negative"):
        collect_requests([span(1)], skip_first_s=-1)


def test_refused_requests_do_not_describe_their_endpoint() -> None:
    requests = collect_requests([span(1, attributes={"http.response.status_code": 422})])
    assert requests.fittable.tolist() == [False]


def test_summary_says_what_was_found() -> None:
    damaged = {**TIMELINE, spans.STEPS: "AAAAAAAAAAA="}
    requests = collect_requests([span(1, attributes=damaged), span(2), span(2)])
    text = requests.account.summary()
    assert text.startswith("2 requests from 3 spans (0 failed, 0 not routed or refused)")
    assert "1 requests met before" in text
    assert "timeline with columns of unequal length" in text


def test_requests_cut_short_are_not_fitted() -> None:
    left = TIMELINE | {spans.OUTCOME: "disconnected"}
    requests = collect_requests([span(0, attributes=TIMELINE), span(1, attributes=left)])
    assert requests.cut.tolist() == [False, True]
    assert requests.fittable.tolist() == [True, False]
    assert "1 requests cut short by their clients" in requests.account.summary()
