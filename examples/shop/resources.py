"""Everything the shop opens at start and closes at the end, and how endpoints get it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import httpx
from fastapi import Depends, Request
from openai import AsyncOpenAI

from shop.archive import SalesArchive
from shop.database import Database
from shop.settings import Settings

PEER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Resources:
    """The open connections of one process."""

    settings: Settings
    database: Database
    catalog: httpx.AsyncClient
    llm: AsyncOpenAI
    archive: SalesArchive


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    async with AsyncExitStack() as stack:
        database = Database.from_settings(settings)
        stack.push_async_callback(database.engine.dispose)
        await database.prepare()
        catalog = httpx.AsyncClient(base_url=settings.catalog_url, timeout=PEER_TIMEOUT_S)
        llm = AsyncOpenAI(
            base_url=settings.llm_url, api_key="local", timeout=PEER_TIMEOUT_S, max_retries=0
        )
        yield Resources(
            settings=settings,
            database=database,
            catalog=await stack.enter_async_context(catalog),
            llm=await stack.enter_async_context(llm),
            archive=SalesArchive(settings.seed),
        )


def _of_request(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


FromApp = Annotated[Resources, Depends(_of_request)]
