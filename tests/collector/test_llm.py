"""Calls to language models, from the clients themselves and from OpenTelemetry spans."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from time import perf_counter, time_ns
from typing import Any

import anyio.to_thread
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from fastsim.calibrate.recorded import LlmCall
from fastsim.collector.otel import _make_processor
from fastsim.llm_spans import is_llm_call, usage_of
from fastsim.spans import StepKind
from tests.collector.answering import Pieces, answering, events
from tests.collector.recording import Handler, record

pytestmark = pytest.mark.timed

FIRST_S, NEXT_S = 0.03, 0.02

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
RESPONSES_USAGE = {
    "input_tokens": 11,
    "output_tokens": 7,
    "total_tokens": 18,
    "input_tokens_details": {"cached_tokens": 5},
    "output_tokens_details": {"reasoning_tokens": 3},
}
MESSAGES_USAGE = {
    "input_tokens": 4,
    "output_tokens": 7,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 2,
}


def chat_chunk(content: str | None, usage: dict[str, Any] | None = None) -> dict[str, object]:
    choices = [{"index": 0, "delta": {"content": content}}] if content is not None else []
    return {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "small-2026",
        "choices": choices,
        "usage": usage,
    }


def chat(body: dict[str, Any]) -> tuple[str, Pieces]:
    if not body.get("stream"):
        message = {"role": "assistant", "content": "Hi"}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "small-2026",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": USAGE,
        }
        return "application/json", [(FIRST_S, json.dumps(answer).encode())]
    pieces = [(FIRST_S, chat_chunk("a")), (NEXT_S, chat_chunk("b")), (NEXT_S, chat_chunk("c"))]
    if (body.get("stream_options") or {}).get("include_usage"):
        pieces.append((0.0, chat_chunk(None, USAGE)))
    return "text/event-stream", [*events(*pieces), (0.0, b"data: [DONE]\n\n")]


def responses(body: dict[str, Any]) -> tuple[str, Pieces]:
    answer: dict[str, object] = {
        "id": "1",
        "object": "response",
        "created_at": 1,
        "model": "small-2026",
        "output": [],
        "usage": RESPONSES_USAGE,
    }
    if not body.get("stream"):
        return "application/json", [(FIRST_S, json.dumps(answer).encode())]
    delta = {"type": "response.output_text.delta", "delta": "a", "item_id": "1", "output_index": 0}
    pieces: list[tuple[float, dict[str, object]]] = [
        (0.0, {"type": "response.created", "response": answer | {"usage": None}}),
        (FIRST_S, delta),
        (NEXT_S, delta),
        (0.0, {"type": "response.completed", "response": answer}),
    ]
    return "text/event-stream", events(*pieces, named=True)


def messages(body: dict[str, Any]) -> tuple[str, Pieces]:
    answer: dict[str, object] = {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": "tall-2026",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": MESSAGES_USAGE,
    }
    if not body.get("stream"):
        return "application/json", [(FIRST_S, json.dumps(answer).encode())]
    begun = answer | {"content": [], "usage": MESSAGES_USAGE | {"output_tokens": 1}}
    delta = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "a"},
    }
    block = {"type": "text", "text": ""}
    pieces: list[tuple[float, dict[str, object]]] = [
        (0.0, {"type": "message_start", "message": begun}),
        (0.0, {"type": "content_block_start", "index": 0, "content_block": block}),
        (FIRST_S, delta),
        (NEXT_S, delta),
        (0.0, {"type": "content_block_stop", "index": 0}),
        (0.0, {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}}),
        (0.0, {"type": "message_stop"}),
    ]
    return "text/event-stream", events(*pieces, named=True)


def embeddings(_body: dict[str, Any]) -> tuple[str, Pieces]:
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    vector = {"object": "embedding", "index": 0, "embedding": [0.0]}
    answer = {"object": "list", "model": "vectors", "data": [vector], "usage": usage}
    return "application/json", [(FIRST_S, json.dumps(answer).encode())]


ANSWERS = {
    "/v1/chat/completions": chat,
    "/v1/responses": responses,
    "/v1/messages": messages,
    "/v1/embeddings": embeddings,
}


def answer(path: str, body: bytes) -> tuple[str, Pieces]:
    if path == "/v1/models":
        return "application/json", [(0.0, b'{"object": "list", "data": []}')]
    return ANSWERS[path](json.loads(body))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with answering(answer) as url:
        yield url


HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
Use = Callable[[Any], Awaitable[Any]]


def calls_of(make: Callable[[], Any], use: Use) -> tuple[LlmCall, ...]:
    """Record one request that uses a client; return its calls to models."""

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async def handle(_path: str) -> None:
            async with make() as client:
                await use(client)

        yield handle

    [line] = record(service, ["/"])
    for call in line.llm_calls:
        assert call.step is not None
        assert line.kind[call.step] is StepKind.LLM
    return line.llm_calls


def openai_calls(url: str, use: Use) -> tuple[LlmCall, ...]:
    openai = pytest.importorskip("openai")
    return calls_of(lambda: openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1"), use)


def anthropic_calls(url: str, use: Use) -> tuple[LlmCall, ...]:
    anthropic = pytest.importorskip("anthropic")
    return calls_of(lambda: anthropic.AsyncAnthropic(api_key="none", base_url=url), use)


def tokens(call: LlmCall) -> tuple[int | None, ...]:
    return call.input_tokens, call.output_tokens, call.cached_tokens, call.reasoning_tokens


def test_a_plain_answer_of_openai(url: str) -> None:
    took: list[float] = []

    async def use(client: Any) -> None:
        begin = perf_counter()
        found = await client.chat.completions.create(model="small", messages=HELLO)
        took.append(perf_counter() - begin)
        assert found.usage.prompt_tokens == 11

    [call] = openai_calls(url, use)
    assert tokens(call) == (11, 7, 5, 3)
    assert (call.model, call.provider, call.streamed) == ("small-2026", "openai", False)
    assert (call.first_chunk_s, call.chunks) == (None, None)
    # At least what the server took, at most what the service saw (with code of the client).
    assert FIRST_S <= call.wall_s <= took[0]


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_of_openai(url: str, *, include_usage: bool) -> None:
    moments: list[float] = []

    async def use(client: Any) -> None:
        moments.append(perf_counter())
        stream = await client.chat.completions.create(
            model="small",
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": include_usage},
        )
        assert type(stream).__name__ == "AsyncStream"
        moments.extend([perf_counter() async for chunk in stream if chunk.choices])

    [call] = openai_calls(url, use)
    assert tokens(call) == ((11, 7, 5, 3) if include_usage else (None,) * 4)
    assert (call.model, call.streamed, call.chunks) == ("small-2026", True, 3)
    assert call.first_chunk_s is not None
    assert FIRST_S <= call.first_chunk_s <= moments[1] - moments[0]
    assert call.wall_s >= FIRST_S + 2 * NEXT_S


@pytest.mark.parametrize("streamed", [True, False])
def test_the_responses_interface(url: str, *, streamed: bool) -> None:
    async def use(client: Any) -> None:
        found = await client.responses.create(model="small", input="Hello", stream=streamed)
        if streamed:
            kinds = [event.type async for event in found]
            assert kinds[-1] == "response.completed"

    [call] = openai_calls(url, use)
    assert tokens(call) == (11, 7, 5, 3)
    assert call.streamed is streamed
    if streamed:
        # What comes before the first piece of text is not it.
        assert call.chunks == 2
        assert call.first_chunk_s is not None
        assert call.first_chunk_s >= FIRST_S


def test_a_stream_that_is_left_early(url: str) -> None:
    async def use(client: Any) -> None:
        stream = await client.chat.completions.create(model="small", messages=HELLO, stream=True)
        async with stream:
            async for _ in stream:
                break

    [call] = openai_calls(url, use)
    assert (call.streamed, call.chunks) == (True, 1)
    assert tokens(call) == (None,) * 4


@pytest.mark.parametrize("streamed", [True, False])
def test_raw_responses_as_frameworks_use_them(url: str, *, streamed: bool) -> None:
    async def use(client: Any) -> None:
        raw = await client.chat.completions.with_raw_response.create(
            model="small",
            messages=HELLO,
            stream=streamed,
            stream_options={"include_usage": True} if streamed else None,
        )
        assert raw.headers["content-type"]
        found = raw.parse()
        if streamed:
            assert len([chunk async for chunk in found]) == 4

    [call] = openai_calls(url, use)
    assert tokens(call) == (11, 7, 5, 3)
    assert call.streamed is streamed


def test_embeddings_count_and_lists_of_models_do_not(url: str) -> None:
    async def use(client: Any) -> None:
        await client.embeddings.create(model="vectors", input="lamp", encoding_format="float")
        await client.models.list()

    [call] = openai_calls(url, use)
    assert tokens(call) == (9, None, None, None)
    assert call.model == "vectors"


def test_calls_side_by_side_are_kept_apart(url: str) -> None:
    async def use(client: Any) -> None:
        async def ask(model: str) -> None:
            await client.chat.completions.create(model=model, messages=HELLO)

        await asyncio.gather(ask("one"), ask("two"))

    first, second = openai_calls(url, use)
    assert {first.task, second.task} == {1, 2}
    assert first.step != second.step


def test_a_failed_call_is_no_call_and_its_error_passes(url: str) -> None:
    openai = pytest.importorskip("openai")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        async def handle(_path: str) -> None:
            client = openai.AsyncOpenAI(
                api_key="none", base_url="http://127.0.0.1:1", max_retries=0
            )
            async with client:
                with pytest.raises(openai.APIConnectionError):
                    await client.chat.completions.create(model="small", messages=HELLO)

        yield handle

    [line] = record(service, ["/"])
    assert line.llm_calls == ()


def test_a_client_in_a_thread(url: str) -> None:
    openai = pytest.importorskip("openai")

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        def ask() -> None:
            with openai.OpenAI(api_key="none", base_url=f"{url}/v1") as client:
                stream = client.chat.completions.create(
                    model="small",
                    messages=HELLO,
                    stream=True,
                    stream_options={"include_usage": True},
                )
                assert len(list(stream)) == 4

        async def handle(_path: str) -> None:
            await anyio.to_thread.run_sync(ask)

        yield handle

    [line] = record(service, ["/"])
    [call] = line.llm_calls
    assert tokens(call) == (11, 7, 5, 3)
    assert (call.streamed, call.chunks, call.step) == (True, 3, None)


def test_anthropic_counts_its_cache_beside_the_input(url: str) -> None:
    async def use(client: Any) -> None:
        await client.messages.create(model="tall", max_tokens=9, messages=HELLO)

    [call] = anthropic_calls(url, use)
    assert tokens(call) == (4 + 5 + 2, 7, 5, None)
    assert (call.model, call.provider, call.streamed) == ("tall-2026", "anthropic", False)


@pytest.mark.parametrize("helper", [True, False])
def test_a_stream_of_anthropic(url: str, *, helper: bool) -> None:
    async def use(client: Any) -> None:
        if helper:
            async with client.messages.stream(model="tall", max_tokens=9, messages=HELLO) as stream:
                assert await stream.get_final_text() == "aa"
            return
        stream = await client.messages.create(
            model="tall", max_tokens=9, messages=HELLO, stream=True
        )
        assert [event.type async for event in stream][-1] == "message_stop"

    [call] = anthropic_calls(url, use)
    assert tokens(call) == (11, 7, 5, None)
    assert (call.model, call.streamed, call.chunks) == ("tall-2026", True, 2)
    assert call.first_chunk_s is not None
    assert call.first_chunk_s >= FIRST_S


# --- OpenTelemetry -----------------------------------------------------------------------

NAMINGS: dict[str, dict[str, Any]] = {
    "current": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "small-2026",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 3,
    },
    "older": {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "small-2026",
        "gen_ai.usage.prompt_tokens": 11,
        "gen_ai.usage.completion_tokens": 7,
    },
    "OpenLLMetry": {
        "llm.request.type": "chat",
        "gen_ai.system": "openai",
        "gen_ai.response.model": "small-2026",
        "gen_ai.is_streaming": True,
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read_input_tokens": 5,
        "gen_ai.usage.reasoning_tokens": 3,
    },
    "older OpenLLMetry": {
        "llm.request.type": "chat",
        "llm.vendor": "openai",
        "llm.request.model": "small-2026",
        "llm.usage.prompt_tokens": 11,
        "llm.usage.completion_tokens": 7,
    },
    "OpenInference": {
        "openinference.span.kind": "LLM",
        "llm.provider": "openai",
        "llm.model_name": "small-2026",
        "llm.token_count.prompt": 11,
        "llm.token_count.completion": 7,
        "llm.token_count.prompt_details.cache_read": 5,
        "llm.token_count.completion_details.reasoning": 3,
    },
    "pydantic-ai": {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.response.model": "small-2026",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.details.cache_read_tokens": 5,
        "gen_ai.usage.details.reasoning_tokens": 3,
    },
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_is_read(naming: str) -> None:
    attributes = NAMINGS[naming]
    assert is_llm_call(attributes)
    usage = usage_of(attributes)
    assert (usage.input_tokens, usage.output_tokens) == (11, 7)
    assert (usage.model, usage.provider) == ("small-2026", "openai")
    apart = (usage.cached_tokens, usage.reasoning_tokens)
    assert apart == ((-1, -1) if naming.startswith("older") else (5, 3))
    assert usage.streamed is (True if naming in {"current", "OpenLLMetry"} else None)
    assert usage.first_chunk_ns == (250_000_000 if naming == "current" else -1)


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 11},
        {"gen_ai.operation.name": "execute_tool"},
        {"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 11},
        {"db.system": "redis"},
        {},
    ],
)
def test_agents_tools_and_chains_are_no_calls(attributes: dict[str, Any]) -> None:
    assert not is_llm_call(attributes)


def test_nonsense_counts_are_unknown() -> None:
    attributes = {"gen_ai.usage.input_tokens": "many", "gen_ai.usage.output_tokens": -4}
    usage = usage_of(attributes | {"gen_ai.response.time_to_first_chunk": "soon"})
    assert (usage.input_tokens, usage.output_tokens, usage.first_chunk_ns) == (-1, -1, -1)


def tracer_in_service() -> trace.Tracer:
    provider = TracerProvider()
    provider.add_span_processor(_make_processor())
    return provider.get_tracer("acme")


def calls_with_spans(use: Callable[[trace.Tracer], Awaitable[None]]) -> tuple[LlmCall, ...]:
    tracer = tracer_in_service()

    @asynccontextmanager
    async def service() -> AsyncIterator[Handler]:
        yield lambda _path: use(tracer)

    [line] = record(service, ["/"])
    return line.llm_calls


@pytest.mark.parametrize("kind", [trace.SpanKind.CLIENT, trace.SpanKind.INTERNAL])
def test_a_span_of_any_library_is_taken(kind: trace.SpanKind) -> None:
    async def use(tracer: trace.Tracer) -> None:
        with tracer.start_as_current_span("ChatCompletion", kind=kind) as span:
            await asyncio.sleep(FIRST_S)
            span.add_event("First Token Stream Event")
            await asyncio.sleep(NEXT_S)
            span.set_attributes(NAMINGS["OpenInference"])

    [call] = calls_with_spans(use)
    assert tokens(call) == (11, 7, 5, 3)
    assert call.streamed
    assert call.first_chunk_s is not None
    assert FIRST_S - 0.002 <= call.first_chunk_s <= call.wall_s - NEXT_S + 0.002


def test_chunk_events_say_when_the_first_came_and_how_many() -> None:
    async def use(tracer: trace.Tracer) -> None:
        with tracer.start_as_current_span("openai.chat", kind=trace.SpanKind.CLIENT) as span:
            span.set_attributes(NAMINGS["OpenLLMetry"])
            begin = time_ns()
            for number in range(3):
                span.add_event("gen_ai.content.completion.chunk", timestamp=begin + number * 10**6)

    [call] = calls_with_spans(use)
    assert call.chunks == 3
    assert call.first_chunk_s is not None


def test_spans_inside_each_other_are_one_call() -> None:
    async def use(tracer: trace.Tracer) -> None:
        with (
            tracer.start_as_current_span("chat", kind=trace.SpanKind.INTERNAL) as outer,
            tracer.start_as_current_span("chat small", kind=trace.SpanKind.CLIENT) as inner,
            tracer.start_as_current_span("POST", kind=trace.SpanKind.CLIENT) as post,
        ):
            await asyncio.sleep(FIRST_S)
            post.set_attribute("http.request.method", "POST")
            inner.set_attributes(NAMINGS["older"])
            outer.set_attributes(NAMINGS["OpenInference"])

    [call] = calls_with_spans(use)
    assert tokens(call) == (11, 7, 5, 3)


def test_one_call_after_another_is_two() -> None:
    async def use(tracer: trace.Tracer) -> None:
        for _ in range(2):
            with tracer.start_as_current_span("chat", kind=trace.SpanKind.CLIENT) as span:
                await asyncio.sleep(FIRST_S)
                span.set_attributes(NAMINGS["current"])

    assert len(calls_with_spans(use)) == 2


def test_an_instrumented_client_counts_once(url: str) -> None:
    """The client's own account and the span around it, side by side with another call."""
    openai = pytest.importorskip("openai")

    async def use(tracer: trace.Tracer) -> None:
        async with openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1") as client:

            async def ask(cost: str) -> None:
                with tracer.start_as_current_span("chat", kind=trace.SpanKind.CLIENT) as span:
                    await client.chat.completions.create(model="small", messages=HELLO)
                    span.set_attributes(NAMINGS["older"] | {"gen_ai.system": cost})

            await asyncio.gather(ask("a"), ask("b"))

    first, second = calls_with_spans(use)
    assert tokens(first) == tokens(second) == (11, 7, 5, 3)
    assert {first.task, second.task} == {1, 2}
