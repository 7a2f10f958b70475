"""What another load tool measured, as a live run of the twin's endpoints."""

from collections.abc import Sequence

from fastsim.errors import InputError
from fastsim.load.tools.found import ToolRequests, ToolSummary, matched
from fastsim.twin.live import LiveSample
from fastsim.twin.live_summary import LiveSummary

_CLOSED = (
    "waits for an answer before it sends the next request: while the service stalls nothing is "
    "sent, so its percentiles are too short; --users and --think have the twin's users wait, too"
)


def of_tool(
    found: ToolRequests | ToolSummary,
    endpoints: Sequence[str],
    asked: str | None,
    *,
    users: bool,
) -> tuple[LiveSample | LiveSummary, list[str]]:
    """Return the live run and what has to be said about how it was measured.

    Parameters
    ----------
    endpoints
        Those of the twin, to which the tool's names are matched.
    asked
        What was asked for, where the tool does not say.
    users
        Whether the twin is asked by users who wait for answers, too.

    Raises
    ------
    InputError
        When the tool does not name its requests and nobody else does.
    """
    names = _names(found, endpoints, asked)
    said = []
    if found.closed and not users:
        said.append(f"{found.tool} {_CLOSED}")
    elif found.closed is None and not users:
        said.append(
            f"{found.tool} does not say whether it sent requests at their own times (an arrival "
            "rate); with users who wait its percentiles are too short (--users, --think)"
        )
    if isinstance(found, ToolRequests):
        if found.skipped:
            said.append(f"{found.skipped} lines without a time were left out")
        return LiveSample.of_tool(found, names), said
    said += found.remarks
    return LiveSummary.of_tool(found, names), said


def _names(
    found: ToolRequests | ToolSummary, endpoints: Sequence[str], asked: str | None
) -> dict[str, str]:
    """Return what each of the tool's names is called in the model."""
    unnamed = not any(found.endpoints)
    if asked is not None:
        meant = matched(asked, endpoints)
        if meant is None:
            raise InputError(
                f"the twin has no endpoint {asked!r}",
                hint=f"it has: {', '.join(endpoints[:5])}",
                where="--endpoint",
            )
        return dict.fromkeys(found.endpoints or [""], meant)
    if unnamed:
        if len(endpoints) != 1:
            raise InputError(
                f"{found.tool} does not say what it asked for",
                hint=f"say it: --endpoint '{endpoints[0]}'",
                where="--endpoint",
            )
        return {"": endpoints[0]}
    known = {name: matched(name, endpoints) for name in found.endpoints}
    return {name: meant for name, meant in known.items() if meant is not None}
