"""The chat-completions wire format: what clients send and the bytes they get back.

Chunks are put together from parts encoded once per request: this server runs beside the
service under test and must leave the cores to it.
"""

import json
from dataclasses import dataclass

from pydantic import BaseModel, Field


class Message(BaseModel):
    role: str
    content: str


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The part of a request that this server acts on; other fields are ignored."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()

    @property
    def token_limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """One finished completion: its words are its tokens."""

    completion_id: str
    model: str
    created: int
    words: list[str]
    finish_reason: str
    prompt_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": len(self.words),
            "total_tokens": self.prompt_tokens + len(self.words),
        }

    def completion(self) -> dict[str, object]:
        """Return the body of a completion that is not streamed."""
        message = {"role": "assistant", "content": "".join(self.words)}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        return self._head("chat.completion") | {"choices": [choice], "usage": self.usage}

    def token_chunks(self) -> list[bytes]:
        """Return one server-sent event per token."""
        head = json.dumps(self._head("chat.completion.chunk"), separators=(",", ":"))[:-1]
        start = f'data: {head},"choices":[{{"index":0,"delta":{{"content":'
        end = '},"finish_reason":null}]}\n\n'
        chunks = [f'{start}"{word}"{end}' for word in self.words]
        chunks[0] = chunks[0].replace('"delta":{', '"delta":{"role":"assistant",', 1)
        return [chunk.encode() for chunk in chunks]

    def closing_chunks(self, *, include_usage: bool) -> bytes:
        """Return the events after the last token: why it ended, usage if asked, done."""
        head = self._head("chat.completion.chunk")
        end = {"index": 0, "delta": {}, "finish_reason": self.finish_reason}
        events: list[dict[str, object]] = [head | {"choices": [end]}]
        if include_usage:
            events.append(head | {"choices": [], "usage": self.usage})
        encoded = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        return f"{encoded}data: [DONE]\n\n".encode()

    def _head(self, kind: str) -> dict[str, object]:
        return {
            "id": self.completion_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
        }
