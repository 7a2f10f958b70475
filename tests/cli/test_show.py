import json
from pathlib import Path

import pytest

from fastsim.cli.main import main
from fastsim.cli.show import sniff
from fastsim.errors import FileFormatError
from fastsim.load.schedule import draw_schedule
from fastsim.load.traffic_file import parse_mix
from fastsim.report.json import to_json
from fastsim.result import CompareRow, Comparison, Estimate, Run, Summary
from tests.model_file import MODEL, SCENARIO

SUMMARY = Summary(requests=10, completed=10, throughput=Estimate(value=5.0, unit="1/s"))
RUN = Run(
    source="twin", rate_per_s=5.0, duration_s=2.0, total=SUMMARY, endpoints={"GET /a": SUMMARY}
)
COMPARISON = Comparison(
    mode="free",
    verdict="agrees",
    rows=[
        CompareRow(
            endpoint="GET /a",
            metric="p95",
            requests=400,
            live=0.1,
            twin=0.11,
            error=0.1,
            error_low=-0.1,
            error_high=0.3,
            counts=True,
            verdict="cannot tell",
        )
    ],
)
TRAFFIC = "requests:\n- {endpoint: GET /a, share: 100%}\n"


def span(index: int, service: str = "shop", kind: int = 2, status: int = 200) -> dict[str, object]:
    start = 1_700_000_000_000_000_000 + index * 1_000_000_000
    one = {
        "traceId": f"{index + 1:032x}",
        "spanId": f"{index + 1:016x}",
        "name": "GET /a",
        "kind": kind,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 20_000_000),
        "attributes": [
            {"key": "http.route", "value": {"stringValue": "/a"}},
            {"key": "http.request.method", "value": {"stringValue": "GET"}},
            {"key": "http.response.status_code", "value": {"intValue": str(status)}},
        ],
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [one]}]}]}


def show(capsys: pytest.CaptureFixture[str], *arguments: str | Path, code: int = 0) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["show", *map(str, arguments)])
    output = capsys.readouterr()
    assert caught.value.code == code, output.err
    return output.out if code == 0 else output.err


def shown_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, object]:
    value = json.loads(show(capsys, *arguments, "--json"))
    assert isinstance(value, dict)
    return value


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    path = tmp_path / "traces.jsonl"
    lines = [json.dumps(span(i, status=500 if i == 0 else 200)) for i in range(4)]
    path.write_text("\n".join([*lines, lines[0], '{"resourceSp']))
    return path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (MODEL, "model"),
        (SCENARIO, "scenario"),
        (TRAFFIC, "traffic"),
        (to_json(RUN), "run"),
        (to_json(COMPARISON), "comparison"),
        (json.dumps(span(0)), "traces"),
    ],
)
def test_the_kind_is_told_by_content_not_by_name(text: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    assert sniff(str(path)) == kind


@pytest.mark.parametrize("text", ["x: y", "kind: banana", "just words", ""])
def test_what_nobody_knows_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(FileFormatError):
        sniff(str(path))


def test_a_model_shows_warnings_first_then_every_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL)
    text = show(capsys, path)
    lines = text.splitlines()
    assert lines[0] == "model of shop · 2 endpoints"
    assert lines[1] == "  warning: recorded for 10 s only"
    for part in (
        "Self-check: 0 of 1 replayed value agree with the recording",
        "off: GET /items/{id} p95 recorded 20ms, twin 24ms (+20.0 %, could be +15.0 % to +26.0 %)",
        "Process: 2 workers, asyncio, 2 cores, 40 threads, Python 3.11",
        "Traffic: 210/s for 60s, arrivals by chance (Poisson), dispersion 1.1 (1 is Poisson)",
        "100us per request, 0s per event, 0s per pass, up to 30 % more after idling 20ms",
        "Slots per worker: db 5",
        "GET /items/{id} · 60 % of requests, 1 200 recorded · 4.71ms mean without queueing",
        "17.5 chunks",
        "refused · 10 %, fails",
        "acquire db",
    ):
        assert part in " ".join(text.split())
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text


