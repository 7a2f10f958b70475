"""The example services as a visitor meets them: really running, on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastsim.calibrate.readers import open_traces
from fastsim.calibrate.requests import collect_requests
from fastsim.demo.servers import EXAMPLES, Cores, Services
from fastsim.load.traffic_file import read_traffic_file

pytestmark = [pytest.mark.live, pytest.mark.timed]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("shop")
    with Services(directory, Cores()) as services:
        yield services.start_shop(directory / "traces", {})


def call(url: str, body: object = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_products_and_search(shop: str) -> None:
    status, body = call(f"{shop}/products/7")
    assert (status, json.loads(body)["id"]) == (200, 7)
    assert call(f"{shop}/products/99999")[0] == 404
    status, body = call(f"{shop}/search?q=m12&page=1")
    found = json.loads(body)
    assert status == 200
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 10


def test_orders_use_the_catalog_and_are_counted(shop: str) -> None:
    order = {"customer": "c-test", "lines": [{"sku": "sku-3", "quantity": 2}]}
    first, second = (json.loads(call(f"{shop}/orders", order)[1]) for _ in range(2))
    assert second["earlier_orders"] == first["earlier_orders"] + 1
    assert first["total_cents"] == sum(line["amount_cents"] for line in first["lines"])
    assert call(f"{shop}/orders", {"customer": "c", "lines": []})[0] == 422


def test_the_report_is_the_same_every_time(shop: str) -> None:
    first, second = (call(f"{shop}/reports/2026-03-12") for _ in range(2))
    assert first == second
    assert first[0] == 200


def test_the_assistant_streams_words_and_says_what_they_cost(shop: str) -> None:
    status, body = call(f"{shop}/assistant", {"question": "Which lamp?", "max_tokens": 80})
    assert status == 200
    events = re.findall(r"event: (\w+)\ndata: (.*)\n", body)
    words = [data for kind, data in events if kind == "token"]
    usage = json.loads(next(data for kind, data in events if kind == "usage"))
    assert usage["completion_tokens"] == len(words)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_the_assistants_tokens_are_recorded(tmp_path: Path) -> None:
    with Services(tmp_path, Cores()) as services:
        url = services.start_shop(tmp_path / "traces", {})
        question = {"question": "Which lamp?", "max_tokens": 80}
        usages = [
            json.loads(data)
            for _ in range(2)
            for kind, data in re.findall(
                r"event: (\w+)\ndata: (.*)\n", call(f"{url}/assistant", question)[1]
            )
            if kind == "usage"
        ]
        services.stop_shops()
    requests = collect_requests(open_traces([tmp_path / "traces"]), skip_first_s=0.0)
    calls = [each for _, line in requests.timelines() for each in line.llm_calls]
    assert len(calls) == len(usages) == 2
    for each, usage in zip(calls, usages, strict=True):
        assert each.input_tokens == usage["prompt_tokens"]
        assert each.output_tokens == usage["completion_tokens"]
        assert each.chunks is not None
        assert each.chunks >= usage["completion_tokens"]
        assert (each.model, each.provider, each.streamed) == ("local-small", "openai", True)
        assert each.step is not None
        assert each.first_chunk_s is not None
        assert 0.0 < each.first_chunk_s < each.wall_s


def test_the_traffic_file_asks_for_every_endpoint() -> None:
    mix = read_traffic_file(EXAMPLES / "shop" / "traffic.yaml")
    assert sum(entry.share for entry in mix) == pytest.approx(1.0)
    assert {entry.endpoint for entry in mix} == {
        "GET /products/{product_id}",
        "GET /search",
        "POST /orders",
        "GET /reports/{day}",
        "POST /assistant",
    }


@pytest.mark.skipif(
    "FASTSIM_TEST_POSTGRES" not in os.environ,
    reason="set FASTSIM_TEST_POSTGRES to a postgresql+asyncpg:// URL",
)
def test_the_shop_runs_on_postgresql(tmp_path: Path) -> None:
    settings = {"SHOP_DATABASE_URL": os.environ["FASTSIM_TEST_POSTGRES"]}
    with Services(tmp_path, Cores()) as services:
        url = services.start_shop(tmp_path / "traces", settings)
        assert call(f"{url}/products/7")[0] == 200
        order = {"customer": "c-test", "lines": [{"sku": "sku-3", "quantity": 2}]}
        assert call(f"{url}/orders", order)[0] == 201
        services.stop_shops()
    recorded = "".join(p.read_text() for p in (tmp_path / "traces").glob("*.jsonl"))
    assert '"asyncpg"' in recorded


def running(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        environment = entry.with_name("environ")
        if marker in command or marker in _text(environment):
            found.append(command)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


WITH_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from fastsim.cli import main
main()
"""
"""A shell that starts the tests in the background has them ignore Ctrl-C."""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks at /proc")
def test_ctrl_c_ends_the_demo_and_everything_it_started(tmp_path: Path) -> None:
    marker = f"DEMO_TEST={tmp_path.name}"
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_CTRL_C, "demo", "-o", str(tmp_path / "out")],
        env=dict(os.environ) | {"DEMO_TEST": tmp_path.name},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and not (tmp_path / "out" / "shop.log").exists():
                time.sleep(0.2)
            time.sleep(4.0)
            assert len(running(marker)) >= 4
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert running(marker) == []
