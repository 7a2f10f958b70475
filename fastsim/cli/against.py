"""How to repeat an answer, and what it is worth (``--against``): how the twin did against live."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastsim.cli.question import Question
    from fastsim.result import RunProvenance

REPLICATIONS = 40


def provenance_of(
    question: "Question",
    file: Path,
    against: Path | None,
    *,
    others: Sequence[Path] = (),
    seed: int,
    jobs: int | None,
) -> "RunProvenance":
    """Return how to repeat an answer, and how the twin did against a live run.

    Every file that the answer rests on is named with its SHA-256; a directory of traces with one
    over all of them.

    Parameters
    ----------
    file
        The model or scenario as it stands there: what options changed was not measured.
    against
        What was measured, of any kind that ``fastsim compare`` takes; None for nothing.
    others
        Files besides the question's own and these.
    """
    made = question.provenance()
    files = [*others]
    if against is not None:
        made.against = _held_against(file, against, seed, jobs)
        files.append(against)
    if (source := question.scenario.traffic.source) is not None:
        files.append(_file_of(source, question.folder))
    for path in files:
        if digest := hash_of(path):
            made.inputs[str(path)] = digest
    return made


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, or one over those of a directory's traces.

    Empty for what can be read only once: standard input, a pipe.
    """
    from fastsim.calibrate.build import hash_inputs

    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return "" if path.exists() and not path.is_dir() else hash_inputs([path])


def _file_of(source: str, folder: Path) -> Path:
    """Return the recording, or the file with the function, that a source of requests names."""
    from fastsim.cli.sources import check_source_text

    return folder / check_source_text(source, folder=folder).path


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
