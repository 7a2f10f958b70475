"""Rank products for a search by how well their words match (BM25) and by their reviews."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from shop.schemas import ProductPage, Review

SATURATION = 1.2
LENGTH_WEIGHT = 0.75
PRIOR_STARS, PRIOR_WEIGHT = 3.5, 4.0

_WORD = re.compile(r"[a-z0-9]+")


def rank(query: str, products: Sequence[ProductPage]) -> list[tuple[float, ProductPage]]:
    """Return the products with their scores, best first; equal scores in order of id."""
    documents = [Counter(_words(product)) for product in products]
    terms = _WORD.findall(query.lower())
    weights = {term: _rarity(term, documents) for term in terms}
    mean_length = sum(document.total() for document in documents) / max(1, len(documents))
    scored = [
        (
            round(_match(document, weights, mean_length) + _liking(product.details.reviews), 4),
            product,
        )
        for document, product in zip(documents, products, strict=True)
    ]
    return sorted(scored, key=lambda hit: (-hit[0], hit[1].id))


def _words(product: ProductPage) -> list[str]:
    reviews = " ".join(review.text for review in product.details.reviews)
    text = f"{product.name} {product.description} {' '.join(product.details.tags)} {reviews}"
    return _WORD.findall(text.lower())


def _rarity(term: str, documents: Sequence[Counter[str]]) -> float:
    containing = sum(term in document for document in documents)
    return math.log1p((len(documents) - containing + 0.5) / (containing + 0.5))


def _match(document: Counter[str], weights: dict[str, float], mean_length: float) -> float:
    length_ratio = document.total() / mean_length
    damping = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * length_ratio)
    return sum(
        weight * document[term] * (SATURATION + 1) / (document[term] + damping)
        for term, weight in weights.items()
    )


def _liking(reviews: Sequence[Review]) -> float:
    """Return the mean stars, drawn to a prior while there are few helpful votes."""
    votes = sum(1 + review.helpful_votes for review in reviews)
    stars = sum(review.stars * (1 + review.helpful_votes) for review in reviews)
    return (stars + PRIOR_STARS * PRIOR_WEIGHT) / (votes + PRIOR_WEIGHT)
