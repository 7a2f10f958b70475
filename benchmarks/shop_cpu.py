"""CPU that a request of the example shop takes, bare and recorded, in turns of about a second.

Run: python benchmarks/shop_cpu.py [--rounds 20]

Three shops on one core: without the recorder, with it, and with it but every request left out by
sampling. CPU of all threads of each, by the kernel's account (Linux); medians of the differences
within a round.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

from fastsim.collector.destination import ENV_OUTPUT
from fastsim.collector.hook import ENV_SAMPLE
from fastsim.demo.servers import EXAMPLES, Cores, Services
from fastsim.load.schedule import draw_schedule
from fastsim.load.session import run_load
from fastsim.load.traffic_file import read_traffic_file

RATE_PER_S = 80.0
TURN_S = 1.2
SHOPS = {"bare": {ENV_OUTPUT: ""}, "recorded": {}, "left out by sampling": {ENV_SAMPLE: "0"}}


def cpu_ms(pid: int) -> float:
    """Return the CPU of a process so far, of all threads that it has."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    mix = read_traffic_file(EXAMPLES / "shop" / "traffic.yaml")
    cores = Cores()
    took: dict[str, list[float]] = {name: [] for name in SHOPS}
    with tempfile.TemporaryDirectory() as folder, Services(Path(folder), cores) as services:
        shops = {}
        for name, settings in SHOPS.items():
            url = services.start_shop(Path(folder) / "recording", settings)
            shops[name] = (url, services._shops[-1].pid)
        with cores.use(cores.others):
            for number in range(-1, rounds):
                plan = draw_schedule(mix, rate_per_s=RATE_PER_S, duration_s=TURN_S, seed=number + 9)
                for name in SHOPS if number % 2 else reversed(SHOPS):
                    url, pid = shops[name]
                    before = cpu_ms(pid)
                    run_load(url, plan)
                    if number >= 0:  # the first warms up
                        took[name].append((cpu_ms(pid) - before) / len(plan))
        services.stop_shops()
    for name, values in took.items():
        added = median(mine - bare for mine, bare in zip(values, took["bare"], strict=True))
        print(f"{name:22}{median(values):7.2f} ms of CPU a request, {added:+.2f}")


if __name__ == "__main__":
    main()
