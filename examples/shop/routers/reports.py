"""Daily sales reports: a plain ``def`` endpoint, because its archive client blocks."""

import csv
import hashlib
from collections import defaultdict
from datetime import date
from statistics import median_low

from fastapi import APIRouter, HTTPException

from shop.resources import FromApp
from shop.schemas import DayReport, SeriesSales

router = APIRouter(tags=["reports"])


@router.get("/reports/{day}")
def day_report(day: date, resources: FromApp) -> DayReport:
    try:
        sales_file = resources.archive.read(day)
    except KeyError:
        raise HTTPException(404, f"no sales on {day}") from None
    return summarise(day, sales_file)


def summarise(day: date, sales_file: str) -> DayReport:
    """Add up the sales of a day per series and seal them with a checksum."""
    amounts: defaultdict[str, list[int]] = defaultdict(list)
    sold: defaultdict[str, int] = defaultdict(int)
    seal = hashlib.sha256()
    for sale in csv.DictReader(sales_file.splitlines()):
        quantity, unit_price_cents = int(sale["quantity"]), int(sale["unit_price_cents"])
        sold[sale["series"]] += quantity
        amounts[sale["series"]].append(quantity * unit_price_cents)
        seal.update(f"{sale['sale']}:{quantity}:{unit_price_cents};".encode())
    by_series = [
        SeriesSales(
            series=series,
            sold=sold[series],
            revenue_cents=sum(amounts[series]),
            median_amount_cents=median_low(amounts[series]),
        )
        for series in sorted(amounts)
    ]
    return DayReport(
        day=day,
        sales=sum(len(of_series) for of_series in amounts.values()),
        revenue_cents=sum(line.revenue_cents for line in by_series),
        by_series=by_series,
        checksum=seal.hexdigest(),
    )