def test_peers_are_no_slots_of_a_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(
        MODEL.replace("resources:", "resources:\n  billing: {capacity: 7, hand_over: peer}")
    )
    text = show(capsys, path)
    assert "  Slots per worker: db 5\n" in text
    assert "  Calls that peers serve at a time: billing 7\n" in text


def test_shares_of_latency_leave_out_what_follows_the_response(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL)
    rows = show(capsys, path).splitlines()
    (after,) = [row for row in rows if row.endswith(" expon") and "173us" in row]
    assert "after" in after
    (cpu,) = [row for row in rows if row.endswith(" constant") and "1.2ms" in row]
    # 1.2 ms of 1.2 ms + 3 ms * exp(0.41**2 / 2)
    assert "26.9 %" in cpu


def test_a_name_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL.replace("service: shop", 'service: "\\e[31m[red]shop[/x]"'))
    text = show(capsys, path)
    assert "\x1b" not in text
    assert "[red]shop[/x]" in text


@pytest.mark.parametrize("text", [MODEL, SCENARIO, TRAFFIC, to_json(RUN), to_json(COMPARISON)])
def test_every_kind_prints_text_and_json(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    assert show(capsys, path).strip()
    assert shown_json(capsys, path)["kind"] in {
        *("model", "scenario", "traffic", "run", "comparison"),
    }


def test_a_run_printed_as_json_is_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    path.write_text(to_json(RUN))
    assert show(capsys, path, "--json") == to_json(RUN)


def test_a_schedule_shows_how_many_requests_each_endpoint_gets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "schedule.json"
    draw_schedule(
        parse_mix("GET /a=50%,GET /b=50%"), rate_per_s=10.0, duration_s=2.0, arrivals="uniform"
    ).save(path)
    assert "schedule of 20 requests · 10/s uniform · 2s" in show(capsys, path)
    requests = shown_json(capsys, path)["requests"]
    assert isinstance(requests, dict)
    assert set(requests) == {"GET /a", "GET /b"}
    assert sum(requests.values()) == 20


def test_traces_show_what_was_read_skipped_and_found(
    traces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = show(capsys, traces)
    # Where lines are broken depends on how long the path is.
    running = " ".join(text.split())
    assert "OTLP/JSON, 5 spans read, 4 kept, skipped" in running
    assert "1 × span met before" in running
    assert "1 × line torn off" in running
    assert "services with server spans: shop (4)" in text
    (row,) = [line for line in text.splitlines() if line.lstrip().startswith("GET /a")]
    assert row.split()[:3] == ["GET", "/a", "4"]
    assert "25 %" in row


def test_traces_as_json_have_units_in_their_keys(
    traces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = shown_json(capsys, traces)
    assert isinstance(value["endpoints"], list)
    (row,) = value["endpoints"]
    assert row["requests"] == 4
    assert row["p50_s"] == pytest.approx(0.02)
    assert row["error_ratio"] == 0.25


def test_traces_of_several_services_show_the_busiest_and_name_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "traces.jsonl"
    services = ["shop", "shop", "stock", "stock", "stock"]
    path.write_text("\n".join(json.dumps(span(i, s)) for i, s in enumerate(services)))
    value = shown_json(capsys, path)
    assert (value["service"], value["requests"]) == ("stock", 3)
    assert value["server_spans"] == {"shop": 2, "stock": 3}
    assert shown_json(capsys, path, "--service", "shop")["requests"] == 2
    assert "unknown service" in show(capsys, path, "--service", "none", code=2)


def test_traces_without_requests_say_what_they_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(span(0, kind=3)))
    assert "no SERVER span, only 1 CLIENT span" in show(capsys, path)


def test_a_directory_of_traces_is_read(traces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "GET /a" in show(capsys, traces.parent)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"[1, 2", b"\x1f\x8bnot gzip"])
def test_a_damaged_file_is_one_clear_error(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert show(capsys, path, code=2).startswith("error: ")
