"""The report as one offline HTML file: the answer first, then the evidence, then the doubts.

This module orders the sections; ``figures``, ``series_figure``, ``bars`` and ``tables`` fill
them, and the script of ``web/`` draws the charts. The file loads nothing from anywhere; what the
charts show can be read without JavaScript, too.
"""

from collections.abc import Iterable, Sequence
from importlib import resources

from fastsim.model import ServiceModel
from fastsim.report.bars import breakdown_figure, model_figure
from fastsim.report.cases import Case, pair_cases
from fastsim.report.decision_figures import decision_figure
from fastsim.report.figures import error_figure, latency_figure
from fastsim.report.findings import (
    bottleneck,
    comparison_sentence,
    data_behind,
    driver_sentence,
    goals_sentence,
    model_trust,
    pace_sentence,
    self_check_sentence,
    shown_sentence,
)
from fastsim.report.law_figures import law_figures
from fastsim.report.markup import Markup, join, tag
from fastsim.report.series_figure import series_figure
from fastsim.report.tables import (
    goals_table,
    run_table,
    self_check_table,
    table,
    use_table,
)
from fastsim.report.view import View
from fastsim.report.views import view_of
from fastsim.report.wording import metric_name, ordered_names, rate, share
from fastsim.result import Block, Comparison, Run, RunProvenance
from fastsim.twin.equivalence import together

_Section = tuple[str, str, Markup]
_NEWLINE = Markup("\n")
_NOTHING_ELSE = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
"""The browser itself sees to it that the page loads nothing."""


def render_html(
    *,
    title: str,
    comparisons: list[Comparison],
    runs: list[Run],
    live: list[Run],
    model: ServiceModel | None,
    notes: list[str],
    decisions: Sequence[Block] = (),
) -> str:
    """Return a self-contained page: verdict, what was searched, twin against live, time, trust.

    Parameters
    ----------
    title
        Heading of the page.
    comparisons, runs, live
        Comparisons with the twin and live runs behind them. They belong together when their
        titles are equal, otherwise by position. Any of the lists may be empty.
    model
        The model the twin ran on, if it is to be shown.
    notes
        Remarks of the caller, shown under "How far to trust this".
    decisions
        What ``limit``, ``size``, ``sweep`` and ``forecast`` found.
    """
    cases = pair_cases(comparisons, runs, live)
    views = [view_of(each) for each in decisions]
    searched = list(zip(views, decisions, strict=True))
    sections = [
        ("decisions", "What was searched", _decisions(searched)),
        ("agreement", "Twin against live", _agreement(cases)),
        ("hold", "Will it hold?", _hold(cases)),
        ("time", "Over time", _over_time(cases)),
        ("why", "Where the time goes", _why(cases)),
        ("model", "The model", _model(model)),
        ("trust", "How far to trust this", _trust(cases, model, notes, views)),
    ]
    shown: list[_Section] = [section for section in sections if section[2]]
    answer = _answer(cases, runs, model, views)
    body = [
        tag("a", "Skip to the answer", href="#answer", class_="skip"),
        _header(title),
        tag("main", answer, _navigation(shown), *map(_section, shown)),
        tag("footer", "Made by FastSim. This file loads nothing from anywhere."),
        tag("script", Markup(_packaged("page.js"))),
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_NOTHING_ELSE),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(_packaged("page.css"))),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, _NEWLINE, tag("body", *body), lang="en") + "\n"


def _packaged(name: str) -> str:
    return resources.files("fastsim.report").joinpath(name).read_text(encoding="utf-8")


def _header(title: str) -> Markup:
    toggle = tag("button", "Light or dark", id="theme", type="button", hidden=True)
    return tag("header", tag("h1", title), toggle)


def _navigation(sections: Sequence[_Section]) -> Markup:
    links = [tag("li", tag("a", name, href=f"#{key}")) for key, name, _ in sections]
    return tag("nav", tag("ul", *links), aria_label="Sections")


def _section(section: _Section) -> Markup:
    key, name, content = section
    return tag("section", _NEWLINE, tag("h2", name, id=key), content)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _answer(
    cases: Sequence[Case],
    runs: Sequence[Run],
    model: ServiceModel | None,
    views: Sequence[View],
) -> Markup:
    """Return the verdict sentence and, beside it, what it rests on."""
    rows = [row for case in cases if case.comparison for row in case.comparison.rows]
    sentences = [f"{view.title}: {view.sentence}." for view in views]
    outcomes = [view.outcome for view in views if view.outcome is not None]
    mood = "fair" if not outcomes else "bad" if "no" in outcomes else "good"
    if rows:
        found = [case.comparison for case in cases if case.comparison]
        sentences += [f"{_capital(comparison_sentence(each))} ({each.title})." for each in found]
        verdict = together([each.verdict for each in found])
        mood = {"agrees": "good", "off": "bad", "cannot tell": "fair"}[verdict]
    for case in cases:
        for run in case.runs:
            if text := goals_sentence(run):
                prefix = f"Goals, {case.title} ({run.source}): "
                sentences.append(prefix + text)
                mood = "bad" if run.verdict == "no" else "good" if mood == "fair" else mood
    if not sentences:
        sentences.append("No goal and no live measurement was given: this report only describes.")
    trust = [model_trust(model, runs)] if model else []
    trust += [self_check_sentence(model)] if model else []
    trust += [f"{c.title} ({r.source}): {data_behind(r)}." for c in cases for r in c.runs]
    parts = [tag("p", sentence) for sentence in sentences]
    parts.append(tag("ul", *(tag("li", line) for line in trust if line), class_="trust"))
    return tag("div", *parts, class_=f"answer {mood}", id="answer")


