"""The compiled engine is the engine: the same bytes, whatever it replays."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SIMULATE = """
import hashlib
import fastsim.twin.passes
from fastsim.model import ServiceModel
from fastsim.scenario import Deployment, Network, TrafficPlan, Users
from fastsim.twin.planning import make_plan
from fastsim.twin.simulation import simulate_once
from fastsim.yaml_source import parse_yaml

MODEL = '''
version: 1
resources: {db: {size: 3, timeout: 200ms}, gate: {capacity: 2, hand_over: wake}}
limits: {quota: {rate: 150/s, burst: 5}}
loop: {accept: 200us, per_pass: 10us, background: [{name: tick, every: 50ms, time: 1ms}]}
endpoints:
  GET /items:
    - cpu: {exponential: 400us}
    - use: db
      steps: [db: {lognorm: {median: 5ms, sigma: 0.5}}, cpu: 100us]
    - repeat: {values: [1, 4], weights: [2, 1]}
      steps: [http: 2ms, cpu: 50us]
    - respond
    - cpu: 100us
  POST /both:
    - parallel: [[http: {exponential: 4ms}], [{use: gate, steps: [http: 3ms]}, cpu: 200us]]
      join: first
    - choose: {usual 90%: [cpu: 200us], rare 10%: [yield, cpu: 1ms]}
  GET /thread:
    - limit: quota
    - thread: [cpu: 500us, db: 3ms, {cpu: 200us, gil: false}]
    - stream: 5
      gap: 1ms
      cpu: 20us
'''
model = parse_yaml(MODEL, ServiceModel)
DEPLOYMENTS = {
    "alone": Deployment(),
    "hosted": Deployment(workers=3, cores=2),
    "quota": Deployment(workers=2, cores=2, cpu_quota=1.2),
    "replicas": Deployment(replicas=2, workers=2, cores=4, balancer="least connections"),
    "network": Deployment(network=Network(rtt=0.002, jitter=0.001)),
    "crowded": Deployment(limit_concurrency=8, thread_tokens=2),
}
uvloop = parse_yaml(MODEL + 'process: {loop: uvloop}', ServiceModel)
for name, deployment in {**DEPLOYMENTS, 'uvloop': Deployment()}.items():
    for users in (None, Users(count=20, think=0.05)):
        rate = 250.0 if users is None else None
        traffic = TrafficPlan(rate=rate, users=users, duration=2.0, warmup=0.5)
        asked = uvloop if name == 'uvloop' else model
        run = simulate_once(make_plan(asked, traffic, deployment), 7)
        digest = hashlib.sha256()
        for column in (run.at_s, run.client_s, run.server_s, run.state, run.part_sum_s):
            digest.update(column.tobytes())
        digest.update(repr((run.loop, run.resources)).encode())
        print(name, users is None, len(run.at_s), digest.hexdigest())
print(fastsim.twin.passes.__file__)
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with its engine compiled, without optimizing, which would take twice as long."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    place = tmp_path_factory.mktemp("compiled")
    shutil.copytree(
        ROOT / "fastsim", place / "fastsim", ignore=shutil.ignore_patterns("__pycache__")
    )
    work = tmp_path_factory.mktemp("work")
    subprocess.run(
        [sys.executable, ROOT / "hatch_build.py", place, work, "0"],
        check=True,
        capture_output=True,
        timeout=300,
    )
    shutil.copytree(work / "out", place, dirs_exist_ok=True)
    return place


def simulated(package: Path) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    found = subprocess.run(
        [sys.executable, "-c", SIMULATE],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=package,
    )
    return found.stdout.splitlines()


def test_the_compiled_engine_gives_the_same_bytes(compiled: Path) -> None:
    *pure, pure_file = simulated(ROOT)
    *fast, fast_file = simulated(compiled)
    assert pure_file.endswith("passes.py")
    assert fast_file.endswith(".so")
    assert len(pure) == 14
    assert fast == pure


def test_modules_to_compile_exist() -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    for name in hook.ENGINE:
        assert (ROOT / "fastsim" / "twin" / f"{name}.py").is_file(), name
