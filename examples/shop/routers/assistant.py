"""The shopping assistant: streams the words of a language model as they arrive."""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse
from openai import APIError, AsyncStream
from openai.types.chat import ChatCompletionChunk

from shop.resources import FromApp
from shop.schemas import Question

INSTRUCTIONS = "You advise the customers of a furniture shop. Answer in a few sentences."

router = APIRouter(tags=["assistant"])


@router.post("/assistant")
async def assistant(question: Question, resources: FromApp) -> StreamingResponse:
    """Answer with server-sent events: ``token`` for every word, ``usage`` at the end."""
    try:
        chunks = await resources.llm.chat.completions.create(
            model=resources.settings.llm_model,
            messages=[
                {"role": "system", "content": INSTRUCTIONS},
                {"role": "user", "content": question.question},
            ],
            max_tokens=question.max_tokens,
            stream=True,
            stream_options={"include_usage": True},
        )
    except APIError as error:
        raise HTTPException(502, "the language model cannot be reached") from error
    return StreamingResponse(as_events(chunks), media_type="text/event-stream")


async def as_events(chunks: AsyncStream[ChatCompletionChunk]) -> AsyncIterator[str]:
    async with chunks:
        async for chunk in chunks:
            for choice in chunk.choices:
                if choice.delta.content:
                    yield f"event: token\ndata: {json.dumps(choice.delta.content)}\n\n"
            if chunk.usage is not None:
                usage = chunk.usage.model_dump_json(exclude_none=True)
                yield f"event: usage\ndata: {usage}\n\n"
