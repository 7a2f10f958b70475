"""Stock levels and current prices, answered after a realistic delay.

The answers are a function of the article number alone; only the time an answer takes is
random, drawn from a gamma law with its own seed.
"""

import asyncio
import os
import random
import re
import zlib
from typing import Annotated

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

FIRST_SKU, LAST_SKU = 1, 500
DELAY_SHAPE = 4.0

_SKU = re.compile(r"sku-([1-9]\d*)")

app = FastAPI(title="Catalog")


class StockQuery(BaseModel):
    skus: Annotated[list[str], Field(min_length=1, max_length=50)]


class StockItem(BaseModel):
    sku: str
    available: int
    price_cents: int


class StockAnswer(BaseModel):
    items: list[StockItem]


class Delays:
    """Seeded answer times in seconds."""

    def __init__(self, mean_s: float, seed: int) -> None:
        self._rng = random.Random(seed)
        self._scale_s = mean_s / DELAY_SHAPE

    def draw_s(self) -> float:
        return self._rng.gammavariate(DELAY_SHAPE, self._scale_s)


delays = Delays(
    mean_s=float(os.environ.get("CATALOG_LATENCY_MS", "12")) / 1000,
    seed=int(os.environ.get("CATALOG_SEED", "1")),
)


@app.post("/stock")
async def stock(query: StockQuery) -> StockAnswer:
    """Return stock and current price of several articles, in the order asked."""
    await asyncio.sleep(delays.draw_s())
    return StockAnswer(items=[look_up(sku) for sku in query.skus])


@app.get("/stock/{sku}")
async def stock_of_one(sku: str) -> StockItem:
    """Return stock and current price of one article."""
    await asyncio.sleep(delays.draw_s())
    return look_up(sku)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


def look_up(sku: str) -> StockItem:
    """Return the article, or answer 404 when there is no such number."""
    match = _SKU.fullmatch(sku)
    if match is None or not FIRST_SKU <= int(match[1]) <= LAST_SKU:
        raise HTTPException(404, f"no article {sku!r}")
    digest = zlib.crc32(sku.encode())
    return StockItem(sku=sku, available=50 + digest % 450, price_cents=495 + digest % 20_000)
