"""The tables of the shop."""

from datetime import datetime

from sqlalchemy import JSON, DateTime, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    """Base of all tables."""


class Product(Table):
    """An article with everything its page shows; ``details`` is checked by the schemas."""

    __tablename__ = "shop_products"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    series: Mapped[str] = mapped_column(String(10), index=True)
    description: Mapped[str]
    price_cents: Mapped[int]
    details: Mapped[dict[str, object]] = mapped_column(JSON)


class Order(Table):
    """An accepted order.

    Its lines are part of the row: they are written once and always read with the order, and
    a single INSERT never holds SQLite's write lock across a turn of the event loop.
    """

    __tablename__ = "shop_orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(String(50), index=True)
    total_cents: Mapped[int]
    lines: Mapped[list[dict[str, object]]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
