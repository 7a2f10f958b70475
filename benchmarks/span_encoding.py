"""CPU that encoding one recorded request costs the service, over and over (caches warm).

Run: python benchmarks/span_encoding.py [--steps 26]
"""

import argparse
import time
from statistics import median

from fastsim.collector.export import encode_request
from fastsim.collector.otlp import encode_attributes
from fastsim.collector.timeline import RequestRecord
from fastsim.collector.wait_names import number_of

REPEATS = 2000
ROUNDS = 5


def recorded(steps: int) -> RequestRecord:
    record = RequestRecord({"method": "GET", "path": "/products/7"})
    record.end_clock = record.start_clock + 10_000_000
    wait = number_of("db", "thread", "aiosqlite", "products.py:12 product_page")
    for number in range(steps // 2):
        begin = record.start_clock + number * 10**6
        record.rows += (wait, 0, begin - 500_000, begin, 123_456, 100_000)
        record.rows += (begin - 5_000, begin - 400, -1, 250_000, 123_456, begin - 10**7)
    return record


def cpu_us(record: RequestRecord, counters: str) -> float:
    start = time.process_time()
    for _ in range(REPEATS):
        encode_request(record, counters)
    return (time.process_time() - start) / REPEATS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=26)
    record = recorded(parser.parse_args().steps)
    counters = encode_attributes({f"fastsim.counter_{number}": 10**9 for number in range(13)})
    took = median(cpu_us(record, counters) for _ in range(ROUNDS))
    print(f"encoding {took:.1f} us, {len(encode_request(record, counters)):,} bytes")


if __name__ == "__main__":
    main()
