"""Liveness: answers without touching anything."""

from fastapi import APIRouter

from shop.schemas import Health

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> Health:
    return Health(status="ok")
