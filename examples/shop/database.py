"""The connection pool, the time a query takes, and the first rows.

A database on the same disk answers in microseconds, one across a network does not. Queries
therefore carry ``Database.service_time()``: the server sleeps for a drawn time before it
answers, and the connection is busy meanwhile. PostgreSQL brings ``pg_sleep`` for that,
SQLite is given a function of the same name.
"""

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy import ColumnElement, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.schema import CreateIndex, CreateTable

from shop.latency import Lognormal
from shop.seed_data import product_rows
from shop.settings import Settings
from shop.tables import Product, Table

LATENCY_SIGMA = 0.35
POOL_TIMEOUT_S = 60.0
LOCK_TIMEOUT_S = 30.0
SETUP_LOCK = 7_043_001


@dataclass(frozen=True, slots=True)
class Database:
    """The engine, its sessions, and the law of its query times."""

    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]
    latency: Lognormal
    pool_size: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "Database":
        on_sqlite = settings.database_url.startswith("sqlite")
        engine = create_async_engine(
            settings.database_url,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=settings.db_pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_S,
            # No request writes more than one statement, so every statement is a transaction
            # of its own and nothing has to be rolled back when a connection is returned.
            isolation_level="AUTOCOMMIT",
            skip_autocommit_rollback=True,
            connect_args={"timeout": LOCK_TIMEOUT_S},
        )
        if on_sqlite:
            event.listen(engine.sync_engine, "connect", _prepare_sqlite_connection)
        return cls(
            engine=engine,
            sessions=async_sessionmaker(engine, expire_on_commit=False),
            latency=Lognormal(settings.db_latency_median_s, LATENCY_SIGMA, settings.seed),
            pool_size=settings.db_pool_size,
        )

    def service_time(self) -> ColumnElement[bool]:
        """Return a condition that is always true and takes the server a drawn time.

        The subquery depends on no row, so both databases evaluate it once per statement.
        """
        return select(func.pg_sleep(self.latency.draw_s())).scalar_subquery().is_not(None)

    async def prepare(self) -> None:
        """Create missing tables and products, and open every connection of the pool."""
        await self._create_tables()
        connections = [self.engine.connect() for _ in range(self.pool_size)]
        await asyncio.gather(*(connection.start() for connection in connections))
        await asyncio.gather(*(connection.close() for connection in connections))

    async def _create_tables(self) -> None:
        """Create what is missing; several workers may do this at the same moment."""
        on_sqlite = self.engine.dialect.name == "sqlite"
        insert = sqlite.insert if on_sqlite else postgresql.insert
        async with self.engine.connect() as connection:
            if not on_sqlite:
                await connection.execute(select(func.pg_advisory_lock(SETUP_LOCK)))
            for table in Table.metadata.sorted_tables:
                await connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    await connection.execute(CreateIndex(index, if_not_exists=True))
            await connection.execute(
                insert(Product).values(list(product_rows())).on_conflict_do_nothing()
            )
            if not on_sqlite:
                await connection.execute(select(func.pg_advisory_unlock(SETUP_LOCK)))


def _prepare_sqlite_connection(connection: AsyncAdapt_aiosqlite_connection, _: object) -> None:
    # Runs in the thread of the connection, where sleeping releases the GIL as a socket would.
    connection.create_function("pg_sleep", 1, _sleep)
    cursor = connection.cursor()
    # With a write-ahead log readers and the writer do not lock each other out.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _sleep(duration_s: float) -> str:
    time.sleep(duration_s)
    return ""
