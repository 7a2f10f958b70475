"""Name what a file is when it is not of a format that can be read, for the message."""

import json
import re

from fastsim.calibrate.readers.bytestream import head_text

READS = (
    "FastSim reads OTLP (JSON, protobuf), Jaeger, Zipkin, Tempo, Datadog and console exports, "
    "and tables of spans (--columns says which column is what)"
)
_LOAD = "it has no spans to fit; fastsim compare model.yaml FILE holds the twin against it"
_COLUMNS = "say which column is what: --columns trace_id=...,span_id=...,name=...,start=...,end=..."

# In this order: the first pattern found in the first bytes of the file names it. What follows
# is the hint, where the general one would not help.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        r'"traceID"\s*:.*"durationMs"\s*:',
        "a Tempo search answer, which lists traces without their spans",
        "get each trace from Tempo's /api/traces/<traceID>",
    ),
    (r'"Segments"\s*:|"Document"\s*:', "an AWS X-Ray export", READS),
    (r'"projectId"\s*:|"RPC_(?:SERVER|CLIENT)"', "a Google Cloud Trace export", READS),
    (
        r'"duration_?[nN]ano"|"DurationNano"|"startTimestampMillis"',
        "a SigNoz answer",
        "export the spans from its database as CSV, or send OTLP to a file as well",
    ),
    (r"openinference\.span\.kind|\"span_kind\"\s*:", "an OpenInference (Phoenix) export", READS),
    (r'"root_group"\s*:|"http_req_duration"', "a k6 summary, which is a load test's result", _LOAD),
    (
        r'"metric"\s*:\s*"http_req|"type"\s*:\s*"(?:Metric|Point)"',
        "k6 output, which is a load test's result",
        _LOAD,
    ),
    (
        r'"latencyPercentiles"\s*:|"requestsPerSec"\s*:',
        "oha's summary, which is a load test's result",
        _LOAD,
    ),
    (
        r'"latencies"\s*:\s*\{.*"bytes_in"\s*:',
        "a vegeta report, which is a load test's result",
        _LOAD,
    ),
    (r'"(?:children|spans_tree|child_spans)"\s*:\s*\[', "nested spans", READS),
    (
        r'"(?:trace|span)_?[iI][dD]"\s*:',
        "a list of spans under names of its own",
        "write one span a line (JSON lines) or a CSV table, and " + _COLUMNS,
    ),
)
_KNOWN_TEXT: tuple[tuple[str, str, str], ...] = (
    (
        r"Type,Name,Request Count,|Timestamp,User Count,Type,Name,",
        "Locust statistics, which are a load test's result",
        _LOAD,
    ),
    (r"\s*Value\s+Percentile\s+TotalCount", "an HdrHistogram, which holds no requests", _LOAD),
    (r"# (?:HELP|TYPE) \w+ ", "a Prometheus scrape, which holds no requests", READS),
)


def describe(head: bytes) -> tuple[str, str]:
    """Return what the file is (a sentence without subject) and a hint.

    Parameters
    ----------
    head
        Its first bytes, decompressed.
    """
    text = head_text(head)
    if text.startswith(("{", "[")):
        for pattern, name, hint in _KNOWN:
            if re.search(pattern, text, re.DOTALL):
                return f"looks like {name}; that cannot be read", hint
        if not _is_json_so_far(text):
            return "is not JSON", READS
        return "is JSON, but holds no traces", READS
    for pattern, name, hint in _KNOWN_TEXT:
        if re.match(pattern, text):
            return f"looks like {name}; that cannot be read", hint
    if text.lower().startswith(("<!doctype", "<html", "<?xml")):
        return "is a web page or XML, not a trace file", READS
    if text.startswith("PAR1"):
        return "is a Parquet file that cannot be read as a table of spans", _COLUMNS
    if _is_binary(text):
        return "is binary, but no OTLP protobuf", READS
    if text.startswith(("version:", "kind:")) or re.search(
        r"^kind: (model|scenario)", text, re.MULTILINE
    ):
        return "is a FastSim model or scenario, not a trace file", READS
    if re.match(r"[\w .\"-]+(?:[,;\t][\w .\"-]+)+\r?\n", text):
        return "looks like a CSV table, but its columns are not those of spans", _COLUMNS
    return "is not JSON", READS


def _is_binary(text: str) -> bool:
    odd = sum(character < " " and character not in "\t\r\n" for character in text[:4096])
    return odd > 0 or text[:4096].count("\ufffd") > 2


def _is_json_so_far(text: str) -> bool:
    """Tell JSON from text that merely starts with a bracket; a cut-off end is forgiven."""
    try:
        json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text.rstrip()) - 1 or "Unterminated" in error.msg
    except (ValueError, RecursionError):
        return False
    return True
