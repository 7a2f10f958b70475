"""What the shop reads from its environment, with defaults for running it by hand."""

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one process; times in seconds."""

    database_url: str
    db_pool_size: int
    db_latency_median_s: float
    catalog_url: str
    llm_url: str
    llm_model: str
    seed: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the ``SHOP_*`` variables.

        Raises
        ------
        ValueError
            A variable does not hold the number it should; the message names it.
        """
        database_file = Path(tempfile.gettempdir()) / "fastsim-shop.sqlite3"
        get = environment.get
        return cls(
            database_url=get("SHOP_DATABASE_URL", f"sqlite+aiosqlite:///{database_file}"),
            db_pool_size=_whole_number(environment, "SHOP_DB_POOL", 5, least=1),
            db_latency_median_s=_milliseconds(environment, "SHOP_DB_LATENCY_MS", 5.0),
            catalog_url=get("SHOP_CATALOG_URL", "http://127.0.0.1:8001"),
            llm_url=get("SHOP_LLM_URL", "http://127.0.0.1:8002/v1"),
            llm_model=get("SHOP_LLM_MODEL", "local-small"),
            seed=_whole_number(environment, "SHOP_SEED", 1, least=0),
        )


def _whole_number(environment: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {text!r}")
    return int(text)


def _milliseconds(environment: Mapping[str, str], name: str, default: float) -> float:
    """Return a time in seconds from a variable in milliseconds."""
    text = environment.get(name, str(default))
    try:
        duration_s = float(text) / 1000
    except ValueError:
        duration_s = math.nan
    if not 0 <= duration_s < math.inf:
        raise ValueError(f"{name} must be a time in milliseconds, not {text!r}")
    return duration_s
