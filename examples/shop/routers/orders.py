"""Orders: prices from the catalog service, then the order into the database."""

from datetime import UTC, datetime

import httpx
from fastapi import APIRouter, HTTPException, status
from pydantic import BaseModel
from sqlalchemy import func, select

from shop.database import Database
from shop.resources import FromApp
from shop.schemas import NewOrder, Offer, OrderLine, OrderReceipt, PricedLine, ProductDetails
from shop.tables import Order, Product

router = APIRouter(tags=["orders"])


class CatalogItem(BaseModel):
    sku: str
    available: int
    price_cents: int


class CatalogAnswer(BaseModel):
    items: list[CatalogItem]


@router.post("/orders", status_code=status.HTTP_201_CREATED)
async def place_order(order: NewOrder, resources: FromApp) -> OrderReceipt:
    items = await current_prices(order, resources.catalog)
    return await store(order, items, resources.database)


async def current_prices(order: NewOrder, catalog: httpx.AsyncClient) -> dict[str, CatalogItem]:
    """Ask the catalog service for stock and price of everything in the order."""
    try:
        answer = await catalog.post("/stock", json={"skus": [line.sku for line in order.lines]})
    except httpx.HTTPError as error:
        raise HTTPException(502, "the catalog service cannot be reached") from error
    if answer.status_code == status.HTTP_404_NOT_FOUND:
        raise HTTPException(422, answer.json()["detail"])
    if answer.is_error:
        raise HTTPException(502, f"the catalog service answered {answer.status_code}")
    items = {item.sku: item for item in CatalogAnswer.model_validate_json(answer.content).items}
    for line in order.lines:
        if items[line.sku].available < line.quantity:
            raise HTTPException(409, f"only {items[line.sku].available} of {line.sku} in stock")
    return items


async def store(order: NewOrder, items: dict[str, CatalogItem], database: Database) -> OrderReceipt:
    """Price the lines with the offers of the shop and insert the order."""
    earlier = select(func.count()).where(Order.customer == order.customer)
    products = select(Product).where(Product.sku.in_(items))
    async with database.sessions() as session:
        earlier_orders = await session.scalar(earlier.where(database.service_time()))
        rows = await session.scalars(products.where(database.service_time()))
        offers = {row.sku: ProductDetails.model_validate(row.details).offers for row in rows}
        lines = [
            PricedLine(
                **line.model_dump(),
                unit_price_cents=items[line.sku].price_cents,
                discount_percent=discount(line, offers[line.sku]),
            )
            for line in order.lines
        ]
        row = Order(
            customer=order.customer,
            total_cents=sum(line.amount_cents for line in lines),
            lines=[line.model_dump() for line in lines],
            created_at=datetime.now(UTC),
        )
        session.add(row)
        await session.commit()
    return OrderReceipt(
        id=row.id,
        customer=row.customer,
        lines=lines,
        total_cents=row.total_cents,
        earlier_orders=earlier_orders or 0,
        created_at=row.created_at,
    )


def discount(line: OrderLine, offers: list[Offer]) -> int:
    """Return the best discount in percent that the quantity earns."""
    earned = (o.discount_percent for o in offers if line.quantity >= o.from_quantity)
    return max(earned, default=0)
