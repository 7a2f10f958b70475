"""``--against``: what an answer is worth, by how the twin did against what was measured live."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastsim.cli.question import Question
    from fastsim.result import RunProvenance

REPLICATIONS = 40


def provenance_of(
    question: "Question", file: Path, against: Path | None, *, seed: int, jobs: int | None
) -> "RunProvenance":
    """Return how to repeat an answer, and how the twin did against a live run.

    Parameters
    ----------
    file
        The model or scenario as it stands there: what options changed was not measured.
    against
        What was measured, of any kind that ``fastsim compare`` takes; None for nothing.
    """
    made = question.provenance()
    if against is not None:
        made.against = _held_against(file, against, seed, jobs)
    return made


def _held_against(file: Path, live: Path, seed: int, jobs: int | None) -> str:
    """Simulate what was measured and say whether the twin agrees, in one sentence."""
    from fastsim.cli.compare import read_live
    from fastsim.cli.output import progress
    from fastsim.cli.question import read_question
    from fastsim.report.findings import comparison_sentence
    from fastsim.report.wording import WORDS, clean, rate
    from fastsim.twin.compare import compare
    from fastsim.twin.live import simulate_live

    question = read_question(file)
    names = [endpoint.name for endpoint in question.model.endpoints]
    sample, requests, _ = read_live(live, None, names, None, users=False)
    with progress("replaying what was measured", total=REPLICATIONS) as move:
        found = simulate_live(
            question.model,
            sample,
            deployment=question.scenario.deployment,
            replications=REPLICATIONS,
            seed=seed,
            jobs=jobs,
            on_progress=lambda done, _: move(done),
        )
    result = compare(found, sample, view="client" if requests is None else "server")
    sentence = comparison_sentence(result)
    return f"{clean(str(live))} at {rate(sample.rate_per_s)}: {WORDS[result.verdict]}, {sentence}"
