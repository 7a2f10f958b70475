"""What a model says about the processor: what the event loop costs, and how fast code runs."""

from typing import Self

from pydantic import Field

from fastsim.laws import Distribution, Part
from fastsim.units import Duration, Share, Surcharge


class ColdCost(Part):
    """What caches do to the cost of code: idleness makes it dearer, having run just now cheaper.

    Code that runs when the loop slept a share ``s`` of the recent past (exponentially
    weighted over ``memory``), and of which a part ``w`` is still warm, costs
    ``1 + extra * s**power * (1 - w) - less * w`` times what it costs on a busy loop that has not
    run it for long (docs/decisions/0004 and 0026). Only its first ``reach`` does: then the caches
    are full again (docs/decisions/0013). Of what ran an ``age`` ago ``exp(-sqrt(age / forgets))``
    is warm: ``w`` is the mean of that since the same step of its endpoint ran, and since any
    endpoint's step after the same kind of wait did. Without ``less``, ``w`` is 0. Step times and
    loop costs in the model are those of a busy loop, and of code that has not run for long.
    """

    extra: Surcharge = 0.0
    less: Share = 0.0
    forgets: Duration = Field(0.004, gt=0.0)
    memory: Duration = Field(0.02, gt=0.0)
    power: float = Field(3.0, gt=0.0)
    reach: Duration = Field(0.0005, gt=0.0)
    error: Surcharge = Field(0.0, description="standard error of extra; a comparison allows for it")
    seen: Share = Field(
        0.0,
        description="mean of s**power * (1 - w) over the recorded code within reach, relative to "
        "all code: there, the total is known",
    )
    less_error: Share = Field(0.0, description="standard error of less; likewise")
    warm: Share = Field(0.0, description="mean of w over the same code, likewise")

    @property
    def matters(self) -> bool:
        """Whether idleness or warmth changes what code costs."""
        return self.extra > 0.0 or self.less > 0.0

    @property
    def in_the_mean(self) -> float:
        """Mean cost of the recorded code, of what it costs on a busy loop."""
        return 1.0 + self.extra * self.seen - self.less * self.warm


class Wander(Part):
    """How the machine's speed changes by itself, for all code alike: a noisy neighbour.

    In each ``window`` all CPU is multiplied by a log-normal factor of mean 1 whose logarithm
    has standard deviation ``sigma`` and is correlated from window to window.
    """

    sigma: float = Field(0.0, ge=0.0, le=1.0)
    window: Duration = Field(0.2, gt=0.0)
    correlation: float = Field(0.0, ge=0.0, lt=1.0)


class SpeedDoubt(Part):
    """How well a recording knows the machine's mean speed.

    The same code would have taken a few per cent more or less at another time. Forecasts are
    for the speed that was recorded; their intervals and comparisons allow for others.
    """

    error: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="standard error of the mean speed, beside what the laws say of themselves",
    )
    drift: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="the part of it by which the machine changed while recording",
    )
    over: Duration = Field(0.0, ge=0.0, description="time with requests that was recorded")
    taken: Share = Field(
        0.0,
        description="part of the event loop's busy time that other processes took while recording; "
        "half of it is in the error: they are gone, or twice as many, at another time",
    )


class Pauses(Part):
    """Rare stops of the whole loop, such as full garbage collections."""

    per_request: Share = Field(0.0, description="chance that a request's code contains one")
    time: Distribution | None = None


class BackgroundWork(Part):
    """What the loop of each worker does for no request: websockets, periodic jobs, consumers."""

    name: str = ""
    every: Duration = Field(gt=0.0, description="mean time from one run to the next")
    time: Distribution = Field(description="how long a run holds the loop")
    regular: bool = Field(False, description="at a steady pace instead of by chance")


class RecorderCost(Part):
    """What recording cost the event loop: taken out of the loop's costs, put back to compare.

    A service runs without the recorder; a forecast is for that. What was recorded, and every
    live run that was recorded, too, ran with it.
    """

    accept: Duration = Field(0.0, description="per request")
    per_suspend: Duration = Field(0.0, description="per wait begun")
    per_event: Duration = Field(0.0, description="per finished wait")
    per_pass: Duration = Field(0.0, description="per turn of the loop")


class LoopCosts(Part):
    """CPU that the event loop spends outside the application's own steps."""

    accept: Duration = Field(0.0, description="per request before the application: read, parse")
    per_suspend: Duration = Field(
        0.0, description="per wait begun: bookkeeping after the code, while the wait runs already"
    )
    per_event: Duration = Field(0.0, description="per finished wait: poll result and its callback")
    per_pass: Duration = Field(0.0, description="per turn of the loop: select and bookkeeping")
    timer_late: Duration = Field(
        0.0, description="how late a timer wakes a sleeping loop, beyond whole milliseconds"
    )
    handover: Duration | None = Field(
        None,
        ge=0.0,
        description="lost by the loop, beyond the thread's CPU, each time a thread had the GIL; "
        "a default for the kind of deployment when absent",
    )
    cold: ColdCost = ColdCost()
    wander: Wander = Wander()
    doubt: SpeedDoubt = SpeedDoubt()
    pauses: Pauses = Pauses()
    background: list[BackgroundWork] = Field(default_factory=list)
    recorder: RecorderCost = RecorderCost()

    def with_recorder(self) -> Self:
        """Return the costs as they are while the recorder watches."""
        parts = RecorderCost.model_fields
        added = {name: getattr(self, name) + getattr(self.recorder, name) for name in parts}
        return self.model_copy(update={**added, "recorder": RecorderCost()})
