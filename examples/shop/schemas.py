"""What the shop accepts and answers."""

from datetime import date, datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field, PositiveInt, computed_field

from shop.tables import Product

Percent = Annotated[int, Field(ge=0, le=100)]


class Dimensions(BaseModel):
    w: PositiveInt
    d: PositiveInt
    h: PositiveInt


class Review(BaseModel):
    stars: Annotated[int, Field(ge=1, le=5)]
    text: str
    helpful_votes: Annotated[int, Field(ge=0)]


class Offer(BaseModel):
    from_quantity: PositiveInt
    discount_percent: Percent


class ProductDetails(BaseModel):
    dimensions_mm: Dimensions
    tags: list[str]
    reviews: list[Review]
    offers: list[Offer]


class ProductPage(BaseModel):
    id: int
    sku: str
    name: str
    series: str
    description: str
    price_cents: int
    details: ProductDetails

    @classmethod
    def from_row(cls, row: Product) -> Self:
        return cls.model_validate(row, from_attributes=True)

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def rating(self) -> float | None:
        stars = [review.stars for review in self.details.reviews]
        return round(sum(stars) / len(stars), 2) if stars else None


class SearchHit(BaseModel):
    score: float
    product: ProductPage


class SearchPage(BaseModel):
    query: str
    page: int
    found: int
    hits: list[SearchHit]


class OrderLine(BaseModel):
    sku: str
    quantity: Annotated[int, Field(ge=1, le=99)]


class NewOrder(BaseModel):
    customer: Annotated[str, Field(min_length=1, max_length=50)]
    lines: Annotated[list[OrderLine], Field(min_length=1, max_length=8)]


class PricedLine(OrderLine):
    unit_price_cents: int
    discount_percent: Percent

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def amount_cents(self) -> int:
        return self.quantity * self.unit_price_cents * (100 - self.discount_percent) // 100


class OrderReceipt(BaseModel):
    id: int
    customer: str
    lines: list[PricedLine]
    total_cents: int
    earlier_orders: int
    created_at: datetime


class SeriesSales(BaseModel):
    series: str
    sold: int
    revenue_cents: int
    median_amount_cents: int


class DayReport(BaseModel):
    day: date
    sales: int
    revenue_cents: int
    by_series: list[SeriesSales]
    checksum: str


class Question(BaseModel):
    question: Annotated[str, Field(min_length=1, max_length=2000)]
    max_tokens: Annotated[int, Field(ge=1, le=400)] = 100


class Health(BaseModel):
    status: str
