"""The product page."""

from fastapi import APIRouter, HTTPException
from sqlalchemy import select

from shop.resources import FromApp
from shop.schemas import ProductPage
from shop.tables import Product

router = APIRouter(tags=["products"])


@router.get("/products/{product_id}")
async def product_page(product_id: int, resources: FromApp) -> ProductPage:
    database = resources.database
    query = select(Product).where(Product.id == product_id, database.service_time())
    async with database.sessions() as session:
        product = await session.scalar(query)
    if product is None:
        raise HTTPException(404, f"no product {product_id}")
    return ProductPage.from_row(product)
