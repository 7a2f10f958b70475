"""What other processes take of the core that a service runs on, as the kernel counts it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fastsim.collector.clocks import core_times_ns


@dataclass(frozen=True, slots=True)
class CoreAccount:
    """Times of a process so far, nanoseconds; its event loop runs in its main thread."""

    ran: int
    """The main thread had a core."""
    waited: int
    """The main thread was ready to run and had none."""
    others_ran: int
    """Its other threads had one."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Read the account of a process; None where the system does not keep one."""
        try:
            threads = list(Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            return None
        # One that has ended meanwhile is none any longer.
        found = {each.name: core_times_ns(f"{each}/schedstat") for each in threads}
        main = found.pop(str(pid), None)
        if main is None:
            return None
        return cls(*main, sum(times[0] for times in found.values() if times is not None))

    def taken_since(self, before: Self) -> float:
        """Return the share of the loop's busy time that other processes took, 0 to 1.

        Its own threads, on the same core, kept it waiting by no more than they ran.
        """
        ran, waited = self.ran - before.ran, self.waited - before.waited
        others = waited - max(self.others_ran - before.others_ran, 0)
        return max(others, 0) / max(ran + waited, 1)
