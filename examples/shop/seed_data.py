"""The 500 products of the shop, the same in every database."""

import random
from collections.abc import Iterator

PRODUCTS = 500
SERIES = tuple(f"m{number}" for number in range(10, 22))

MATERIALS = ("oak", "walnut", "steel", "linen", "glass", "brass", "cork", "ceramic")
KINDS = ("lamp", "desk", "shelf", "chair", "stand", "mirror", "clock", "tray", "stool")
VOCABULARY = (
    "light warm narrow folding stackable quiet round low tall matte oiled brushed woven solid "
    "washable wall floor corner hallway office bedroom kitchen balcony studio winter evening "
    "reading writing storage guest family everyday repairable recycled flat packed two year "
    "warranty shipped assembled colour height width edge foot cable switch dimmer shade frame"
)
WORDS = VOCABULARY.split()


def product_rows(seed: int = 20_260_301) -> Iterator[dict[str, object]]:
    """Return the rows of the product table."""
    rng = random.Random(seed)
    for number in range(1, PRODUCTS + 1):
        material, kind = rng.choice(MATERIALS), rng.choice(KINDS)
        series = SERIES[number % len(SERIES)]
        yield {
            "id": number,
            "sku": f"sku-{number}",
            "name": f"{material.title()} {kind} {series}",
            "series": series,
            "description": " ".join(rng.choices((*WORDS, material, kind), k=40)),
            "price_cents": rng.randrange(495, 49_995, 10),
            "details": {
                "dimensions_mm": {side: rng.randint(80, 1900) for side in ("w", "d", "h")},
                "tags": rng.sample(WORDS, k=4),
                "reviews": [_review(rng) for _ in range(rng.randint(2, 5))],
                "offers": [
                    {"from_quantity": quantity, "discount_percent": discount}
                    for quantity, discount in ((5, 3), (10, rng.randint(4, 8)))
                ],
            },
        }


def _review(rng: random.Random) -> dict[str, object]:
    return {
        "stars": rng.choices((1, 2, 3, 4, 5), weights=(1, 1, 3, 6, 6))[0],
        "text": " ".join(rng.choices(WORDS, k=8)),
        "helpful_votes": rng.randint(0, 30),
    }
