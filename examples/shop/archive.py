"""The sales archive: one CSV file a day, behind a blocking client.

Stands for an object store whose client library knows no ``async``: ``read`` blocks its
thread for a drawn time and must be called from a worker thread.
"""

import random
import time
from datetime import date, timedelta

from shop.latency import Lognormal
from shop.seed_data import SERIES

FIRST_DAY, DAYS = date(2026, 3, 1), 31
SALES_PER_DAY = 600
READ_MEDIAN_S, READ_SIGMA = 0.007, 0.25


class SalesArchive:
    """The files of one month, filled with seeded sales."""

    def __init__(self, seed: int) -> None:
        self._latency = Lognormal(READ_MEDIAN_S, READ_SIGMA, seed)
        days = (FIRST_DAY + timedelta(days=n) for n in range(DAYS))
        self._files = {day: _sales_file(day) for day in days}

    def read(self, day: date) -> str:
        """Return the file of a day; blocks.

        Raises
        ------
        KeyError
            The archive has no file of that day.
        """
        content = self._files[day]
        time.sleep(self._latency.draw_s())
        return content


def _sales_file(day: date) -> str:
    rng = random.Random(day.toordinal())
    rows = (
        f"{number},{rng.choice(SERIES)},{rng.randint(1, 9)},{rng.randrange(495, 49_995, 10)}"
        for number in range(SALES_PER_DAY)
    )
    return "\n".join(("sale,series,quantity,unit_price_cents", *rows, ""))
