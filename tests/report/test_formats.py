"""Answers for machines and pull requests."""

import csv
import io
import json
from xml.etree import ElementTree as ET

import pytest

from fastsim.answers import ANSWERS
from fastsim.report.answer import render_answer
from fastsim.report.formats import FORMATS, to_csv, to_github, to_junit, to_markdown
from fastsim.report.json import to_json
from fastsim.report.layout import WIDTH
from fastsim.report.views import view_of
from fastsim.result import Block, Estimate
from tests.report import answers, results

EVERY = [pytest.param(each, id=f"{type(each).__name__}") for each in answers.every()]


def suite_of(answer: Block) -> ET.Element:
    return ET.fromstring(to_junit(answer))[0]  # noqa: S314 - written by ourselves


@pytest.mark.parametrize("answer", EVERY)
def test_every_answer_has_every_format(answer: Block) -> None:
    for write in FORMATS.values():
        text = write(answer)
        assert text.endswith("\n")
        assert "nan" not in text
        assert text == write(answer)
    assert all(len(line) <= WIDTH for line in render_answer(answer).splitlines())
    assert json.loads(to_json(answer))["kind"] in ANSWERS


@pytest.mark.parametrize("answer", EVERY)
def test_a_file_of_values_has_one_row_for_each_and_all_columns(answer: Block) -> None:
    rows = list(csv.reader(io.StringIO(to_csv(answer))))
    table = view_of(answer).tables[0]
    assert len(rows) == 1 + len(table.rows)
    assert {len(row) for row in rows} == {len(table.columns)}


def test_every_kind_of_answer_is_tried_here() -> None:
    kinds = {type(answer) for answer in answers.every()}
    assert kinds == set(ANSWERS.values())


def test_values_are_in_si_units() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(results.run()))))
    assert [row["endpoint"] for row in rows] == ["GET /items/{id}", "POST /chat", "total"]
    assert rows[1]["p95_s"] == repr(3 * 1.2)
    assert rows[1]["p95_low_s"] == repr(0.9 * 3 * 1.2)
    assert rows[1]["errors_ratio"] == "0.0015"
    assert rows[1]["requests"] == "6000"


def test_markdown_opens_with_the_verdict_and_escapes_names() -> None:
    text = to_markdown(results.run())
    lines = text.splitlines()
    assert lines[0] == "### ❌ shop at 300/s"
    assert "errors of POST /chat is 0.15 %" in lines[2]
    assert "| ✅ | p95 \\< 100ms | p95 is 60ms |" in lines
    assert "| GET /items/\\{id\\} | 12 000 | 10ms | 30ms | 40ms | 0 % |" in lines
    assert "> ⚠️ p99.9 of POST /chat rests on 6 requests" in lines
    assert lines[-1] == "`fastsim run model.yaml --rate 300/s --seed 7`"


def test_a_name_is_no_markup() -> None:
    text = to_markdown(results.run(name="GET /a|b/<script>*`"))
    assert "GET /a\\|b/\\<script\\>\\*\\`" in text
    assert "<script>" not in text


def test_annotations() -> None:
    lines = to_github(results.run()).splitlines()
    title = "title=FastSim%3A shop at 300/s"
    assert lines[0] == f"::notice {title}::p95 < 100ms: p95 is 60ms"
    assert lines[1] == f"::error {title}::POST /chat: errors < 0.1%25: errors is 0.15 %25 (0.1–0.2)"
    assert lines[2].startswith(f"::warning {title}::p99.9")


def test_an_annotation_stays_on_its_line() -> None:
    run = results.run()
    run.warnings = ["first\nsecond"]
    assert to_github(run).splitlines()[-1].endswith("::first%0Asecond")


def test_what_a_comparison_cannot_tell_is_skipped() -> None:
    compared = results.comparison()
    compared.rows[1].verdict = "cannot tell"
    suite = suite_of(compared)
    assert suite.attrib["tests"] == "3"
    assert suite.attrib["failures"] == "1"
    assert suite.attrib["skipped"] == "1"
    found = {case.attrib["name"]: [part.tag for part in case] for case in suite.iter("testcase")}
    assert found == {
        "GET /items/{id} p50": [],
        "GET /items/{id} p95": ["skipped"],
        "POST /chat p50": ["failure"],
    }


def test_hostile_names_make_valid_xml() -> None:
    hostile = "GET /\x00<&\"'\x1b"
    run = results.run(name=hostile)
    run.title = hostile
    run.slo[0].text = hostile
    suite = suite_of(run)
    assert len(list(suite.iter("testcase"))) == 2


def test_without_goals_there_is_nothing_to_pass() -> None:
    run = results.run()
    run.slo, run.verdict = [], "none"
    assert view_of(run).outcome is None
    assert to_markdown(run).startswith("### ℹ️")
    assert to_github(run).startswith("::notice")
    assert suite_of(run).attrib["tests"] == "0"


def test_only_answers_have_a_view() -> None:
    for write in (view_of, render_answer):
        with pytest.raises(TypeError, match="is no answer"):
            write(Estimate(value=1.0))


def test_a_sweep_shows_what_is_overloaded() -> None:
    text = render_answer(answers.sweep())
    assert "1 of 2 settings meet p95 < 100ms" in text
    line = next(line for line in text.splitlines() if "900/s" in line)
    assert "overload" in line
    assert line.endswith("▶")
