"""What the page's script is told to draw."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsim.report.charts import MOST_POINTS, axis, bars, chart, mark, plot, series
from fastsim.report.decision_figures import decision_figure
from fastsim.report.html import render_html
from fastsim.report.views import view_of
from fastsim.result import Block
from tests.report import answers, results

UNITS = {"s", "ratio", "/s", "count", "time", ""}
SCALES = {"linear", "log", "category", "quantile"}
LOOKS = {"twin", "live", "thin twin", "thin live", "good", "bad", "muted"}
DECISIONS = [answers.limit(), answers.size(), answers.sweep(), answers.outlook()]


def specs(page: str) -> list[dict[str, Any]]:
    """The charts of a page."""
    parts = page.split('<script type="application/json">')[1:]
    return [json.loads(part.partition("</script>")[0]) for part in parts]


def check_axis(found: dict[str, Any]) -> None:
    assert set(found) <= {"title", "unit", "scale", "names", "min", "max"}
    assert found["unit"] in UNITS
    assert found["scale"] in SCALES
    assert ("names" in found) == (found["scale"] == "category")


def check(spec: dict[str, Any]) -> None:
    """Hold a chart to what web/src/spec.ts says."""
    check_axis(spec["x"])
    if spec["kind"] == "bars":
        assert len(spec["totals"]) == len(spec["names"])
        assert all(len(part["values"]) == len(spec["names"]) for part in spec["parts"])
        assert all(part["color"].startswith("k-") for part in spec["parts"])
        return
    assert spec["kind"] == "plot"
    check_axis(spec["y"])
    for each in spec["series"]:
        assert each["look"] in LOOKS
        width = 2 if each["draw"] in {"line", "points"} else 3
        assert all(len(point) == width for point in each["data"])
        assert len(each.get("hints", each["data"])) == len(each["data"])
        if spec["y"]["scale"] == "log":
            values = [value for point in each["data"] for value in point[1:] if value is not None]
            assert all(value > 0.0 for value in values)
    for each in spec["marks"]:
        assert each["axis"] in {"x", "y"}
        assert each["look"] in LOOKS


def page(*decisions: Block) -> str:
    return render_html(
        title="t",
        comparisons=[results.comparison()],
        runs=[results.run()],
        live=[results.run("live")],
        model=results.service_model(),
        notes=[],
        decisions=decisions,
    )


def test_every_chart_of_a_report_can_be_drawn() -> None:
    found = specs(page(*DECISIONS))
    assert len(found) == 4 + 1 + 2 + 2 + 2 + 1 + 3
    for spec in found:
        check(spec)


def test_phases_are_marked_in_what_goes_over_time() -> None:
    run = results.run()
    run.phases = results.phases()
    text = render_html(title="t", comparisons=[], runs=[run], live=[], model=None, notes=[])
    over_time = [s for s in specs(text) if s["x"]["title"] == "time since the start"]
    assert {"axis": "x", "at": 60.0, "to": 70.0, "text": "spike", "look": "muted"} in (
        over_time[0]["marks"]
    )
    assert [m["text"] for m in over_time[0]["marks"] if m["axis"] == "y"] == ["p95 < 100ms"]


def drawn(answer: Block) -> dict[str, Any]:
    figure = decision_figure(answer, view_of(answer))
    assert figure is not None
    [spec] = specs(figure)
    return spec


def test_a_limit_shows_where_the_goal_is_missed() -> None:
    spec = drawn(answers.limit())
    marks = {mark["text"]: (mark["at"], mark.get("to")) for mark in spec["marks"]}
    assert marks["holds 240/s"] == (230.0, 250.0)
    assert marks["event loop full"] == (295.0, 305.0)
    assert marks["the goal"] == (0.1, None)
    assert spec["y"]["unit"] == "s"
    assert spec["series"][0]["data"] == [[200.0, 0.06]]
    several = answers.limit()
    several.goals.append("errors < 1%")
    spec = drawn(several)
    marks = {mark["text"]: (mark["at"], mark.get("to")) for mark in spec["marks"]}
    assert marks["the goal"] == (1.0, None)
    assert spec["series"][0]["data"] == [[200.0, 0.6]]


def test_a_sweep_of_numbers_is_a_line_and_of_names_intervals() -> None:
    spec = drawn(answers.sweep())
    assert spec["x"]["unit"] == "/s"
    assert spec["series"][0]["data"] == [[100.0, 3 * 0.01], [900.0, None]]
    named = answers.sweep()
    named.vary = {"balancer": ["random", "round robin"]}
    for point, value in zip(named.points, named.vary["balancer"], strict=True):
        point.settings = {"balancer": value}
    assert drawn(named)["y"]["names"] == ["random", "round robin"]


def test_a_forecast_shows_its_band_its_limit_and_when_it_breaks() -> None:
    spec = drawn(answers.outlook())
    line, band = spec["series"]
    assert len(line["data"]) == len(band["data"]) == 6
    assert line["data"][0] == [1795737600000, pytest.approx(220.0)]
    assert [mark["text"] for mark in spec["marks"]] == ["holds 240/s", "missed 2026-11-27"]


def test_what_is_no_search_has_no_figure_of_one() -> None:
    assert decision_figure(results.run(), view_of(results.run())) is None


@given(st.lists(st.floats() | st.none(), max_size=20))
def test_numbers_that_are_none_are_left_out(values: list[float | None]) -> None:
    points = [[float(number), value] for number, value in enumerate(values)]
    found = chart(plot(axis("x", "s"), axis("y", "s"), [series("a", "twin", "line", points)]))
    [spec] = specs(found)
    for value, (_, drawn_) in zip(values, spec["series"][0]["data"], strict=True):
        known = value is not None and math.isfinite(value) and abs(value) < 1e15
        assert drawn_ == (value if known else None)


def test_nothing_in_a_chart_ends_its_script() -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    spec = plot(
        axis(hostile, "s"),
        axis("", "", "category", names=[hostile]),
        [series(hostile, "live", "points", [[0.0, 1.0]], hints=[hostile])],
        marks=[mark("x", 1.0, hostile, "bad")],
    )
    text = chart(spec)
    assert text.count("<") == text.count(">") == 4
    assert specs(text) == [spec]


def test_long_series_are_thinned() -> None:
    points = [[float(number), 1.0] for number in range(10 * MOST_POINTS)]
    found = series("a", "twin", "line", points)
    assert len(found["data"]) == MOST_POINTS


def test_bars_keep_their_parts() -> None:
    parts = [{"name": "db", "color": "k-db", "hatched": False, "values": [1.0]}]
    check(bars(axis("x", "s"), ["GET /"], ["1s"], parts))
