"""Search: candidates from the database, ranking in Python."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import or_, select

from shop.ranking import rank
from shop.resources import FromApp
from shop.schemas import ProductPage, SearchHit, SearchPage
from shop.tables import Product

CANDIDATES = 40
PAGE_LENGTH = 10

router = APIRouter(tags=["search"])


@router.get("/search")
async def search(
    resources: FromApp,
    q: Annotated[str, Query(min_length=2, max_length=50)],
    page: Annotated[int, Query(ge=1, le=10)] = 1,
) -> SearchPage:
    database = resources.database
    query = (
        select(Product)
        .where(or_(Product.series == q, Product.name.icontains(q, autoescape=True)))
        .where(database.service_time())
        .order_by(Product.id)
        .limit(CANDIDATES)
    )
    async with database.sessions() as session:
        rows = (await session.scalars(query)).all()
    ranked = rank(q, [ProductPage.from_row(row) for row in rows])
    first = (page - 1) * PAGE_LENGTH
    return SearchPage(
        query=q,
        page=page,
        found=len(ranked),
        hits=[
            SearchHit(score=score, product=product)
            for score, product in ranked[first : first + PAGE_LENGTH]
        ],
    )
