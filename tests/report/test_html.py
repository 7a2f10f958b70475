"""The HTML report: well-formed, offline, escaped, complete, repeatable."""

import math
import re
from html.parser import HTMLParser

import pytest

from fastsim.report import render_html
from fastsim.report.wording import MARKS
from fastsim.result import Comparison, Estimate, Run, Series
from tests.report import results

VOID = {"meta", "br", "hr"}
HOSTILE = "GET /<script>alert(1)</script>\"'&<img src=http://x.invalid/>\x00"


class Page(HTMLParser):
    """Walks a page and keeps what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.inside: list[set[str]] = []
        self.captions: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action", "data")]
        self.ids += [value or "" for key, value in attrs if key == "id"]
        assert not [key for key in found if key.startswith("on")]
        if tag == "figure":
            self.inside.append(set())
        if "figure" in self.open:
            self.inside[-1].add(">".join([*self.open[self.open.index("figure") + 1 :], tag]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "figcaption":
            self.captions.append(data)


def page(name: str = "GET /items/{id}", **changes: object) -> str:
    """The report on one case with everything in it, some of it changed."""
    runs, live = [results.run("twin", name)], [results.run("live", name)]
    for run in (*runs, *live):
        for key, value in changes.items():
            setattr(run, key, value)
    return render_html(
        title=name,
        comparisons=[results.comparison(name)],
        runs=runs,
        live=live,
        model=results.service_model(name),
        notes=[name],
    )


def without_script(text: str) -> str:
    """The page without the script that draws, which is the same in every report."""
    head, _, rest = text.rpartition("<script>")
    return head + rest.partition("</script>")[2]


def empty_page() -> str:
    return render_html(title="t", comparisons=[], runs=[], live=[], model=None, notes=[])


@pytest.mark.parametrize("text", [page(), page(HOSTILE), empty_page()])
def test_every_tag_is_closed_in_order(text: str) -> None:
    assert text.startswith("<!DOCTYPE html>\n")
    assert Page(text).open == []


def test_nothing_is_loaded_from_anywhere() -> None:
    text = without_script(page())
    found = Page(text)
    assert "default-src &#x27;none&#x27;" in text
    assert not {"link", "iframe", "img", "object", "image"} & set(found.tags)
    assert all(address.startswith("#") for address in found.addresses)
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_every_figure_states_its_finding_and_carries_its_data() -> None:
    found = Page(page())
    assert len(found.inside) == 8  # errors, 2 endpoints, over time, 2 breakdowns, 1 model, 1 law
    for inside in found.inside:
        assert "figcaption" in inside
        assert "details>summary" in inside
        assert "details>div>table" in inside
        assert any(place.endswith("div>script") for place in inside)
    assert len(found.captions) == len(found.inside)


def test_captions_are_computed_from_the_data() -> None:
    captions = Page(page()).captions
    assert captions[1] == "GET /items/{id}: twin p95 27.9ms against live 30ms, −7.0 % (agrees)"
    assert "GET /items/{id}: db 60 % of 10ms; POST /chat: db 60 % of 1.2s." in captions[4]
    assert captions[6] == (
        "GET /items/{id}: 10ms without any queueing; 2 timed steps, "
        "the longest is db asyncpg with 9ms, 90 %."
    )


def test_hostile_names_stay_text() -> None:
    text = page(HOSTILE)
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "\x00" not in text
    charts = text.count('<script type="application/json">')
    assert Page(text).tags.count("script") == charts + 1
    assert text.count("</script") == charts + 1


def test_the_answer_comes_first_and_says_what_is_off() -> None:
    text = page()
    answer = text.index("The twin differs from live: POST /chat p50 by +25.0 %")
    assert answer < text.index("300/s is an extrapolation (×2)") < text.index("<nav")
    assert answer < text.index("<table")


def test_sections_can_be_linked_and_links_lead_somewhere() -> None:
    found = Page(page())
    assert {address[1:] for address in found.addresses} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))


def test_verdicts_are_words_and_marks_not_colour_alone() -> None:
    text = page()
    for verdict, mark in MARKS.items():
        assert f"{mark} {verdict}</span>" in text


def test_same_input_gives_the_same_bytes() -> None:
    assert page() == page()


def test_twenty_endpoints_stay_below_one_megabyte() -> None:
    names = [f"GET /items/{i}" for i in range(20)]
    twin, live = results.run(), results.run("live")
    for run in (twin, live):
        run.endpoints = {name: results.summary(0.01, 5000) for name in names}
        assert run.table is not None
        run.table.endpoints = names
        run.table.endpoint = [i % 20 for i in range(100_000)]
        run.table.latency_s = [0.01 + 1e-6 * i for i in range(100_000)]
        run.table.ok = [True] * 100_000
        run.series = Series(
            window_s=1.0,
            start_s=[float(i) for i in range(86_400)],
            arrivals=[300] * 86_400,
            p50_s=[0.01] * 86_400,
            p95_s=[0.02] * 86_400,
        )
    rows = [r for name in names for r in results.comparison(name).rows[:2]]
    rows = [r.model_copy(update={"endpoint": names[i // 2]}) for i, r in enumerate(rows)]
    compared = Comparison(mode="free", rows=rows, verdict="agrees")
    text = render_html(
        title="t", comparisons=[compared], runs=[twin], live=[live], model=None, notes=[]
    )
    assert len(without_script(text).encode()) < 1_000_000


def one_window(p95_s: float | None) -> Series:
    return Series(window_s=1.0, start_s=[0.0], arrivals=[1], p50_s=[p95_s], p95_s=[p95_s])


@pytest.mark.parametrize(
    "series",
    [
        None,
        Series(window_s=1.0),
        Series(window_s=0.0, start_s=[0.0, 0.0], arrivals=[0, 0], p50_s=[0.0, 0.0]),
        one_window(0.02),
        one_window(None),
        one_window(math.nan),
        one_window(math.inf),
        one_window(0.0),
    ],
)
def test_any_series_can_be_shown(series: Series | None) -> None:
    text = page(series=series)
    assert Page(text).open == []
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', without_script(text))


def test_numbers_that_are_not_finite_do_not_reach_the_drawing() -> None:
    twin, live = results.run(), results.run("live")
    for run in (twin, live):
        for found in (run.total, *run.endpoints.values()):
            bad = Estimate(value=math.nan, low=-1.0, high=math.inf)
            assert found.latency is not None
            found.latency = found.latency.model_copy(update={"p99": bad, "p95": bad})
            found.breakdown = {"db": math.nan, "cpu": 0.0}
        assert run.table is not None
        run.table.latency_s[:3] = [math.nan, math.inf, 0.0]
    compared = results.comparison()
    compared.rows[1].error = compared.rows[2].error = math.nan
    text = render_html(
        title="t", comparisons=[compared], runs=[twin], live=[live], model=None, notes=[]
    )
    assert Page(text).open == []
    assert not re.search(r"\b(nan|inf)\b", without_script(text))


def test_run_without_any_completion_can_be_shown() -> None:
    run: Run = results.run()
    run.total.latency = None
    run.endpoints = {}
    run.table = None
    text = render_html(title="t", comparisons=[], runs=[run], live=[], model=None, notes=[])
    assert Page(text).open == []


def test_report_without_results_says_that_it_only_describes() -> None:
    assert "No goal and no live measurement was given" in empty_page()


def test_commands_are_listed_once_each_and_one_a_line() -> None:
    text = page()
    assert (
        "<pre>fastsim run model.yaml --rate 300/s --seed 7\nfastsim compare twin.json live.json"
        "</pre>" in text
    )


def test_comparison_with_traces_draws_what_was_compared() -> None:
    compared = results.comparison()
    text = render_html(
        title="t",
        comparisons=[compared],
        runs=[results.run("twin")],
        live=[],
        model=None,
        notes=[],
    )
    # The twin's client p95 of 30 ms must not stand beside a server-side comparison.
    first = text.split("<figure>")[2].split("</figure>")[0]
    assert "27.9ms" in first
    assert "(27–33)" not in first


def test_a_row_that_does_not_count_does_not_spoil_the_answer_nor_hide() -> None:
    compared = results.comparison()
    compared.verdict = "agrees"
    text = render_html(title="t", comparisons=[compared], runs=[], live=[], model=None, notes=[])
    assert "The twin agrees with live in all 3 values that count" in text
