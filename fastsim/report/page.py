"""The HTML report of any answers: told apart here, shown by ``fastsim.report.html``."""

from collections.abc import Sequence

from fastsim.model import ServiceModel
from fastsim.report.html import render_html
from fastsim.result import Block, Comparison, Run


def page_of(
    answers: Sequence[Block],
    model: ServiceModel | None = None,
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return a self-contained page of answers.

    Parameters
    ----------
    model
        The model the twin ran on, if it is to be shown.
    title
        Heading of the page; of the service when None.
    notes
        Remarks to show under "How far to trust this".
    """
    runs = [answer for answer in answers if isinstance(answer, Run)]
    return render_html(
        title=title or (f"{model.service}: FastSim report" if model else "FastSim report"),
        comparisons=[answer for answer in answers if isinstance(answer, Comparison)],
        runs=[run for run in runs if run.source == "twin"],
        live=[run for run in runs if run.source == "live"],
        model=model,
        notes=list(notes),
        decisions=[each for each in answers if not isinstance(each, (Run, Comparison))],
    )
