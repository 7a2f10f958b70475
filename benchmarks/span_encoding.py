"""CPU that writing one recorded request costs the service: our encoder against json.dumps.

Run: python benchmarks/span_encoding.py [--steps 26]
"""

import argparse
import json
import time
from collections.abc import Callable

from fastsim.collector.export import Counters, build_span
from fastsim.collector.otlp import encode_span
from fastsim.collector.timeline import RequestRecord
from fastsim.spans import Span

REPEATS = 2000
ROUNDS = 5


def recorded(steps: int) -> RequestRecord:
    record = RequestRecord("GET", "/products/7")
    record.end_clock = record.start_clock + 10_000_000
    for number in range(steps):
        kind, via = ("cpu", "loop") if number % 2 == 0 else ("db", "thread")
        where = ("aiosqlite", "products.py:product_page")
        record.add((kind, via, number * 10**6, 123_456, 100_000, 5_000, 400, 250_000, *where, 0))
    return record


def value(item: object) -> dict[str, object]:
    if isinstance(item, str):
        return {"stringValue": item}
    if isinstance(item, list):
        return {"arrayValue": {"values": [value(inner) for inner in item]}}
    return {"intValue": str(item)}


def with_dumps(span: Span) -> str:
    attributes = [{"key": key, "value": value(item)} for key, item in span.attributes.items()]
    return json.dumps({"name": span.name, "attributes": attributes}, separators=(",", ":"))


def cpu_us(encode: Callable[[Span], str], span: Span) -> float:
    start = time.process_time()
    for _ in range(REPEATS):
        encode(span)
    return (time.process_time() - start) / REPEATS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=26)
    record = recorded(parser.parse_args().steps)
    counters = Counters(*range(1, len(Counters._fields) + 1))
    span = build_span(record, counters)

    def build(_span: Span) -> str:
        return encode_span(build_span(record, counters))

    # Interleaved, because the machine's speed wanders.
    rounds = [
        tuple(cpu_us(encode, span) for encode in (build, encode_span, with_dumps))
        for _ in range(ROUNDS)
    ]
    whole, ours, dumps = (sorted(column)[ROUNDS // 2] for column in zip(*rounds, strict=True))
    print(f"building and encoding {whole:.0f} us, {len(encode_span(span)):,} bytes;", end=" ")
    print(f"encode_span {ours:.0f} us, json.dumps {dumps:.0f} us: {dumps / ours:.1f} times")


if __name__ == "__main__":
    main()
