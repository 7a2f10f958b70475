"""What spans of language-model calls say, in every naming that is in use.

The OpenTelemetry conventions (``gen_ai.*``, current and older), OpenLLMetry (``llm.usage.*``,
``llm.request.*``), OpenInference (``llm.token_count.*``) and what pydantic-ai adds. Standard
library only: the collector uses it inside production services.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN = -1

_OPERATIONS = frozenset(
    {"chat", "completion", "text_completion", "generate_content", "responses", "embeddings"}
)
"""``gen_ai.operation.name`` of calls to a model; agents, tools and workflows are none."""
_INFERENCE_KINDS = frozenset({"LLM", "EMBEDDING", "RERANKER"})
_REQUEST_TYPES = frozenset({"chat", "completion", "embedding", "rerank"})

_INPUT = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.usage.prompt_tokens",
    "llm.usage.input_tokens",
    "llm.token_count.prompt",
)
_OUTPUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
    "llm.usage.output_tokens",
    "llm.token_count.completion",
)
_CACHED = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cached_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "llm.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
    "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
)
_MODEL = (
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.response.model",
    "llm.request.model",
    "llm.model_name",
    "embedding.model_name",
)
_PROVIDER = (
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "llm.vendor",
    "llm.system",
)
_STREAMED = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")
_FIRST_CHUNK_S = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.response.time_to_first_token",
    "gen_ai.server.time_to_first_token",
)

FIRST_CHUNK_EVENTS = frozenset({"First Token Stream Event"})
"""Span events that mark the first chunk of a stream (OpenInference)."""
CHUNK_EVENTS = frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk"})
"""Span events that mark one chunk each (OpenLLMetry)."""


@dataclass(slots=True)
class LlmUsage:
    """What is known of one call to a language model.

    Attributes
    ----------
    input_tokens, output_tokens
        All of them, those below included; -1 where unknown.
    cached_tokens
        Input tokens that the provider read from its cache; -1 where unknown.
    reasoning_tokens
        Output tokens that are not part of the visible answer; -1 where unknown.
    streamed
        Whether the answer came in chunks; None where unknown.
    first_chunk_ns
        From the call to the first chunk of the answer itself; -1 where unknown.
    """

    input_tokens: int = UNKNOWN
    output_tokens: int = UNKNOWN
    cached_tokens: int = UNKNOWN
    reasoning_tokens: int = UNKNOWN
    model: str = ""
    provider: str = ""
    streamed: bool | None = None
    first_chunk_ns: int = UNKNOWN

    def fill_from(self, other: "LlmUsage") -> None:
        """Take over what ``other`` knows and this does not."""
        for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"):
            if getattr(self, name) == UNKNOWN:
                setattr(self, name, getattr(other, name))
        self.model = self.model or other.model
        self.provider = self.provider or other.provider
        self.streamed = other.streamed if self.streamed is None else self.streamed
        if self.first_chunk_ns == UNKNOWN:
            self.first_chunk_ns = other.first_chunk_ns


def is_llm_call(attributes: Mapping[str, Any]) -> bool:
    """Tell whether a span is a call to a model: no agent, no tool, no chain around calls."""
    operation = attributes.get("gen_ai.operation.name")
    if operation is not None:
        return operation in _OPERATIONS
    inference = attributes.get("openinference.span.kind")
    if inference is not None:
        return str(inference).upper() in _INFERENCE_KINDS
    return (
        attributes.get("llm.request.type") in _REQUEST_TYPES
        or any(name in attributes for name in _INPUT)
        or any(name in attributes for name in _OUTPUT)
    )


def usage_of(attributes: Mapping[str, Any]) -> LlmUsage:
    """Return what the attributes of a call to a model say."""
    first_s = _first(attributes, _FIRST_CHUNK_S)
    streamed = _first(attributes, _STREAMED)
    known_first = isinstance(first_s, (int, float)) and first_s >= 0
    return LlmUsage(
        input_tokens=as_count(_first(attributes, _INPUT)),
        output_tokens=as_count(_first(attributes, _OUTPUT)),
        cached_tokens=as_count(_first(attributes, _CACHED)),
        reasoning_tokens=as_count(_first(attributes, _REASONING)),
        model=str(_first(attributes, _MODEL) or ""),
        provider=str(_first(attributes, _PROVIDER) or ""),
        streamed=bool(streamed) if streamed is not None else (True if known_first else None),
        first_chunk_ns=round(first_s * 1e9) if known_first else UNKNOWN,
    )


def as_count(value: object) -> int:
    """Return a number of tokens, -1 for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return UNKNOWN
    return int(value) if 0 <= value < 2**53 else UNKNOWN


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((attributes[name] for name in names if attributes.get(name) is not None), None)
