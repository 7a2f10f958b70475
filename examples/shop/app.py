"""The shop: put together from its routers, with its resources open while it serves."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from shop.resources import open_resources
from shop.routers import assistant, health, orders, products, reports, search
from shop.settings import Settings


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with open_resources(Settings.from_environment()) as resources:
        app.state.resources = resources
        # What is imported by now stays for good. Left to the garbage collector it would stop
        # the shop for a tenth of a second every few hundred requests.
        gc.collect()
        gc.freeze()
        yield


app = FastAPI(title="Shop", lifespan=lifespan)
for module in (products, search, orders, reports, assistant, health):
    app.include_router(module.router)
