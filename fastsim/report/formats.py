"""Answers for machines and pull requests: Markdown, GitHub annotations, JUnit, CSV."""

import csv
import io
from collections.abc import Callable, Mapping
from xml.etree import ElementTree as ET

from pydantic import BaseModel

from fastsim.report.view import Table, View
from fastsim.report.views import view_of
from fastsim.report.wording import clean

_MOST_ROWS = 40
"""Rows of a table in Markdown; whole tables are in CSV."""
_MARKS = {"yes": "✅", "no": "❌", "cannot tell": "❔", None: "ℹ️"}
_LEVELS = {"yes": "notice", "no": "error", "cannot tell": "warning"}


def to_markdown(answer: BaseModel) -> str:
    """Write an answer for a pull request or a job summary."""
    view = view_of(answer)
    lines = [f"### {_MARKS[view.outcome]} {_markdown(view.title)}", "", _markdown(view.sentence)]
    if view.checks:
        lines += ["", "| | goal | found |", "|---|---|---|"]
        lines += [
            f"| {_MARKS[check.outcome]} | {_markdown(check.name)} | {_markdown(check.detail)} |"
            for check in view.checks
        ]
    for number, table in enumerate(view.tables):
        lines += ["", *(_markdown_table(table) if number == 0 else _folded(table))]
    lines += ["", *(f"> ⚠️ {_markdown(text)}" for text in view.warnings)]
    lines += ["", *(f"{_markdown(text)}  " for text in view.remarks)]
    if command := view.provenance.command:
        lines += ["", f"`{command.replace('`', '')}`"]
    return _tidy(lines)


def _markdown(text: str) -> str:
    """Escape what would be markup, so that names of routes read as they are."""
    for sign in "\\`*_{}[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return text


def _markdown_table(table: Table) -> list[str]:
    shown = [
        number
        for number, column in enumerate(table.columns)
        # Bounds are in the format for programs; what is never known would only take room.
        if not column.key.endswith(("_low_s", "_high_s"))
        and any(row[number] is not None for row in table.rows)
    ]
    heads = [_markdown(table.columns[number].title) for number in shown]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(shown)]
    for row in table.rows[:_MOST_ROWS]:
        cells = [_markdown(table.columns[number].text(row[number])) for number in shown]
        lines.append("| " + " | ".join(cells) + " |")
    left = len(table.rows) - _MOST_ROWS
    if left > 0:
        lines += ["", f"{left} more rows: `--format csv`"]
    return lines


def _folded(table: Table) -> list[str]:
    return [
        "<details>",
        f"<summary>{_markdown(table.title)}</summary>",
        "",
        *_markdown_table(table),
        "",
        "</details>",
    ]


def _tidy(lines: list[str]) -> str:
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def to_github(answer: BaseModel) -> str:
    """Write an answer as workflow commands: an annotation for each check and warning."""
    view = view_of(answer)
    title = f"FastSim: {view.title}"
    lines = [
        _annotation(_LEVELS[check.outcome], title, f"{check.name}: {check.detail}")
        for check in view.checks
    ]
    if not view.checks:
        lines.append(_annotation("notice", title, view.sentence))
    lines += [_annotation("warning", title, text) for text in view.warnings]
    return "\n".join(lines) + "\n"


def _annotation(level: str, title: str, message: str) -> str:
    """Write one workflow command; GitHub wants some characters as per cent codes."""
    message = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for sign, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C")):
        title = title.replace(sign, code)
    return f"::{level} title={title}::{message}"


def to_junit(answer: BaseModel) -> str:
    """Write an answer as JUnit's XML: a test case for each check."""
    view = view_of(answer)
    cases = list(view.checks)
    outcomes = [check.outcome for check in cases]
    suite = ET.Element(
        "testsuite",
        name=f"FastSim: {clean(view.title)}",
        tests=str(len(cases)),
        failures=str(outcomes.count("no")),
        skipped=str(outcomes.count("cannot tell")),
        errors="0",
    )
    for check in cases:
        case = ET.SubElement(suite, "testcase", classname=clean(view.title), name=clean(check.name))
        if check.outcome == "no":
            ET.SubElement(case, "failure", message=clean(check.detail))
        elif check.outcome == "cannot tell":
            ET.SubElement(case, "skipped", message=clean(check.detail))
    ET.SubElement(suite, "system-out").text = _account(view)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _account(view: View) -> str:
    lines = [view.sentence, *view.warnings, *view.remarks, view.provenance.command]
    return "\n".join(clean(line) for line in lines if line)


def to_csv(answer: BaseModel) -> str:
    """Write what an answer is made of, one row each, SI units in the names of the columns."""
    table = view_of(answer).tables[0]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.key for column in table.columns])
    for row in table.rows:
        writer.writerow(["" if cell is None else _csv(cell) for cell in row])
    return out.getvalue()


def _csv(cell: object) -> object:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return repr(cell) if isinstance(cell, float) else cell


FORMATS: Mapping[str, Callable[[BaseModel], str]] = {
    "markdown": to_markdown,
    "github": to_github,
    "junit": to_junit,
    "csv": to_csv,
}
"""Beside text and JSON."""
