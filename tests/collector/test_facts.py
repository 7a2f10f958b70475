"""Process facts: read from the system as it says them, whatever the version."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from uvicorn import Config

from fastsim import spans
from fastsim.collector.facts import cpu_quota, process_facts, uvicorn_facts, versions


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def test_a_quota_of_version_2_is_found_from_inside_a_container(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "150000 100000\n")
    assert cpu_quota(tmp_path) == 1.5


def test_the_tightest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/pod/container\n")
    write(tmp_path, "sys/fs/cgroup/pod/container/cpu.max", "max 100000\n")
    write(tmp_path, "sys/fs/cgroup/pod/cpu.max", "50000 100000\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "400000 100000\n")
    assert cpu_quota(tmp_path) == 0.5


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_a_quota_of_version_1_is_found(mount: str, tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=s:/\n")
    write(tmp_path, f"sys/fs/cgroup/{mount}/docker/x/cpu.cfs_quota_us", "250000\n")
    write(tmp_path, f"sys/fs/cgroup/{mount}/docker/x/cpu.cfs_period_us", "100000\n")
    write(tmp_path, f"sys/fs/cgroup/{mount}/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, f"sys/fs/cgroup/{mount}/cpu.cfs_period_us", "100000\n")
    assert cpu_quota(tmp_path) == 2.5


@pytest.mark.parametrize("text", ["", "max 100000", "nonsense", "1 0", "1 2 3"])
def test_no_quota_or_a_strange_one_is_none(text: str, tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    write(tmp_path, "sys/fs/cgroup/cpu.max", text)
    assert cpu_quota(tmp_path) is None


def test_uvicorns_limits_are_noted() -> None:
    config = Config(
        FastAPI(), limit_concurrency=50, backlog=99, timeout_keep_alive=7, workers=3, http="h11"
    )
    config.load()
    assert uvicorn_facts(config) == {
        spans.PROCESS_WORKERS: 3,
        spans.PROCESS_LIMIT_CONCURRENCY: 50,
        spans.PROCESS_BACKLOG: 99,
        spans.PROCESS_KEEP_ALIVE_S: 7,
        spans.PROCESS_HTTP: "h11",
    }


def test_gunicorn_knows_the_number_of_workers() -> None:
    class Worker:
        cfg = SimpleNamespace(workers=4)

        async def callback_notify(self) -> None:
            """Stand for gunicorn's."""

    config: Any = SimpleNamespace(callback_notify=Worker().callback_notify, workers=1)
    assert uvicorn_facts(config) == {spans.PROCESS_WORKERS: 4}


def test_the_server_knows_better_than_the_defaults() -> None:
    facts = process_facts(
        service_name="shop",
        loop=None,
        mode="light",
        sample_ratio=0.5,
        start_ns=7,
        server={spans.PROCESS_WORKERS: 6},
    )
    assert facts[spans.PROCESS_WORKERS] == 6
    assert facts[spans.PROCESS_MODE] == "light"
    assert facts[spans.PROCESS_MACHINE_CORES] == os.cpu_count()
    assert facts["process.pid"] == os.getpid()


def test_versions_name_what_serves() -> None:
    named = dict(item.split("==") for item in versions())
    assert {"fastsim", "fastapi", "starlette", "uvicorn"} <= named.keys()
