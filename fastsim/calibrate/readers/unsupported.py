"""Name what a file is when it is not of a format that can be read, for the message."""

import json
import re

from fastsim.calibrate.readers.bytestream import head_text

# In this order: the first pattern found in the first bytes of the file names it.
_KNOWN = (
    (r'"traceID"\s*:.*"durationMs"\s*:', "a Tempo search answer, which lists traces without spans"),
    (r'"Segments"\s*:|"Document"\s*:', "an AWS X-Ray export"),
    (r'"projectId"\s*:|"RPC_(?:SERVER|CLIENT)"', "a Google Cloud Trace export"),
)
_NOT_YET = "which is not supported yet"


def describe(head: bytes) -> tuple[str, str]:
    """Return what the file is (a sentence without subject) and a hint.

    Parameters
    ----------
    head
        Its first bytes, decompressed.
    """
    text = head_text(head)
    hint = (
        "FastSim reads OTLP (JSON, protobuf), Jaeger, Zipkin, Tempo, Datadog and console exports, "
        "and tables of spans (--columns says which column is what)"
    )
    if text.startswith(("{", "[")):
        for pattern, name in _KNOWN:
            if re.search(pattern, text, re.DOTALL):
                return f"looks like {name}, {_NOT_YET}", hint
        if not _is_json_so_far(text):
            return "is not JSON", hint
        return "is JSON, but holds no traces", hint
    if text.lower().startswith(("<!doctype", "<html", "<?xml")):
        return "is a web page or XML, not a trace file", hint
    if _is_binary(text):
        return "is binary, but no OTLP protobuf", hint
    if text.startswith(("version:", "kind:")) or re.search(
        r"^kind: (model|scenario)", text, re.MULTILINE
    ):
        return "is a FastSim model or scenario, not a trace file", hint
    if re.match(r"[\w .\"-]+(?:[,;\t][\w .\"-]+)+\r?\n", text):
        return "looks like a CSV table, but its columns are not those of spans", hint
    return "is not JSON", hint


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
