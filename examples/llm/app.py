"""OpenAI-compatible chat completions whose timing follows known laws.

How many tokens an answer has depends on the prompt alone, so the same question always gets
the same answer; how long the first and every further token takes is drawn with a seed.
"""

import asyncio
import itertools
import os
import random
import time
import zlib
from collections.abc import AsyncIterator

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from llm.protocol import Answer, ChatRequest

MODEL = "local-small"
FEWEST_TOKENS, MOST_TOKENS = 20, 50
FIRST_TOKEN_SIGMA = 0.3
TOKEN_SHAPE = 3.0
TEXT = (
    "The lamp fits that desk well , and its warm light makes long evenings easier . "
    "Choose the oak stand when you need more height or the linen shade for softer colour ."
)
WORDS = TEXT.split()


class Timing:
    """Seeded times in seconds: lognormal to the first token, gamma between tokens."""

    def __init__(self, first_token_median_s: float, token_mean_s: float, seed: int) -> None:
        self._rng = random.Random(seed)
        self._first_token_median_s = first_token_median_s
        self._token_scale_s = token_mean_s / TOKEN_SHAPE

    def draw_s(self, tokens: int) -> list[float]:
        """Return the moment of every token, counted from the start of the request."""
        first_s = self._first_token_median_s * self._rng.lognormvariate(0.0, FIRST_TOKEN_SIGMA)
        gaps_s = (
            self._rng.gammavariate(TOKEN_SHAPE, self._token_scale_s) for _ in range(tokens - 1)
        )
        return list(itertools.accumulate(gaps_s, initial=first_s))


timing = Timing(
    first_token_median_s=float(os.environ.get("LLM_FIRST_TOKEN_MS", "60")) / 1000,
    token_mean_s=float(os.environ.get("LLM_TOKEN_MS", "6")) / 1000,
    seed=int(os.environ.get("LLM_SEED", "1")),
)


def compose(request: ChatRequest) -> Answer:
    """Write the answer: words and length follow from the prompt, never from the clock."""
    prompt = "\n".join(message.content for message in request.messages)
    digest = zlib.crc32(prompt.encode())
    wanted = FEWEST_TOKENS + digest % (MOST_TOKENS - FEWEST_TOKENS + 1)
    tokens = min(wanted, request.token_limit or wanted)
    return Answer(
        completion_id=f"chatcmpl-{digest:08x}",
        model=request.model,
        created=int(time.time()),
        words=[WORDS[(digest + i) % len(WORDS)] + " " for i in range(tokens)],
        finish_reason="stop" if tokens == wanted else "length",
        prompt_tokens=len(prompt.split()),
    )


async def send_tokens(answer: Answer, *, include_usage: bool) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    # Every token has its own moment on the clock: a late one does not push back the rest.
    moments_s = timing.draw_s(len(answer.words))
    for chunk, moment_s in zip(answer.token_chunks(), moments_s, strict=True):
        await asyncio.sleep(start_s + moment_s - loop.time())
        yield chunk
    yield answer.closing_chunks(include_usage=include_usage)


async def chat_completions(request: Request) -> Response:
    try:
        chat = ChatRequest.model_validate_json(await request.body())
    except ValidationError as error:
        reason = {"message": str(error), "type": "invalid_request_error"}
        return JSONResponse({"error": reason}, status_code=400)
    answer = compose(chat)
    if chat.stream:
        tokens = send_tokens(answer, include_usage=chat.stream_options.include_usage)
        return StreamingResponse(tokens, media_type="text/event-stream")
    await asyncio.sleep(timing.draw_s(len(answer.words))[-1])
    return JSONResponse(answer.completion())


async def models(_: Request) -> Response:
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "local"}
    return JSONResponse({"object": "list", "data": [model]})


async def health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


app = Starlette(
    routes=[
        Route("/v1/chat/completions", chat_completions, methods=["POST"]),
        Route("/v1/models", models),
        Route("/health", health),
    ]
)
