"""Any answer as plain text."""

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from fastsim.answers import Limit, Outlook, Size, Sweep
from fastsim.report.decisions import render_limit, render_size
from fastsim.report.outlook import render_outlook
from fastsim.report.sweep import render_sweep
from fastsim.report.text import render_comparison, render_run
from fastsim.result import Comparison, Run

_RENDERERS: Sequence[tuple[type[BaseModel], Callable[..., str]]] = (
    (Run, render_run),
    (Comparison, render_comparison),
    (Limit, render_limit),
    (Size, render_size),
    (Sweep, render_sweep),
    (Outlook, render_outlook),
)


def render_answer(answer: BaseModel) -> str:
    """Write an answer, whatever it answers.

    Raises
    ------
    TypeError
        When it is no answer.
    """
    for kind, render in _RENDERERS:
        if isinstance(answer, kind):
            return render(answer)
    raise TypeError(f"{type(answer).__name__} is no answer")
