"""Rates over time: what monitoring writes, read into hours."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fastsim.errors import FileFormatError, NotEnoughDataError
from fastsim.load.history import HOUR_S, by_hours, from_arrivals, read_history

BEGIN_S = 1_790_000_000 // 86_400 * 86_400.0


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def table(head: str, step_s: float = 600.0, hours: int = 60, value: float = 5.0) -> str:
    rows = [
        f"{datetime.fromtimestamp(BEGIN_S + n * step_s, UTC):%Y-%m-%d %H:%M:%S},{value}"
        for n in range(round(hours * HOUR_S / step_s))
    ]
    return "\n".join([head, *rows, ""])


@pytest.mark.parametrize(
    ("head", "expected"),
    [("time,rate", 5.0), ("Timestamp,requests per second", 5.0), ("date,requests", 5.0 / 600.0)],
)
def test_rates_and_counts_are_told_by_their_names(
    head: str, expected: float, tmp_path: Path
) -> None:
    found = read_history(written(tmp_path / "rates.csv", table(head)))
    assert len(found) == 60
    assert found.start_s == BEGIN_S
    assert found.rate_per_s == pytest.approx(expected)


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e6, 1e9])
def test_times_may_be_numbers_since_1970(unit: float, tmp_path: Path) -> None:
    rows = [f"{(BEGIN_S + n * 1800.0) * unit:.0f};2 req/s" for n in range(120)]
    text = "\n".join(["ts;rps", *rows])
    found = read_history(written(tmp_path / "rates.csv", text))
    assert found.start_s == BEGIN_S
    assert found.rate_per_s == pytest.approx(2.0)


def test_series_of_prometheus_are_added_up(tmp_path: Path) -> None:
    values = [[BEGIN_S + n * 300, "1.5" if n % 7 else "NaN"] for n in range(12 * 50)]
    other = [[at, "2"] for at, _ in values]
    answer = {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"values": values}, {"values": other}]},
    }
    found = read_history(written(tmp_path / "rates.json", json.dumps(answer)))
    assert len(found) == 50
    assert found.rate_per_s == pytest.approx(3.5 - 1.5 / 7, rel=0.03)


def test_hours_that_are_missing_are_not_zero(tmp_path: Path) -> None:
    text = table("time,rate").splitlines()
    del text[1 + 6 * 10 : 1 + 6 * 12]
    found = read_history(written(tmp_path / "rates.csv", "\n".join(text)))
    assert np.isnan(found.rate_per_s[10:12]).all()
    assert not np.isnan(found.rate_per_s[12:]).any()


def test_busier_minutes_are_seen() -> None:
    # Of every hour 6 minutes have three times the load of the others.
    minutes = [(BEGIN_S + 60.0 * n, 30.0 if n % 60 < 6 else 10.0) for n in range(60 * 72)]
    assert by_hours(minutes, counts=False).peak == pytest.approx(30.0 / 12.0)
    hourly = [(BEGIN_S + HOUR_S * n, 10.0) for n in range(72)]
    assert by_hours(hourly, counts=False).peak == 1.0


def test_requests_are_counted() -> None:
    rng = np.random.default_rng(1)
    start_s = BEGIN_S + np.sort(rng.uniform(0.0, 50 * HOUR_S, 50 * 3600))
    found = from_arrivals((start_s * 1e9).astype(np.int64), scale=10.0)
    assert found.rate_per_s == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3,4\n5,6\n", "its first line"),
        ("time,rate\n2026-11-27,1\n", "hardly any lines"),
        ("{}", "no answer of a Prometheus range query"),
        ("time,rate\nyesterday,1\n2026-11-27,1\n2026-11-28,1\n", "line 2 is no time and rate"),
        ("time,rate\n2026-11-26,1\n2026-11-27,-1\n2026-11-28,1\n", "line 3 is no time and rate"),
    ],
)
def test_what_is_no_history_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=said):
        read_history(written(tmp_path / "rates.csv", text))


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cannot read"):
        read_history(tmp_path / "nowhere.csv")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(FileFormatError, match="no text"):
        read_history(tmp_path / "bytes")


@pytest.mark.parametrize(("step_s", "hours"), [(600.0, 30), (86_400.0, 24 * 30)])
def test_too_short_or_too_coarse_is_not_enough(step_s: float, hours: int, tmp_path: Path) -> None:
    path = written(tmp_path / "rates.csv", table("time,rate", step_s, hours))
    with pytest.raises(NotEnoughDataError, match=r"hours|steps"):
        read_history(path)
