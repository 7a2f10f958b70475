"""How often something may be done: what a model says of it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fastsim.laws import Part
from fastsim.units import Rate

Scope = Literal["worker", "replica", "service"]
"""Who shares something: the requests of a process, of a machine, or of the whole service."""


class Limit(Part):
    """A rate limit, or a station of the user's own."""

    rate: Rate | None = Field(None, gt=0.0, description="how often, in the long run")
    burst: int = Field(1, ge=1, description="how many at once after a quiet time")
    full: Literal["wait", "refuse"] = Field(
        "wait", description="who is too early waits in turn, or fails"
    )
    scope: Scope = Field(
        "worker",
        description="each worker process counts for itself, those of a machine, or all together",
    )
    station: str | None = Field(None, description="a class of your own instead: quota.py:Quota")
    parameters: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="what that class is made with"
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.rate is not None and self.station is not None:
            raise ValueError("a limit has either a rate or a station, not both")
        return self
