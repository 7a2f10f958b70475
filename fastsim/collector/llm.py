"""Calls to language models: tokens, model, time to the first chunk.

Read from the clients of openai and anthropic themselves, with or without telemetry, and from
OpenTelemetry spans of every other library. What the service gets is never changed: of an
answer the usage is read, a stream's iterator is passed through one that looks at each chunk.
"""

import functools
from collections.abc import AsyncIterator, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from fastsim.collector import clocks
from fastsim.collector.faults import note_fault
from fastsim.collector.imports import when_imported
from fastsim.collector.resume import running_for
from fastsim.collector.timeline import RequestRecord, active_record
from fastsim.llm_spans import (
    CHUNK_EVENTS,
    FIRST_CHUNK_EVENTS,
    UNKNOWN,
    LlmUsage,
    as_count,
    is_llm_call,
    usage_of,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

MOST_CALLS = 200
"""Calls kept per request."""

NESTED_NS = 2_000_000
"""How far the ends of two spans of one call may be apart from being inside each other: they
are on the wall clock, the recorder's own stamps on the monotonic one."""

_CALL = "_fastsim_call"


class LlmCall:
    """One call, from the request to the last chunk of its answer."""

    __slots__ = ("chunks", "end", "start", "task", "usage")

    def __init__(self, start: int, task: int, usage: LlmUsage) -> None:
        self.start = start
        self.end = start
        self.task = task
        self.usage = usage
        self.chunks = UNKNOWN
        """Chunks with a part of the answer, where they were counted."""


def _running_task(record: RequestRecord) -> int:
    running = running_for(record)
    return running.task if running is not None else 0


# --- the clients of openai and anthropic -------------------------------------------------


def hook_llm_clients() -> None:
    """Watch the clients that the service imports; once per process."""
    if _Installed.clients:
        return
    _Installed.clients = True
    for package in ("openai", "anthropic"):
        when_imported(f"{package}._base_client", _hook_client)
        for module in ("_response", "_legacy_response"):
            when_imported(f"{package}.{module}", _hook_raw_responses)


class _Installed:
    clients = False


def _hook_client(module: ModuleType) -> None:
    package = module.__name__.partition(".")[0]
    asynchronous: Any = module.AsyncAPIClient
    request = asynchronous.request

    @functools.wraps(request)
    async def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(self, package)
        answer = await request(self, *args, **kwargs)
        if call is not None:
            _end(call, answer, args, kwargs)
        return answer

    asynchronous.request = watched
    synchronous: Any = module.SyncAPIClient
    request_now = synchronous.request

    @functools.wraps(request_now)
    def watched_now(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin(self, package)
        answer = request_now(self, *args, **kwargs)
        if call is not None:
            _end(call, answer, args, kwargs)
        return answer

    synchronous.request = watched_now


def _hook_raw_responses(module: ModuleType) -> None:
    """``with_raw_response``: the answer is parsed when the service asks for it."""
    for name in ("LegacyAPIResponse", "APIResponse"):
        kind: Any = getattr(module, name, None)
        if kind is not None:
            _hook_parse(kind)
    kind = getattr(module, "AsyncAPIResponse", None)
    if kind is not None:
        parse = kind.parse

        @functools.wraps(parse)
        async def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            answer = await parse(self, *args, **kwargs)
            _parsed(self, answer)
            return answer

        kind.parse = watched


def _hook_parse(kind: Any) -> None:
    parse = kind.parse

    @functools.wraps(parse)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = parse(self, *args, **kwargs)
        _parsed(self, answer)
        return answer

    kind.parse = watched


class _Open:
    """A call whose answer is not there yet."""

    __slots__ = ("call", "kept", "record")

    def __init__(self, record: RequestRecord, call: LlmCall) -> None:
        self.record = record
        self.call = call
        self.kept = False

    def keep(self) -> None:
        """It is a call to a model indeed: put it into the record."""
        if not self.kept and len(self.record.llm_calls) < MOST_CALLS:
            self.record.llm_calls.append(self.call)
        self.kept = True


def _begin(client: object, package: str) -> _Open | None:
    try:
        record = active_record()
        if record is None:
            return None
        usage = LlmUsage(provider=_provider(client, package), streamed=False)
        return _Open(record, LlmCall(clocks.perf_counter_ns(), _running_task(record), usage))
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)
        return None


def _provider(client: object, package: str) -> str:
    """Name the provider as OpenTelemetry does."""
    kind = type(client).__name__
    for word, name in (("Azure", "azure.ai.openai"), ("Bedrock", "aws.bedrock")):
        if word in kind:
            return name
    return "gcp.vertex_ai" if "Vertex" in kind else package


def _end(opened: _Open, answer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        opened.call.end = clocks.perf_counter_ns()
        options = kwargs.get("options", args[1] if len(args) > 1 else None)
        asked = getattr(options, "json_data", None)
        if isinstance(asked, Mapping):
            opened.call.usage.model = str(asked.get("model") or "")
        _look_at(opened, answer)
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def _parsed(response: Any, answer: Any) -> None:
    try:
        opened = getattr(response, _CALL, None)
        if opened is not None:
            delattr(response, _CALL)
            _look_at(opened, answer)
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def _look_at(opened: _Open, answer: Any) -> None:
    if hasattr(answer, "__stream__"):
        opened.call.usage.streamed = True
        opened.keep()
        inner = answer._iterator
        watching: Any = _WatchedAsyncStream if hasattr(inner, "__anext__") else _WatchedStream
        answer._iterator = watching(inner, opened.call)
    elif hasattr(answer, "usage"):
        opened.keep()
        _read(opened.call.usage, vars(answer))
    elif hasattr(answer, "parse"):
        setattr(answer, _CALL, opened)


class _WatchedAsyncStream:
    """A stream's iterator, looked at on the way."""

    __slots__ = ("_call", "_inner")

    def __init__(self, inner: AsyncIterator[Any], call: LlmCall) -> None:
        self._inner = inner
        self._call = call

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        item = await self._inner.__anext__()
        _note_chunk(self._call, item)
        return item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _WatchedStream:
    """The same for a synchronous client, in a thread."""

    __slots__ = ("_call", "_inner")

    def __init__(self, inner: Iterator[Any], call: LlmCall) -> None:
        self._inner = inner
        self._call = call

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        item = next(self._inner)
        _note_chunk(self._call, item)
        return item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _note_chunk(call: LlmCall, item: Any) -> None:
    try:
        call.end = now = clocks.perf_counter_ns()
        fields = getattr(item, "__dict__", None)
        if not isinstance(fields, dict):
            return
        if _is_content(fields):
            if call.chunks == UNKNOWN:
                call.chunks = 0
                call.usage.first_chunk_ns = now - call.start
            call.chunks += 1
        inner = fields.get("response") or fields.get("message")  # of responses, of messages
        for part in (fields, getattr(inner, "__dict__", None)):
            if part and (part.get("usage") is not None or "model" in part):
                _read(call.usage, part)
    except Exception as fault:  # noqa: BLE001  never into the request
        note_fault(fault)


def _is_content(fields: dict[str, Any]) -> bool:
    """Tell a part of the answer from the events around it."""
    kind = fields.get("type")
    if isinstance(kind, str):
        return "delta" in kind and kind != "message_delta"
    return bool(fields.get("choices"))


def _read(usage: LlmUsage, fields: Mapping[str, Any]) -> None:
    """Take what an answer (or a chunk of one) says about itself."""
    model = fields.get("model")
    if isinstance(model, str) and model:
        usage.model = model
    reported = fields.get("usage")
    if reported is None:
        return
    counts = vars(reported)
    given = _count(counts, "prompt_tokens", "input_tokens")
    made = _count(counts, "completion_tokens", "output_tokens")
    cached = _count(counts, "cache_read_input_tokens")
    if given != UNKNOWN and "cache_read_input_tokens" in counts:
        # anthropic counts what it read from and wrote to the cache beside the input.
        given += max(cached, 0) + max(_count(counts, "cache_creation_input_tokens"), 0)
    for details in ("prompt_tokens_details", "input_tokens_details"):
        if counts.get(details) is not None:
            cached = _count(vars(counts[details]), "cached_tokens")
    reasoning = UNKNOWN
    for details in ("completion_tokens_details", "output_tokens_details"):
        if counts.get(details) is not None:
            reasoning = _count(vars(counts[details]), "reasoning_tokens", "thinking_tokens")
    # A later report counts, but what it leaves out stands.
    usage.input_tokens = given if given != UNKNOWN else usage.input_tokens
    usage.output_tokens = made if made != UNKNOWN else usage.output_tokens
    usage.cached_tokens = cached if cached != UNKNOWN else usage.cached_tokens
    usage.reasoning_tokens = reasoning if reasoning != UNKNOWN else usage.reasoning_tokens


def _count(counts: Mapping[str, Any], *names: str) -> int:
    for name in names:
        found = as_count(counts.get(name))
        if found != UNKNOWN:
            return found
    return UNKNOWN


# --- OpenTelemetry spans -----------------------------------------------------------------


def note_llm_span(record: RequestRecord, span: "ReadableSpan") -> None:
    """Take a finished span into the record, if it is a call to a model.

    Spans of one call lie inside each other (a framework's, the client's instrumentation), and
    the client's own account inside them: they are one call, and what one leaves out the other
    may know.
    """
    attributes = span.attributes or {}
    if not is_llm_call(attributes) or span.start_time is None or span.end_time is None:
        return
    offset = record.start_clock - record.start_unix
    usage = usage_of(attributes)
    call = LlmCall(span.start_time + offset, _running_task(record), usage)
    call.end = span.end_time + offset
    _read_events(call, span, span.start_time)
    inside = [
        known
        for known in record.llm_calls
        if known.start >= call.start - NESTED_NS and known.end <= call.end + NESTED_NS
    ]
    if inside:
        # Of several side by side it is one of the same task, and the one that ended with it.
        known = max(inside, key=lambda each: (each.task == call.task, each.end))
        known.usage.fill_from(usage)
        known.chunks = call.chunks if known.chunks == UNKNOWN else known.chunks
    elif len(record.llm_calls) < MOST_CALLS:
        record.llm_calls.append(call)


def _read_events(call: LlmCall, span: "ReadableSpan", start: int) -> None:
    chunks = [event.timestamp for event in span.events if event.name in CHUNK_EVENTS]
    first = [event.timestamp for event in span.events if event.name in FIRST_CHUNK_EVENTS]
    if chunks:
        call.chunks = len(chunks)
    if chunks or first:
        call.usage.streamed = True
        if call.usage.first_chunk_ns == UNKNOWN:
            call.usage.first_chunk_ns = max(min([*chunks, *first]) - start, 0)