def _decisions(searched: Sequence[tuple[View, Block]]) -> Markup:
    parts = []
    for view, answer in searched:
        drawn = decision_figure(answer, view)
        if drawn is not None:
            parts += [tag("h3", view.title), drawn]
    return join(parts)


def _agreement(cases: Sequence[Case]) -> Markup:
    parts = []
    for case in cases:
        if case.comparison is None:
            continue
        tolerance = case.comparison.tolerance
        limits = ", ".join(f"{metric_name(m)} {share(limit)}" for m, limit in tolerance.items())
        about = f"Mode: {case.comparison.mode}. Tolerance: {limits or 'none given'}."
        if proved := shown_sentence(case.comparison):
            about += f" Shown at 95 %: {proved}."
        parts += [
            tag("h3", case.title),
            tag("p", about, class_="note"),
            error_figure(case.comparison),
        ]
        if case.comparison.busy is not None:
            said = pace_sentence(case.comparison.busy, alike=False)
            parts.append(tag("p", f"Machine: {said}.", class_="note"))
        drawn = [latency_figure(case, endpoint) for endpoint in case.endpoints]
        parts.append(tag("div", *filter(None, drawn), class_="grid-2"))
    return join(parts)


def _hold(cases: Sequence[Case]) -> Markup:
    parts = []
    for case in cases:
        for run in case.runs:
            heading = f"{case.title}: {run.source} at {rate(run.rate_per_s)}"
            parts.append(tag("h3", heading))
            if run.slo:
                parts.append(goals_table(run))
            parts.append(run_table(run))
            if text := driver_sentence(run):
                parts.append(tag("p", f"Load driver: {text}.", class_="note"))
        if case.comparison is None:
            drawn = [latency_figure(case, endpoint) for endpoint in case.endpoints]
            parts.append(tag("div", *filter(None, drawn), class_="grid-2"))
    return join(parts)


def _over_time(cases: Sequence[Case]) -> Markup:
    parts = []
    for case in cases:
        drawn = series_figure(case)
        if drawn is not None:
            parts += [tag("h3", case.title), drawn]
    return join(parts)


def _why(cases: Sequence[Case]) -> Markup:
    parts = []
    for case in cases:
        for run in case.runs:
            drawn = breakdown_figure(run)
            busy = run.loop is not None or bool(run.resources)
            if drawn is None and not busy:
                continue
            parts.append(tag("h3", f"{case.title}: {run.source}"))
            parts += [drawn] if drawn is not None else []
            if busy:
                parts += [tag("p", f"Bottleneck: {bottleneck(run)}."), use_table(run)]
    return join(parts)


def _model(model: ServiceModel | None) -> Markup:
    if model is None:
        return Markup("")
    parts = [tag("p", model_trust(model, []))]
    for endpoint in model.endpoints:
        parts.append(model_figure(endpoint))
        if laws := law_figures(endpoint):
            about = f"How well the laws of {endpoint.name} describe what was seen"
            parts.append(tag("details", tag("summary", about), *laws))
    if model.self_check:
        parts.append(tag("h3", "Self-check: the recording replayed through the twin"))
        parts += [tag("p", self_check_sentence(model)), self_check_table(model)]
    return join(parts)


def _trust(
    cases: Sequence[Case],
    model: ServiceModel | None,
    notes: Sequence[str],
    views: Sequence[View],
) -> Markup:
    warnings = [f"Model: {warning}" for warning in model.warnings] if model else []
    warnings += [f"{view.title}: {warning}" for view in views for warning in view.warnings]
    notes = [*notes, *(f"{view.title}: {note}" for view in views for note in view.remarks)]
    for case in cases:
        for run in case.runs:
            warnings += [f"{case.title} ({run.source}): {warning}" for warning in run.warnings]
            if run.provenance.against:
                notes = [*notes, f"{case.title}: held against {run.provenance.against}"]
        if case.comparison:
            warnings += [f"{case.title} (comparison): {w}" for w in case.comparison.warnings]
    parts = [_list("Warnings", warnings, "No warning was raised.")]
    parts.append(_list("Notes", notes, ""))
    parts.append(_provenance(cases, model, views))
    return join(parts)


def _list(heading: str, lines: Iterable[str], without: str) -> Markup:
    items = [tag("li", line) for line in ordered_names(list(lines))]
    if not items:
        return join([tag("h3", heading), tag("p", without)]) if without else Markup("")
    return join([tag("h3", heading), tag("ul", *items, class_="plain")])


def _provenance(cases: Sequence[Case], model: ServiceModel | None, views: Sequence[View]) -> Markup:
    commands = [model.provenance.command] if model else []
    known: list[tuple[str, RunProvenance]] = [(view.title, view.provenance) for view in views]
    for case in cases:
        known += [(f"{case.title} ({run.source})", run.provenance) for run in case.runs]
        if case.comparison:
            known.append((f"{case.title} (comparison)", case.comparison.provenance))
    commands += [provenance.command for _, provenance in known]
    rows = []
    if model is not None:
        made = model.provenance
        rows.append(["model", made.fastsim, made.recorded_at, made.data_sha256])
    for name, provenance in known:
        files = [f"{file} {digest}" for file, digest in sorted(provenance.inputs.items())]
        rows.append([name, provenance.fastsim_version, "", "; ".join(files)])
    head = ["what", "FastSim", "recorded at", "inputs (sha256)"]
    parts = [tag("h3", "Where it comes from"), table(head, rows, words=range(4))] if rows else []
    listed = [command for command in ordered_names(commands) if command]
    if listed:
        parts += [tag("h3", "Commands to repeat it"), tag("pre", join(listed, "\n"))]
    return join(parts)
