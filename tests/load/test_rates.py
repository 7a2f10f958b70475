"""Traffic from files of rates: what lasts how long, and what is refused."""

import json
from pathlib import Path

import pytest

from fastsim.errors import FastSimError, FileFormatError, InputError
from fastsim.load.course import MOST_PHASES
from fastsim.load.rates import file_phases, phases_of
from fastsim.phases import parse_phases


def table(path: Path, rates: list[float], *, step_s: int = 60, head: str = "time,rate") -> Path:
    lines = [f"{1_764_201_600 + step_s * n},{rate}" for n, rate in enumerate(rates)]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_each_rate_lasts_until_the_next(tmp_path: Path) -> None:
    path = table(tmp_path / "day.csv", [10.0, 30.0, 20.0])
    found = file_phases(path)
    assert [phase.length for phase in found] == [60.0, 60.0, 60.0]
    assert [phase.rate.begin for phase in found] == [10.0, 30.0, 20.0]
    assert [phase.name for phase in found] == ["00:00", "00:01", "00:02"]
    assert not any(phase.rate.relative or phase.rate.begin != phase.rate.end for phase in found)


def test_counts_are_requests_of_their_step(tmp_path: Path) -> None:
    path = table(tmp_path / "day.csv", [600.0, 1800.0, 1200.0], head="time,count")
    assert [phase.rate.begin for phase in file_phases(path)] == [10.0, 30.0, 20.0]


def test_a_file_can_be_scaled_in_rate_and_time(tmp_path: Path) -> None:
    path = table(tmp_path / "a day.csv", [10.0, 30.0])
    found = phases_of(f" {path} x2.5 in 1min ")
    assert [phase.rate.begin for phase in found] == [25.0, 75.0]
    assert [phase.length for phase in found] == [30.0, 30.0]
    assert phases_of(f"{path} ×2")[1].rate.begin == 60.0
    assert phases_of(str(path)) == file_phases(path)


def test_many_steps_are_put_together(tmp_path: Path) -> None:
    rates = [float(n) for n in range(10 * MOST_PHASES)]
    found = file_phases(table(tmp_path / "day.csv", rates))
    assert len(found) == MOST_PHASES
    asked = sum(phase.length * phase.rate.begin for phase in found)
    assert asked == pytest.approx(60.0 * sum(rates))
    assert found[0].rate.begin == pytest.approx(4.5)


def test_a_prometheus_answer_will_do(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    series = [{"values": [[0, "1"], [60, "2"], [120, "3"]]}, {"values": [[0, "4"], [60, "5"]]}]
    path.write_text(json.dumps({"data": {"result": series}}))
    assert [phase.rate.begin for phase in phases_of(str(path))] == [5.0, 7.0, 3.0]


def test_days_are_named_too(tmp_path: Path) -> None:
    found = file_phases(table(tmp_path / "week.csv", [1.0, 2.0, 3.0], step_s=86_400))
    assert [phase.name for phase in found] == ["11-27 00:00", "11-28 00:00", "11-29 00:00"]


def test_what_is_no_file_is_phases() -> None:
    assert phases_of("60s 100/s, spike: 10s 300/s") == parse_phases("60s 100/s, spike: 10s 300/s")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("missing.csv", FileFormatError),
        ("day.csv x", InputError),
        ("day.csv x0", InputError),
        ("day.csv x1.2.3", InputError),
        ("day.csv in 0s", InputError),
        ("day.csv in soon", InputError),
        ("day.csv x2 on sunday", InputError),
        ("one.csv", FileFormatError),
        ("none.csv", FileFormatError),
        ("zero.csv", FileFormatError),
    ],
)
def test_what_makes_no_sense_is_refused(
    text: str, error: type[FastSimError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table(Path("day.csv"), [1.0, 2.0, 3.0])
    table(Path("one.csv"), [1.0])
    table(Path("none.csv"), [1.0, 2.0, 3.0], head="a,b")
    table(Path("zero.csv"), [0.0, 0.0, 0.0])
    with pytest.raises(error):
        phases_of(text)
