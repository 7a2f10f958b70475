"""The distributions that a model is made of, with parameters in human units.

``fastsim.distributions`` computes with them; nothing here does.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fastsim.units import Duration, DurationRange, Share


class Part(BaseModel):
    """A block of a FastSim file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Fit(Part):
    """How a distribution was found, and how well it describes the data."""

    n: int = Field(ge=0, description="observations used")
    censored: Share = Field(0.0, description="share of observations known only as an interval")
    distance: float | None = Field(
        None, description="largest gap between fitted and observed distribution function, 0 to 1"
    )
    accepted: bool = Field(True, description="false when no family passed and the data were kept")
    quantiles: list[Duration] = Field(
        default_factory=list,
        description="what was seen, without queueing: smallest, largest, and mostly what 1, 5, 10, "
        "25, 50, 75, 90, 95 and 99 % are below",
    )
    median: DurationRange | None = Field(None, description="90 % interval of the median")
    p95: DurationRange | None = Field(None, description="90 % interval of the 95th percentile")
    p99: DurationRange | None = Field(None, description="90 % interval of the 99th percentile")
    level_error: float | None = Field(
        None, ge=0.0, description="standard error of the logarithm of the median above the shift"
    )
    spread_error: float | None = Field(
        None, ge=0.0, description="relative standard error of log(p95 / median) above the shift"
    )
    level_spread_correlation: float = Field(
        0.0, ge=-1.0, le=1.0, description="correlation of those two errors"
    )

    @property
    def low(self) -> float | None:
        """Smallest value observed, seconds."""
        return self.quantiles[0] if self.quantiles else None

    @property
    def high(self) -> float | None:
        """Largest value observed, seconds."""
        return self.quantiles[-1] if self.quantiles else None


SEEN_AT = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""Where ``Fit.quantiles`` are taken, of enough observations."""


class _Distribution(Part):
    shift: Duration = Field(0.0, description="added to every value; the shortest possible time")
    fit: Fit | None = None


class Constant(_Distribution):
    """Always the same time."""

    family: Literal["constant"] = "constant"
    value: Duration = Field(ge=0.0)


class Expon(_Distribution):
    """Exponential."""

    family: Literal["expon"] = "expon"
    mean: Duration = Field(gt=0.0)


class Gamma(_Distribution):
    """Gamma; ``shape`` 1 is exponential, larger is more regular."""

    family: Literal["gamma"] = "gamma"
    mean: Duration = Field(gt=0.0)
    shape: float = Field(gt=0.0)


class Lognorm(_Distribution):
    """Log-normal; ``sigma`` is the standard deviation of the logarithm."""

    family: Literal["lognorm"] = "lognorm"
    median: Duration = Field(gt=0.0)
    sigma: float = Field(gt=0.0)


class Weibull(_Distribution):
    """Weibull (minimum); ``shape`` below 1 has a heavy tail."""

    family: Literal["weibull"] = "weibull"
    scale: Duration = Field(gt=0.0)
    shape: float = Field(gt=0.0)


class InvGauss(_Distribution):
    """Inverse Gaussian with the given mean; variance = mean**3 / (shape * mean)."""

    family: Literal["invgauss"] = "invgauss"
    mean: Duration = Field(gt=0.0)
    shape: float = Field(gt=0.0, description="dimensionless: mean squared over variance")


class Pareto(_Distribution):
    """Generalised Pareto above ``shift``; ``tail`` 0 is exponential, above 0 heavy."""

    family: Literal["pareto"] = "pareto"
    scale: Duration = Field(gt=0.0)
    tail: float = Field(ge=0.0, lt=1.0)


Simple = Annotated[
    Constant | Expon | Gamma | Lognorm | Weibull | InvGauss | Pareto,
    Field(discriminator="family"),
]


class Mixture(_Distribution):
    """A draw comes from ``parts[i]`` with probability ``weights[i]``."""

    family: Literal["mixture"] = "mixture"
    weights: list[float] = Field(min_length=1)
    parts: list[Simple] = Field(min_length=1)

    @model_validator(mode="after")
    def _match(self) -> Self:
        if len(self.weights) != len(self.parts):
            raise ValueError(f"{len(self.weights)} weights for {len(self.parts)} parts")
        if min(self.weights) < 0.0 or not sum(self.weights) > 0.0:
            raise ValueError("weights must not be negative and must add up to more than 0")
        return self


class Empirical(_Distribution):
    """The observed quantile curve, linear between points, and a tail above its last value.

    ``values[i]`` is the quantile at ``probabilities[i]``; the first probability is 0 and
    the last 1. A share ``tail_share`` of all values does not come from the curve but lies
    above it by a generalised Pareto time.
    """

    family: Literal["empirical"] = "empirical"
    probabilities: list[float] = Field(min_length=2)
    values: list[Duration] = Field(min_length=2)
    tail_share: Share = Field(0.0, lt=1.0, description="part of all values above the curve")
    tail: Pareto | None = Field(None, description="by how much those lie above the last value")

    @model_validator(mode="after")
    def _match(self) -> Self:
        if len(self.probabilities) != len(self.values):
            raise ValueError(
                f"{len(self.probabilities)} probabilities for {len(self.values)} values"
            )
        if sorted(self.probabilities) != self.probabilities or sorted(self.values) != self.values:
            raise ValueError("probabilities and values must not decrease")
        if self.probabilities[0] != 0.0 or self.probabilities[-1] != 1.0:
            raise ValueError("probabilities must start at 0 and end at 1")
        if (self.tail is None) != (self.tail_share == 0.0):
            raise ValueError("tail and tail_share belong together: give both or neither")
        return self


Distribution = Annotated[
    Constant | Expon | Gamma | Lognorm | Weibull | InvGauss | Pareto | Mixture | Empirical,
    Field(discriminator="family"),
]


class Counts(Part):
    """A distribution over whole numbers: ``values[i]`` occurs with weight ``weights[i]``."""

    values: list[int] = Field(min_length=1)
    weights: list[float] = Field(min_length=1)

    @model_validator(mode="after")
    def _match(self) -> Self:
        if len(self.weights) != len(self.values):
            raise ValueError(f"{len(self.weights)} weights for {len(self.values)} values")
        if min(self.weights) < 0.0 or not sum(self.weights) > 0.0:
            raise ValueError("weights must not be negative and must add up to more than 0")
        if min(self.values) < 0:
            raise ValueError("counts must not be negative")
        return self
