"""A service whose waits have known laws, for calibrating against the truth.

Waits are futures that a timer resolves, not ``asyncio.sleep``: the recorder can read the
length of a sleep off its coroutine, and that would make the test too easy.
"""

import asyncio
import random
import time

from fastapi import FastAPI

app = FastAPI(title="Known truth")
_random = random.Random(5)
drawn: tuple[list[float], list[float]] = ([], [])

LOGNORM_MEDIAN_S, LOGNORM_SIGMA = 0.030, 0.4
GAMMA_SHAPE, GAMMA_SCALE_S = 2.0, 0.015


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def answer_after(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[None] = loop.create_future()
    loop.call_later(seconds, answer.set_result, None)
    await answer


@app.get("/work")
async def work() -> dict[str, bool]:
    burn(_random.uniform(0.001, 0.002))
    first = _random.lognormvariate(0.0, LOGNORM_SIGMA) * LOGNORM_MEDIAN_S
    drawn[0].append(first)
    await answer_after(first)
    burn(_random.uniform(0.001, 0.002))
    second = _random.gammavariate(GAMMA_SHAPE, GAMMA_SCALE_S)
    drawn[1].append(second)
    await answer_after(second)
    burn(_random.uniform(0.001, 0.002))
    return {"ok": True}


@app.get("/truth")
async def truth() -> tuple[list[float], list[float]]:
    """Return every wait that was drawn, in seconds."""
    return drawn
